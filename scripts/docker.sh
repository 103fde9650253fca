#!/usr/bin/env bash
# The Docker Engine of this machine, which builds images: started where none answers, as on a CI machine without
# an init system.
#
#   docker.sh start    returns once a daemon answers; one that already runs is left alone
#   docker.sh stop     stops the daemon that `start` has started, and no other
#   docker.sh status   says who answers; exits 1 when nobody does
#
# It uses Docker's own folder and socket, so images outlive `target/`, and `docker` needs no setting.
set -euo pipefail

readonly STATE=${CUTOVER_LAB:-$(cd "$(dirname "$0")/.." && pwd)/target/lab}/dockerd
readonly PID_FILE=$STATE/pid LOG=$STATE/log
readonly START_LIMIT=60 STOP_LIMIT=30 # seconds

die() {
  echo "docker: $*" >&2
  exit 1
}

answers() { timeout 5 docker version --format '{{.Server.Version}}' 2>/dev/null; }

# Prints the pid of our daemon if it still runs: a pid alone may meanwhile belong to somebody else.
ours() {
  local pid
  pid=$(cat "$PID_FILE" 2>/dev/null) && [[ $(cat "/proc/$pid/comm" 2>/dev/null) == dockerd ]] && echo "$pid"
}

# `within SECONDS COMMAND…` waits until the command succeeds.
within() {
  local limit=$((SECONDS + $1))
  shift
  until "$@" >/dev/null; do
    ((SECONDS < limit)) || return 1
    sleep 0.1
  done
}

ended() { ! ours; }

answers_or_ended() { answers || ended; }

# Where no init system has done it: the controllers without which runc starts no container.
mount_cgroups() {
  local controller
  mountpoint --quiet /sys/fs/cgroup && return
  mount -t tmpfs -o mode=755 cgroup /sys/fs/cgroup
  awk '!/^#/ && $4 == 1 { print $1 }' /proc/cgroups | while read -r controller; do
    mkdir -p "/sys/fs/cgroup/$controller"
    mount -t cgroup -o "$controller" cgroup "/sys/fs/cgroup/$controller"
  done
}

start() {
  answers >/dev/null && return
  ((EUID == 0)) || die "no Docker Engine answers, and only root can start one"
  command -v dockerd >/dev/null || die "there is no dockerd here; run scripts/install.sh"
  mkdir -p "$STATE"
  mount_cgroups
  if ! ours >/dev/null; then
    rm -f "$PID_FILE"
    setsid dockerd --pidfile "$PID_FILE" </dev/null >"$LOG" 2>&1 &
    within 5 test -s "$PID_FILE" || true # absent when it failed at once, which is reported below
  fi
  within "$START_LIMIT" answers_or_ended || true
  answers >/dev/null && return
  tail -n 10 "$LOG" >&2
  die "dockerd did not start; its whole log is $LOG"
}

stop() {
  local pid
  pid=$(ours) || return 0
  kill "$pid"
  within "$STOP_LIMIT" ended || die "dockerd (pid $pid) still runs ${STOP_LIMIT} s after SIGTERM; see $LOG"
  rm -f "$PID_FILE"
}

status() {
  local version pid
  version=$(answers) || die "no Docker Engine answers"
  if pid=$(ours); then
    echo "Docker Engine $version, started by this script, pid $pid, log $LOG"
  else
    echo "Docker Engine $version, not started by this script"
  fi
}

case ${1-} in
start | stop | status) "$1" ;;
*) die "usage: docker.sh start|stop|status" ;;
esac
