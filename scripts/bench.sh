#!/usr/bin/env bash
# Runs a benchmark of the project on what the release profile makes. What it starts, it stops.
#
#   bench.sh PROGRAM
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/install.sh
scripts/build.sh release "$1"
. scripts/engine.sh
"target/dist/$1"
