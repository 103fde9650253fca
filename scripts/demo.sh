#!/usr/bin/env bash
# `make demo`: installs what is missing, builds, and runs the demonstration. What it starts, it stops.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/install.sh
scripts/build.sh
. scripts/engine.sh
target/dist/cutover-demo "$@"
