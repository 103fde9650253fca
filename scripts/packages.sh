# Debian packages, for the scripts that install some; sourced by them, which are named in their messages.
#
#   missing PACKAGE...            prints those that are not installed
#   install_packages PACKAGE...   installs them as root; no service of theirs is started

readonly POLICY=/usr/sbin/policy-rc.d
NAME=$(basename "$0" .sh)

die() {
  echo "$NAME: $*" >&2
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
# servers; the machine's own must not be started, nor its ports taken, by a test run or a benchmark.
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
  ((EUID == 0)) || die "run this as root: it installs $*"
  echo "$NAME: Debian packages: $*"
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
