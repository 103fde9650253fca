#!/usr/bin/env bash
# `make test`: format, lints, unit and end-to-end tests, on a fresh Debian 12 machine with Rust, as root. The last line
# says how many tests passed and failed.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/install.sh
cargo fmt --all --check
cargo clippy --quiet --workspace --all-targets -- --deny warnings
scripts/build.sh

. scripts/engine.sh

log=$(mktemp target/test.XXXXXX.log)
status=0
CUTOVER_E2E_DOCKER=unix:///var/run/docker.sock cargo test --workspace --no-fail-fast 2>&1 | tee "$log" || status=$?
# These need the Docker Engine, which is there now.
cargo test --package cutover-host --test ssh docker -- --ignored 2>&1 | tee --append "$log" || status=$?
awk '/^test result:/ { passed += $4; failed += $6; skipped += $8 }
     END { printf "\n%d passed, %d failed, %d skipped\n", passed, failed, skipped }' "$log" >"$log.sum"
rm -f "$log"
cat "$log.sum"
rm -f "$log.sum"
exit "$status"
