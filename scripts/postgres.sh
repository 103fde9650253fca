#!/bin/sh
# A throwaway PostgreSQL server, for tests and the demo: fast, not durable, reachable on loopback only.
#
#   postgres.sh start <dir> <port>   makes <dir>, starts a server whose data and socket are in it, prints its DATABASE_URL
#   postgres.sh stop  <dir>          stops it and removes <dir>
#   postgres.sh run   <dir> <port> [<url>]
#                                    like start, then waits until its own standard input ends, then like stop:
#                                    the server can't outlive the program that holds the other end, however that dies.
#                                    With the URL of another one it is a replica of that
#
# <dir> must not exist: nothing is ever removed but the files that this script made in a folder that it made.
# Needs Debian's `postgresql` (any version from 13 on).
set -eu

usage() {
    sed -n '4,9s/^# //p' "$0" >&2
    exit 64
}

fail() {
    echo "postgres.sh: $*" >&2
    exit 1
}

# initdb and postgres refuse to run as root.
as_postgres() {
    if [ "$(id -u)" = 0 ]; then
        setpriv --reuid postgres --regid postgres --clear-groups -- "$@"
    else
        "$@"
    fi
}

find_programs() {
    bin=$(find /usr/lib/postgresql -mindepth 2 -maxdepth 2 -name bin 2>/dev/null | sort -V | tail -n 1)
    [ -n "$bin" ] || fail "no PostgreSQL in /usr/lib/postgresql: apt-get install postgresql"
}

# A plain mkdir fails where something is already: from here on the folder is ours, and only then may it be removed.
claim() {
    mkdir -m 700 "$dir" || fail "can't make $dir; it must not exist, and the folder that it goes into must"
    trap 'remove' EXIT
    : >"$dir/$marker"
    if [ "$(id -u)" = 0 ]; then
        chown -R postgres:postgres "$dir"
    fi
}

# What the server is made of: nothing, or another one's.
fill() {
    if [ -n "$primary" ]; then
        password=${primary#*://*:}
        password=${password%%@*}
        as_postgres "$bin/pg_basebackup" --dbname="$primary" --pgdata=data --write-recovery-conf --checkpoint=fast --no-sync \
            >initdb.log 2>&1 || { cat initdb.log >&2; fail "pg_basebackup failed"; }
        return
    fi
    password=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
    echo "$password" | as_postgres tee password >/dev/null
    as_postgres "$bin/initdb" --pgdata=data --username=cutover --pwfile=password --auth=scram-sha-256 \
        --encoding=UTF8 --locale=C --no-sync --no-instructions >initdb.log 2>&1 || { cat initdb.log >&2; fail "initdb failed"; }
}

start() {
    cd "$dir"
    fill
    as_postgres "$bin/pg_ctl" start --wait --timeout=60 --pgdata=data --log=server.log --options="-p $port -k '$dir' \
        -c listen_addresses=127.0.0.1 -c fsync=off -c full_page_writes=off -c synchronous_commit=off -c shared_buffers=32MB" \
        </dev/null >/dev/null 2>&1 || { cat server.log >&2; fail "the server did not start on port $port"; }
    [ -n "$primary" ] || PGPASSWORD=$password as_postgres "$bin/createdb" --host=127.0.0.1 --port="$port" --username=cutover cutover
    echo "postgres://cutover:$password@127.0.0.1:$port/cutover"
}

# By name, so that a wrong folder can lose nothing: what else is in it makes rmdir fail.
remove() {
    [ -f "$dir/$marker" ] || fail "$dir was not made by this script; nothing was removed"
    if [ -f "$dir/data/postmaster.pid" ]; then
        as_postgres "$bin/pg_ctl" stop --wait --timeout=30 --mode=immediate --pgdata="$dir/data" >/dev/null 2>&1 || true
    fi
    cd /
    rm -rf "$dir/data"
    rm -f "$dir/password" "$dir/initdb.log" "$dir/server.log" "$dir"/.s.PGSQL.* "$dir/$marker"
    rmdir "$dir"
}

[ $# -ge 2 ] || usage
marker=.cutover-postgres
primary=${4-}
dir=$(realpath -m -- "$2")
find_programs
case $1/$# in
    start/3)
        port=$3
        claim
        start
        trap - EXIT
        ;;
    stop/2)
        remove
        ;;
    run/3 | run/4)
        port=$3
        # An interrupt at the terminal reaches this script too; the end of its input is what it stops at.
        trap '' INT TERM HUP
        claim
        start
        cat >/dev/null
        ;;
    *)
        usage
        ;;
esac
