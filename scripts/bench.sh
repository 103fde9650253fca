#!/usr/bin/env bash
# Runs a benchmark of the project on what the release profile makes. What it starts, it stops.
#
#   bench.sh PROGRAM
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/install.sh
scripts/build.sh release "$1"
stop() { scripts/docker.sh stop; }
trap stop EXIT
scripts/docker.sh start
scripts/base-image.sh
"target/dist/$1"
