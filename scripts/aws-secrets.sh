#!/usr/bin/env bash
# What stands in for AWS Secrets Manager in tests: moto, on a free port of the loopback, with all that it keeps in memory. It takes
# any credentials. It runs until standard input ends, so that it can't outlive whoever started it.
#
#   aws-secrets.sh    says `endpoint http://127.0.0.1:PORT` once it answers; needs install.sh
set -euo pipefail

readonly MOTO=/usr/local/lib/cutover/moto
[[ -d $MOTO ]] || { echo "aws-secrets: there is no $MOTO; run scripts/install.sh" >&2; exit 1; }

folder=$(mktemp -d)
server=
stop() {
  if [[ -n $server ]]; then
    kill -KILL "$server" 2>/dev/null || true
    wait "$server" 2>/dev/null || true
  fi
  rm -rf "$folder"
}
trap stop EXIT

# It ends where the port is taken: another one is tried then.
for ((starts = 0; starts < 10; starts++)); do
  port=$((30000 + SRANDOM % 2000))
  PYTHONPATH=$MOTO python3 -m moto.server --host 127.0.0.1 --port "$port" >"$folder/log" 2>&1 &
  server=$!
  for ((tries = 0; tries < 600; tries++)); do
    if curl --silent --fail --max-time 10 --output /dev/null "http://127.0.0.1:$port/moto-api/data.json" &&
      kill -0 "$server" 2>/dev/null; then
      echo "endpoint http://127.0.0.1:$port"
      cat >/dev/null
      exit 0
    fi
    kill -0 "$server" 2>/dev/null || break
    sleep 0.1
  done
done
echo "aws-secrets: moto did not answer; it said:" >&2
tail -n 20 "$folder/log" >&2
exit 1
