#!/usr/bin/env bash
# `make demo-rails`: installs what is missing, builds, and takes examples/rails-ai through its life. What it starts, it stops.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/install.sh
scripts/build.sh
. scripts/engine.sh
export CUTOVER_E2E_DOCKER=unix:///var/run/docker.sock
cargo test --quiet --package cutover-e2e --test rails_ai -- --ignored --nocapture
