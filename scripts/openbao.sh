#!/usr/bin/env bash
# A real OpenBao for tests, which has Vault's API: on a free port of the loopback, with all that it keeps in memory. It runs until
# standard input ends, so that it can't outlive whoever started it.
#
#   openbao.sh [CERTIFICATE KEY]   says `server URL`, `token ROOT`, `key UNSEALING` once it answers; needs install.sh
#
# With a certificate and its key, both files of PEM, it speaks TLS. It is unsealed, and nothing is mounted in it.
set -euo pipefail

readonly BAO=/usr/local/lib/cutover/bao
[[ -x $BAO ]] || { echo "openbao: there is no $BAO; run scripts/install.sh" >&2; exit 1; }

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

if (($# == 2)); then
  scheme=https
  tls="tls_cert_file = \"$1\" tls_key_file = \"$2\""
else
  scheme=http
  tls="tls_disable = true"
fi

ask() {
  curl --silent --fail --insecure --max-time 10 "$@"
}

# One value of an answer, which is an object of texts and lists of texts.
value() {
  grep -o "\"$1\":\[*\"[^\"]*\"" | cut -d'"' -f4
}

# It takes no port of the system's choice, so one is chosen here, and another where it turns out to be taken: the server ends then.
for ((starts = 0; starts < 10; starts++)); do
  port=$((20000 + SRANDOM % 10000))
  url=$scheme://127.0.0.1:$port
  cat >"$folder/config.hcl" <<HCL
storage "inmem" {}
listener "tcp" {
  address = "127.0.0.1:$port"
  $(sed 's/" tls_/"\n  tls_/' <<<"$tls")
}
api_addr = "$url"
cluster_addr = "https://127.0.0.1:$((port + 1))"
HCL
  HOME=$folder "$BAO" server -config="$folder/config.hcl" >"$folder/log" 2>&1 &
  server=$!
  for ((tries = 0; tries < 600; tries++)); do
    if ask --output /dev/null "$url/v1/sys/init"; then
      made=$(ask --request PUT --data '{"secret_shares": 1, "secret_threshold": 1}' "$url/v1/sys/init") || break
      key=$(value keys <<<"$made")
      ask --output /dev/null --request PUT --data "{\"key\": \"$key\"}" "$url/v1/sys/unseal"
      until ask --output /dev/null "$url/v1/sys/health"; do
        kill -0 "$server" || break 2
        sleep 0.05
      done
      echo "server $url"
      echo "token $(value root_token <<<"$made")"
      echo "key $key"
      cat >/dev/null
      exit 0
    fi
    kill -0 "$server" 2>/dev/null || break
    sleep 0.05
  done
  grep -q "address already in use" "$folder/log" || break
done
echo "openbao: it did not answer at $url; it said:" >&2
tail -n 20 "$folder/log" >&2
exit 1
