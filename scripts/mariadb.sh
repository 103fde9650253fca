#!/bin/sh
# A throwaway MariaDB server for tests: fast, not durable, reachable by its socket and on loopback only.
#
#   mariadb.sh run <dir> <port> [OPTION...]
#       makes <dir>, starts a server (with these options of its own) whose data and socket are in it, prints its URL, waits until
#       its own standard input ends, then stops it and removes <dir>: the server can't outlive the program that holds the other
#       end, however that dies
#
# <dir> must not exist: nothing is ever removed but what this script made in a folder that it made.
# Needs Debian's `mariadb-server` (10.11).
set -eu

usage() {
    sed -n '4,7s/^# //p' "$0" >&2
    exit 64
}

fail() {
    echo "mariadb.sh: $*" >&2
    exit 1
}

# The server refuses to run as root.
as_mysql() {
    if [ "$(id -u)" = 0 ]; then
        setpriv --reuid mysql --regid mysql --clear-groups -- "$@"
    else
        "$@"
    fi
}

start() {
    as_mysql mariadb-install-db --no-defaults --datadir="$dir/data" --auth-root-authentication-method=normal --skip-test-db \
        >"$dir/install.log" 2>&1 || { cat "$dir/install.log" >&2; fail "mariadb-install-db failed"; }
    : >"$dir/server.log"
    # A server that starts removes what looks left over of temporary tables in there: another one's too.
    as_mysql mkdir "$dir/tmp"
    as_mysql mariadbd --no-defaults --datadir="$dir/data" --socket="$dir/socket" --port="$port" --bind-address=127.0.0.1 \
        --tmpdir="$dir/tmp" --pid-file="$dir/pid" --innodb-flush-log-at-trx-commit=0 --innodb-buffer-pool-size=64M --skip-log-bin \
        "$@" </dev/null >"$dir/server.log" 2>&1 &
    server=$!
    tries=0
    until mariadb-admin --no-defaults --user=root --socket="$dir/socket" --silent ping >/dev/null 2>&1; do
        kill -0 "$server" 2>/dev/null || { cat "$dir/server.log" >&2; fail "the server did not start on port $port"; }
        tries=$((tries + 1))
        [ "$tries" -lt 600 ] || fail "the server did not answer within 60 s"
        sleep 0.1
    done
    mariadb --no-defaults --user=root --socket="$dir/socket" --execute="
        CREATE DATABASE cutover CHARACTER SET utf8mb4;
        CREATE USER cutover@localhost IDENTIFIED BY '$password';
        CREATE USER cutover@127.0.0.1 IDENTIFIED BY '$password';
        GRANT ALL ON *.* TO cutover@localhost WITH GRANT OPTION;
        GRANT ALL ON *.* TO cutover@127.0.0.1 WITH GRANT OPTION;"
    echo "mysql://cutover:$password@127.0.0.1:$port/cutover"
}

# By name, so that a wrong folder can lose nothing: what else is in it makes rmdir fail.
remove() {
    # The process that was started may be the shell's own, with the server below it.
    if [ -s "$dir/pid" ]; then
        kill -KILL "$(cat "$dir/pid")" 2>/dev/null || true
    fi
    if [ -n "${server:-}" ]; then
        kill -KILL "$server" 2>/dev/null || true
        wait "$server" 2>/dev/null || true
    fi
    rm -rf "$dir/data" "$dir/tmp"
    rm -f "$dir/install.log" "$dir/server.log" "$dir/socket" "$dir/pid"
    rmdir "$dir"
}

[ $# -ge 3 ] && [ "$1" = run ] || usage
dir=$(realpath -m -- "$2")
port=$3
shift 3
command -v mariadbd >/dev/null || fail "no mariadbd in PATH: apt-get install mariadb-server"
password=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
# An interrupt at the terminal reaches this script too; the end of its input is what it stops at.
trap '' INT TERM HUP
# A plain mkdir fails where something is already: from here on the folder is ours, and only then may it be removed.
mkdir -m 700 "$dir" || fail "can't make $dir; it must not exist, and the folder that it goes into must"
trap 'remove' EXIT
if [ "$(id -u)" = 0 ]; then
    chown mysql:mysql "$dir"
fi
start "$@"
cat >/dev/null
