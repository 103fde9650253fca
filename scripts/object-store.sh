#!/usr/bin/env bash
# A real S3 server for tests: SeaweedFS, on free ports of the loopback, with its files in a folder of its own. It runs until
# standard input ends, so that it can't outlive whoever started it.
#
#   object-store.sh [BUCKET...]    says `endpoint http://127.0.0.1:PORT` once it answers; needs install.sh
#
# CUTOVER_OBJECT_STORE_PORTS is the first of the eight ports that it tries first.
# Its only user is `tester`, with the secret `secret-of-tester`. It has the buckets that are named, and makes none by itself.
set -euo pipefail

readonly WEED=/usr/local/lib/cutover/weed
[[ -x $WEED ]] || { echo "object-store: there is no $WEED; run scripts/install.sh" >&2; exit 1; }

folder=$(mktemp -d)
server=
ports=()
stop_server() {
  if [[ -n $server ]]; then
    kill -KILL "$server" 2>/dev/null || true
    wait "$server" 2>/dev/null || true
    server=
  fi
  # These it makes in /tmp, wherever its files are.
  for port in "${ports[@]}"; do
    rm -f /tmp/seaweedfs-*-grpc-"$port".sock
  done
}
stop() {
  stop_server
  rm -rf "$folder"
}
trap stop EXIT

# With this one the script asks: another server at a port of ours doesn't know it.
key=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
cat >"$folder/identities.json" <<JSON
{"identities": [
  {"name": "tester", "credentials": [{"accessKey": "tester", "secretKey": "secret-of-tester"}],
    "actions": ["Admin", "Read", "List", "Write"]},
  {"name": "script", "credentials": [{"accessKey": "script", "secretKey": "$key"}],
    "actions": ["Admin", "Read", "List", "Write"]}]}
JSON

ask() {
  curl --silent --fail --max-time 10 --output /dev/null --user "script:$key" --aws-sigv4 aws:amz:us-east-1:s3 "$@"
}

# Starts it on eight ports from $1 on. It ends at once where one of them is taken.
start() {
  local first=$1
  read -r -a ports < <(seq -s ' ' "$first" $((first + 7)))
  endpoint=http://127.0.0.1:${ports[6]}
  TMPDIR=$folder "$WEED" -logtostderr=true server -dir="$folder" -ip=127.0.0.1 -ip.bind=127.0.0.1 \
    -master.port="${ports[0]}" -master.port.grpc="${ports[1]}" -master.telemetry=false -master.volumeSizeLimitMB=64 \
    -volume.port="${ports[2]}" -volume.port.grpc="${ports[3]}" -volume.max=1000 \
    -filer -filer.port="${ports[4]}" -filer.port.grpc="${ports[5]}" -filer.localSocket="$folder/filer.sock" \
    -s3 -s3.port="${ports[6]}" -s3.port.grpc="${ports[7]}" -s3.localSocket="$folder/s3.sock" \
    -s3.port.iceberg=0 -s3.port.lance=0 -s3.autoCreateBucket=false -s3.config="$folder/identities.json" \
    >"$folder/log" 2>&1 &
  server=$!
}

# It answers before it can store: what says that it can is a list of buckets.
answers() {
  for ((tries = 0; tries < 600; tries++)); do
    ! ask "$endpoint" || return 0
    kill -0 "$server" 2>/dev/null || return 1
    sleep 0.1
  done
  return 1
}

# It takes no port of the system's choice, so they are chosen here: below those that outgoing connections get, and others where
# one turns out to be taken.
for ((starts = 0; starts < 10; starts++)); do
  start "${CUTOVER_OBJECT_STORE_PORTS:-$((20000 + SRANDOM % 1000 * 8))}"
  if answers; then
    for bucket in "$@"; do
      ask --request PUT "$endpoint/$bucket"
    done
    echo "endpoint $endpoint"
    cat >/dev/null
    exit 0
  fi
  grep -q "address already in use" "$folder/log" || break
  stop_server
  unset CUTOVER_OBJECT_STORE_PORTS
done
echo "object-store: SeaweedFS did not answer at $endpoint; it said:" >&2
tail -n 20 "$folder/log" >&2
exit 1
