#!/usr/bin/env bash
# `make bench-ship`: how an image gets onto other hosts, by hand and by Cutover. Installs what the ways by hand need, builds
# with the release profile; what it starts, it stops. All arguments go to the program: bench-ship.sh --rate 100mbit
#
#   bench-ship.sh [ARGUMENT...]     as root; `--help` lists them
set -euo pipefail
cd "$(dirname "$0")/.."

readonly PACKAGES=(docker-registry zstd)
. scripts/packages.sh

scripts/install.sh
mapfile -t absent < <(missing "${PACKAGES[@]}")
((${#absent[@]} == 0)) || install_packages "${absent[@]}"
scripts/build.sh release cutover-bench-ship
. scripts/engine.sh
target/dist/cutover-bench-ship "$@"
