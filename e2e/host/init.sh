#!/usr/bin/env bash
# The init of a separate Docker host: host.sh starts it as process 1 of new namespaces.
#
#   init.sh NAME FOLDER
set -euo pipefail

readonly NAME=$1 FOLDER=$2
# What tests start on the host, by the path that it has on the machine.
PROGRAMS=$(realpath "$(dirname "$0")/../../target/dist")
readonly PROGRAMS

# /proc is still the machine's: it knows this process by the pid by which the machine can kill it.
read -r pid _ </proc/self/stat
echo "$pid $(readlink "/proc/$pid/ns/net")" >"$FOLDER/init.new"
mv "$FOLDER/init.new" "$FOLDER/init"

hostname "$NAME"
# The tree of another system becomes the root at the end; until then everything is mounted below it.
root=
if [[ -s $FOLDER/system ]]; then
  root=$FOLDER/root
  mount --bind "$(cat "$FOLDER/system")" "$root"
  mount --rbind /dev "$root/dev"
  mount --rbind /sys "$root/sys"
fi
mount -t proc proc "$root/proc"
# The checkout may lie below what is mounted over here, so whatever is needed of it comes first.
exec >>"$FOLDER/log/init" 2>&1
exec 3>>"$FOLDER/log/sshd" 4>>"$FOLDER/log/dockerd"
[[ ! -d $PROGRAMS ]] || mount --bind "$PROGRAMS" "$root/mnt"
cd "$FOLDER"
mount --bind etc "$root/etc"
mount --bind home "$root/root"
mount --bind lib "$root/var/lib"
cd "$root/"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
mkdir "$root/run/sshd"
if [[ -n $root ]]; then
  mkdir "$root/run/machine"
  pivot_root . run/machine
  umount --lazy /run/machine
  rmdir /run/machine
fi
if mountpoint --quiet /mnt; then
  mkdir -p "$PROGRAMS"
  mount --move /mnt "$PROGRAMS"
fi

ip link set lo up

# `within SECONDS COMMAND…` waits until the command succeeds.
within() {
  local limit=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    ((SECONDS < limit)) || {
      echo "not within its limit: $*"
      exit 1
    }
    sleep 0.02
  done
}

/usr/sbin/sshd -D -e >&3 2>&1 &
dockerd --exec-opt native.cgroupdriver=cgroupfs --cgroup-parent "/cutover-$NAME" >&4 2>&1 &
exec 3>&- 4>&-

has_address() { [[ -n $(ip -4 -oneline address show dev eth0) ]]; }
sshd_answers() { : <>/dev/tcp/127.0.0.1/22; }
dockerd_answers() { docker version; }

within 10 has_address
within 10 sshd_answers
within 30 dockerd_answers
touch /run/cutover-host-is-up

# It reaps what loses its parent, as the init of a host must.
exec docker-init -- sleep infinity
