#!/usr/bin/env bash
# `make fuzz`: throws bytes at what the proxy parses, each target for a while, and says how many runs there were and how many
# crashed. What crashed is kept in proxy/fuzz/artifacts; what was found interesting, in proxy/fuzz/corpus.
#
#   fuzz.sh [TARGET...]     all targets, unless some are named
#   SECONDS_EACH=600        for how long each; a minute, unless said otherwise
set -euo pipefail
cd "$(dirname "$0")/../proxy"

readonly EACH=${SECONDS_EACH:-60}
# The flags for instruments are not stable; no sanitizer, as nothing here is unsafe.
export RUSTC_BOOTSTRAP=1
readonly BUILD=(--sanitizer none)

command -v cargo-fuzz >/dev/null || cargo install --quiet --locked cargo-fuzz
targets=("$@")
((${#targets[@]} > 0)) || mapfile -t targets < <(cargo fuzz list)

cargo fuzz build "${BUILD[@]}"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
status=0
for target in "${targets[@]}"; do
  crashes=0
  cargo fuzz run "${BUILD[@]}" "$target" -- -max_total_time="$EACH" -max_len=8192 -print_final_stats=1 \
    >"$log" 2>&1 || crashes=1
  runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
  covered=$(sed -n 's/.* cov: \([0-9]*\).*/\1/p' "$log" | tail -n 1)
  printf '%-16s %12s runs  %6s edges  %d crashes\n' "$target" "${runs:-0}" "${covered:-0}" "$crashes"
  if ((crashes > 0)); then
    tail -n 40 "$log" >&2
    status=1
  fi
done
exit "$status"
