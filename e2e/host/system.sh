#!/usr/bin/env bash
# The file tree of a newer Debian, for hosts with its Docker Engine: made once by debootstrap, and shared by all hosts that have it.
#
#   system.sh RELEASE     makes it, if it isn't there, and prints its folder; trixie has Docker 26.1
set -euo pipefail

readonly RELEASE=${1:?usage: system.sh RELEASE}
readonly SYSTEMS=${CUTOVER_LAB:-$(cd "$(dirname "$0")/../.." && pwd)/target/lab}/systems
readonly PACKAGES=apparmor,ca-certificates,docker-cli,docker.io,iproute2,iptables,openssh-server,procps
readonly LIMIT=600 # seconds for somebody else who is making it

die() {
  echo "system: $*" >&2
  exit 1
}

((EUID == 0)) || die "only root can make the file tree of a system"
mkdir -p "$SYSTEMS"
# Tests that need it start side by side, and one of them makes it.
exec 9>"$SYSTEMS/$RELEASE.lock"
flock --wait "$LIMIT" 9 || die "$RELEASE is being made for more than $LIMIT s"
if [[ ! -e $SYSTEMS/$RELEASE ]]; then
  work=$(mktemp -d "$SYSTEMS/making.XXXXXX")
  trap 'rm -rf "$work"' EXIT
  # With a mirror argument that is absent, debootstrap takes Debian's own.
  if ! debootstrap --variant=minbase --include="$PACKAGES" "$RELEASE" "$work/root" ${DEBIAN_MIRROR:+"$DEBIAN_MIRROR"} \
    >"$SYSTEMS/$RELEASE.log" 2>&1 9>&-; then
    tail --lines 10 "$SYSTEMS/$RELEASE.log" >&2
    die "debootstrap failed; its whole log is $SYSTEMS/$RELEASE.log"
  fi
  chmod 755 "$work/root"
  rm -rf "$work"/root/var/cache/apt/* "$work"/root/var/lib/apt/lists/*
  # Renamed at the end, so that one that was cut off is none.
  mv "$work/root" "$SYSTEMS/$RELEASE"
fi
echo "$SYSTEMS/$RELEASE"
