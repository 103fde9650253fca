#!/usr/bin/env bash
# Builds everything and lays it out in target/dist as an installation has it: `cutover` beside its programs.
#
#   build.sh [PROFILE [DRIVER]]    a cargo profile, dev by default; of the e2e programs only this one
#
# The proxy and the example are static: they run in images made FROM scratch. Only they are, as a static program can't
# look up names (glibc loads its resolver at run time); their target is named explicitly, as otherwise build scripts and
# macros would be linked statically too.
set -euo pipefail
cd "$(dirname "$0")/.."

profile=${1:-dev}
static_profile=$profile
[[ $profile != release ]] || static_profile=proxy
# Cargo calls the folder of the dev profile otherwise.
folder=${profile/#dev/debug}
static_folder=${static_profile/#dev/debug}
target=$(rustc --version --verbose | sed -n 's/^host: //p')
flags=CARGO_TARGET_$(tr 'a-z-' 'A-Z_' <<<"$target")_RUSTFLAGS

programs=(cutover cutover-{builder,shipper,prober,switcher,migrator,trigger})
drivers=(${2:-cutover-demo cutover-bench-deploy cutover-faults})
cargo build --quiet --profile "$profile" "${programs[@]/#/--bin=}" "${drivers[@]/#/--bin=}"
env "$flags=-C target-feature=+crt-static" \
  cargo build --quiet --profile "$static_profile" --target "$target" --package cutover-proxy --package cutover-example-hello

dist=target/dist
mkdir -p $dist
for program in "${programs[@]}" "${drivers[@]}"; do
  ln -f "target/$folder/$program" "$dist/$program" 2>/dev/null || cp -f "target/$folder/$program" "$dist/$program"
done
for program in cutover-proxy hello; do
  ln -f "target/$target/$static_folder/$program" "$dist/$program" 2>/dev/null || cp -f "target/$target/$static_folder/$program" "$dist/$program"
done
