#!/usr/bin/env bash
# Separate Docker hosts on this machine: each with its own address, sshd, dockerd, processes, /etc, /root and /var/lib.
# What they are, and what they are not, stands in README.md.
#
#   host.sh up NAME [ADDRESS]     brings it up, again after a crash, and prints what it takes to reach it; a new one has the
#                                 file tree of the Debian release in CUTOVER_HOST_SYSTEM, this machine's if there is none
#   host.sh crash NAME            its power fails; its disk stays
#   host.sh down NAME             it is gone, with its disk
#   host.sh exec NAME COMMAND…    runs a command in it, as root, without SSH
#   host.sh list                  one line per host: name, address, pid of its init or "down"
set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly HERE
readonly HOSTS=${CUTOVER_LAB:-$(cd "$HERE/../.." && pwd)/target/lab}/hosts
readonly FIRST_ADDRESS=$(((198 << 24) + (18 << 16))) # 198.18.0.0/15, for benchmarks (RFC 2544): never a real network
readonly NETWORKS=32768                             # of four addresses each: one network per host
readonly UP_LIMIT=30 DOWN_LIMIT=10                  # seconds
readonly ENVIRONMENT=(HOME=/root TERM=dumb PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin)

die() {
  echo "host: $*" >&2
  exit 1
}

# `within SECONDS COMMAND…` waits until the command succeeds.
within() {
  local limit=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    ((SECONDS < limit)) || return 1
    sleep 0.02
  done
}

# --- Addresses: network number N has N*4+1 for this machine and N*4+2 for the host. ---

dotted() { echo "$(($1 >> 24 & 255)).$(($1 >> 16 & 255)).$(($1 >> 8 & 255)).$(($1 & 255))"; }

machine_address() { dotted $((FIRST_ADDRESS + $1 * 4 + 1)); }

host_address() { dotted $((FIRST_ADDRESS + $1 * 4 + 2)); }

# The machine's end of the cable. Its name is taken by creating it, so hosts of parallel tests never share a network.
cable() { echo "cutover$1"; }

# Prints the number of the network in which an address is the host's.
network_of() {
  local a b c d number
  IFS=. read -r a b c d <<<"$1"
  number=$((((a << 24) + (b << 16) + (c << 8) + d - FIRST_ADDRESS) / 4))
  if ((number < 0 || number >= NETWORKS)) || [[ $(host_address $number) != "$1" ]]; then
    die "$1 can't be a host's address: it must lie in 198.18.0.0/15, and its last number be 2 more than a multiple of 4"
  fi
  echo $number
}

# --- The host NAME lies in $folder: root's disk (etc, home, lib), its keys, its logs, `network` and `init`. ---

select_host() {
  [[ ${1-} =~ ^[a-z0-9][a-z0-9-]{0,30}$ ]] || die "'${1-}' can't be a host's name: use a-z, 0-9 and -"
  name=$1 folder=$HOSTS/$1
}

# `init` holds the pid of the host's init and its network namespace: after a reboot of this machine, the pid alone
# would name somebody else's process.
pid_if_alive() {
  local pid namespace
  read -r pid namespace <"$folder/init" && [[ $(readlink "/proc/$pid/ns/net") == "$namespace" ]] && echo "$pid"
} 2>/dev/null

# Not `ip netns exec`: it mounts /sys anew, and the cgroups would be gone from it.
enter() {
  local pid
  pid=$(pid_if_alive) || die "$name is not up"
  nsenter --target "$pid" --net --mount --uts --ipc --pid --root --wd=/root \
    env --ignore-environment "${ENVIRONMENT[@]}" "$@"
}

create_disk() {
  local key=$folder/etc/ssh/ssh_host_ed25519_key system=
  [[ -z ${CUTOVER_HOST_SYSTEM-} ]] || system=$("$HERE/system.sh" "$CUTOVER_HOST_SYSTEM")
  mkdir -p "$folder/lib" "$folder/log" "$folder/home" "$folder/root"
  [[ -z $system ]] || echo "$system" >"$folder/system"
  cp --archive "$system/etc" "$folder/etc"
  rm -rf "$folder/etc/docker" "$folder"/etc/ssh/ssh_host_* "$folder/etc/resolv.conf"
  # A locked account can't log in even by key; a name server that refuses at once spares every program its time limit.
  sed -i 's/^root:[^:]*:/root:*:/' "$folder/etc/shadow"
  printf 'nameserver 127.0.0.1\noptions timeout:1 attempts:1\n' >"$folder/etc/resolv.conf"
  printf '127.0.0.1 localhost\n127.0.1.1 %s\n' "$name" >"$folder/etc/hosts"
  echo "$name" >"$folder/etc/hostname"
  cp "$HERE/sshd_config" "$folder/etc/ssh/sshd_config"
  ssh-keygen -q -t ed25519 -N '' -C "$name" -f "$key"
  ssh-keygen -q -t ed25519 -N '' -C "root@$name" -f "$folder/id_ed25519"
  cp "$folder/id_ed25519.pub" "$folder/etc/ssh/authorized_keys"
}

# Prints the number of the wanted network, or of the one that the host has, or of one that is likely to be free.
choose_network() {
  local wanted=$1 sum
  if [[ -n $wanted ]]; then
    network_of "$wanted"
  elif [[ -s $folder/network ]]; then
    cat "$folder/network"
  else
    read -r sum _ < <(cksum <<<"$folder")
    echo $((sum % NETWORKS))
  fi
}

