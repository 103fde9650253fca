#!/usr/bin/env bash
# A real S3 server for tests: SeaweedFS, on free ports of the loopback, with its files in a folder of its own. It runs until
# standard input ends, so that it can't outlive whoever started it.
#
#   object-store.sh [BUCKET...]    says `endpoint http://127.0.0.1:PORT` once it answers; needs install.sh
#
# Its only user is `tester`, with the secret `secret-of-tester`. It has the buckets that are named, and makes none by itself.
set -euo pipefail

readonly WEED=/usr/local/lib/cutover/weed
[[ -x $WEED ]] || { echo "object-store: there is no $WEED; run scripts/install.sh" >&2; exit 1; }

folder=$(mktemp -d)
server=
ports=()
stop() {
  if [[ -n $server ]]; then
    kill -KILL "$server" 2>/dev/null || true
    wait "$server" 2>/dev/null || true
  fi
  # These it makes in /tmp, wherever its files are.
  for port in "${ports[@]}"; do
    rm -f /tmp/seaweedfs-*-grpc-"$port".sock
  done
  rm -rf "$folder"
}
trap stop EXIT

# Ports that were free just now, all at once so that they differ.
read -r -a ports < <(python3 - <<'PYTHON'
import socket
sockets = [socket.socket() for _ in range(8)]
for one in sockets:
    one.bind(("127.0.0.1", 0))
print(*[one.getsockname()[1] for one in sockets])
PYTHON
)
endpoint=http://127.0.0.1:${ports[6]}
cat >"$folder/identities.json" <<'JSON'
{"identities": [{"name": "tester", "credentials": [{"accessKey": "tester", "secretKey": "secret-of-tester"}],
  "actions": ["Admin", "Read", "List", "Write"]}]}
JSON
TMPDIR=$folder "$WEED" -logtostderr=true server -dir="$folder" -ip=127.0.0.1 -ip.bind=127.0.0.1 \
  -master.port="${ports[0]}" -master.port.grpc="${ports[1]}" -master.telemetry=false -master.volumeSizeLimitMB=64 \
  -volume.port="${ports[2]}" -volume.port.grpc="${ports[3]}" -volume.max=100 \
  -filer -filer.port="${ports[4]}" -filer.port.grpc="${ports[5]}" -filer.localSocket="$folder/filer.sock" \
  -s3 -s3.port="${ports[6]}" -s3.port.grpc="${ports[7]}" -s3.localSocket="$folder/s3.sock" \
  -s3.port.iceberg=0 -s3.port.lance=0 -s3.autoCreateBucket=false -s3.config="$folder/identities.json" \
  >"$folder/log" 2>&1 &
server=$!

ask() {
  curl --silent --fail --output /dev/null --user tester:secret-of-tester --aws-sigv4 aws:amz:us-east-1:s3 "$@"
}

# It answers before it can store: what says that it can is a list of buckets.
for ((tries = 0; tries < 300; tries++)); do
  if ask "$endpoint"; then
    for bucket in "$@"; do
      ask --request PUT "$endpoint/$bucket"
    done
    echo "endpoint $endpoint"
    cat >/dev/null
    exit 0
  fi
  kill -0 "$server" 2>/dev/null || break
  sleep 0.1
done
echo "object-store: SeaweedFS did not answer at $endpoint; it said:" >&2
tail -n 20 "$folder/log" >&2
exit 1
