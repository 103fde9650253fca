#!/usr/bin/env bash
# `make bench-migrator`: schema changes and backfills under load on a PostgreSQL and a MariaDB of its own, and migrators that are
# killed.
#
#   bench-migrator.sh                                all of it
#   bench-migrator.sh queue|backfill [ARGUMENT...]   one table; `--help` lists the arguments
#   bench-migrator.sh kill [COUNT]                   only the kills, 100 for each kind of key
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/install.sh
if [[ ${1-} != kill ]]; then
  cargo build --quiet --release --package cutover-e2e --bin cutover-bench-migrator
  target/release/cutover-bench-migrator "$@"
fi
if [[ $# == 0 || $1 == kill ]]; then
  CUTOVER_KILLS=${2-100} cargo test --package cutover-migrator --test postgres --test mariadb killed:: -- --nocapture
fi