# Lays a cable between this machine and the host. A host that has no address yet takes the next one that is free.
connect() {
  local network=$1 pid=$2 tries=$3 device
  device=$(cable "$network")
  until ip link add "$device" type veth peer name eth0 netns "$pid"; do
    ((--tries > 0)) || return 1
    network=$(((network + 1) % NETWORKS))
    device=$(cable "$network")
  done 2>>"$folder/log/init"
  echo "$network" >"$folder/network"
  ip address add "$(machine_address "$network")/30" dev "$device"
  ip link set "$device" up
  nsenter --target "$pid" --net ip address add "$(host_address "$network")/30" dev eth0
  nsenter --target "$pid" --net ip link set eth0 up
}

# What this machine sees of a host without power: silence, rather than "unreachable" or a route to somewhere else.
connect_to_nothing() {
  local network=$1 device
  device=$(cable "$network")
  ip link add "$device" type veth peer name "$device-x"
  ip address add "$(machine_address "$network")/30" dev "$device"
  ip link set "$device-x" up
  ip link set "$device" up
  # Whoever sends to it in this moment has made an entry already.
  ip neighbour replace "$(host_address "$network")" lladdr 02:00:00:00:00:00 dev "$device"
}

start() {
  local wanted=$1 network pid tries=1
  network=$(choose_network "$wanted")
  [[ -n $wanted || -s $folder/network ]] || tries=100
  stop # what a crash left: the silent address
  setsid env --ignore-environment "${ENVIRONMENT[@]}" unshare --net --mount --uts --ipc --pid --fork --kill-child \
    "$HERE/init.sh" "$name" "$folder" </dev/null >"$folder/log/init" 2>&1 &
  within 5 pid_if_alive || failed "its init did not start"
  pid=$(pid_if_alive)
  connect "$network" "$pid" "$tries" || failed "its address $(host_address "$network") is taken"
  within "$UP_LIMIT" is_up_or_dead || failed "it did not come up within $UP_LIMIT s"
  is_up || failed "it did not come up"
}

is_up() { [[ -e /proc/$(pid_if_alive)/root/run/cutover-host-is-up ]]; }

is_up_or_dead() { is_up || ! pid_if_alive; }

failed() {
  tail --lines 10 "$folder"/log/* >&2
  stop
  die "$name: $1; its logs are in $folder/log"
}

# Kills the init, and with it every process of the host; returns when the kernel has taken all of it down.
stop() {
  local pid network
  if pid=$(pid_if_alive); then
    kill -KILL "$pid"
    within "$DOWN_LIMIT" ended "$pid" || die "$name still runs $DOWN_LIMIT s after SIGKILL (pid $pid)"
  fi
  rm -f "$folder/init"
  if network=$(cat "$folder/network" 2>/dev/null); then
    within "$DOWN_LIMIT" disconnect "$network" || die "the network device $(cable "$network") of $name did not go away"
  fi
  within "$DOWN_LIMIT" remove_cgroups || die "the cgroup /cutover-$name did not become empty"
}

ended() { [[ ! -e /proc/$1 ]]; }

disconnect() {
  local device
  device=$(cable "$1")
  [[ ! -e /sys/class/net/$device ]] || ip link delete "$device"
}

# With cgroup v1 there is a tree per controller, with v2 there is one.
remove_cgroups() {
  local tree left=0
  for tree in /sys/fs/cgroup/"cutover-$name" /sys/fs/cgroup/*/"cutover-$name"; do
    [[ ! -d $tree ]] || find "$tree" -depth -type d -exec rmdir {} + || left=1
  done
  return $left
}

# --- The verbs ---

up() {
  local wanted=${2-}
  select_host "$@"
  ((EUID == 0)) || die "only root can make namespaces that hold a Docker Engine"
  [[ -z $wanted ]] || network_of "$wanted" >/dev/null
  if pid_if_alive >/dev/null; then
    [[ -z $wanted || $wanted == "$(host_address "$(cat "$folder/network")")" ]] || die "$name is up at another address"
  else
    [[ -e $folder/etc/ssh/authorized_keys ]] || rm -rf "$folder" # a creation that was cut off
    [[ -d $folder ]] || create_disk
    start "$wanted"
  fi
  report
}

report() {
  local address
  address=$(host_address "$(cat "$folder/network")")
  echo "$address $(cut -d ' ' -f 1,2 "$folder/etc/ssh/ssh_host_ed25519_key.pub")" >"$folder/known_hosts"
  echo "NAME=$name"
  echo "ADDRESS=$address"
  echo "KEY=$folder/id_ed25519"
  echo "KNOWN_HOSTS=$folder/known_hosts"
  echo "PID=$(pid_if_alive)"
}

crash() {
  select_host "$@"
  pid_if_alive >/dev/null || die "$name is not up"
  stop
  connect_to_nothing "$(cat "$folder/network")"
}

down() {
  select_host "$@"
  [[ -d $folder ]] || return 0
  stop
  rm -rf "$folder"
}

list() {
  local folder name
  for folder in "$HOSTS"/*/; do
    folder=${folder%/}
    [[ -e $folder/network ]] || continue
    name=${folder##*/}
    echo "$name $(host_address "$(cat "$folder/network")") $(pid_if_alive || echo down)"
  done
}

verb=${1-}
shift || true
case $verb in
up | crash | down) "$verb" "$@" ;;
list) list ;;
exec)
  select_host "$@"
  enter "${@:2}"
  ;;
*) die "usage: host.sh up NAME [ADDRESS] | crash NAME | down NAME | exec NAME COMMAND… | list" ;;
esac
