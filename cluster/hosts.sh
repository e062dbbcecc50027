# SPDX-License-Identifier: Apache-2.0
# hosts: test hosts as network namespaces, joined by a bridge in one more. A host has its own name, addresses, IPC and /dev/shm, so
# MPI takes it for a machine; files and processes are those of this one. Sourced by cluster/testbed.
# All that there is lies in one folder: the namespaces are files that hold them (no process does), a host's /dev/shm is a mount,
# nothing of the machine's own network is touched, and whatever `up` got to `down` takes away.

hosts_usage='usage: cluster/testbed hosts COMMAND

  up [N]                  make 2 to 4 hosts (2 if not said): host1, host2, ...
  down                    take them away again, and end what runs on them
  status                  the hosts, their links, and how many processes run on each
  env                     shell exports: after  eval "$(cluster/testbed hosts env)"  mpirun starts ranks on the hosts
  run HOST COMMAND...     run a command on a host
  rate RATE|none [HOST]   limit a link, or all of them, in both directions: 1gbit, 100mbit, 64kbit
  delay MS|none [HOST]    packets that leave the host take this long more
  partition HOST          drop all packets from and to a host from now on; nobody is told
  heal [HOST]             end its partition, or all of them'

declare -A hosts_arguments=([up]='0 1' [down]='0 0' [status]='0 0' [env]='0 0' [run]='2 9999' [rate]='1 2' [delay]='1 2'
  [partition]='1 1' [heal]='0 1')  # the fewest and the most of each command
state=${RINGMASTER_TESTBED:-${XDG_RUNTIME_DIR:-/tmp}/ringmaster-testbed-$(id -u)}
case $state in /*) ;; *) state=$PWD/$state ;; esac

hosts() {
  local command=${1---help}
  local -a limits
  [ "$command" != --help ] || { printf '%s\n' "$hosts_usage" && return; }
  shift
  [ -n "${hosts_arguments[$command]-}" ] || refuse "command" "$command" $(sed -n 's/^  \([a-z]*\) .*/\1/p' <<<"$hosts_usage")
  [ "$(id -u)" = 0 ] || fail "hosts $command: only root can make and enter network namespaces" "run it as root:  sudo cluster/testbed hosts $command"
  limits=(${hosts_arguments[$command]})
  [ $# -ge "${limits[0]}" ] && [ $# -le "${limits[1]}" ] ||
    fail "hosts $command: $# arguments" "expected:  hosts $(sed -n "s/^  \($command\( [^ ][^ ]*\)*\)  .*/\1/p" <<<"$hosts_usage")"
  "hosts_$command" "$@"
}

# names: of the hosts that are up; fails, and says so, if none are
names() {
  [ -f "$state/names" ] || fail "no test hosts are up" "looked in:  $state" "make them:  cluster/testbed hosts up"
  [ -O "$state" ] || fail "$state belongs to somebody else" "give another folder: RINGMASTER_TESTBED"
  cat "$state/names"
}

# require HOST
require() {
  local known
  known=$(names)
  grep -qxF -e "$1" <<<"$known" || refuse "host" "$1" $known
}

# chosen [HOST]: it, or all
chosen() {
  [ $# = 0 ] || require "$1"
  if [ $# = 0 ]; then names; else printf '%s\n' "$1"; fi
}

within() { nsenter --net="$state/$1/net" "${@:2}"; }

# ---- up and down
hosts_up() {
  local count=${1:-2} known host
  [[ $count =~ ^[2-4]$ ]] || fail "hosts up $count" "expected:  2, 3 or 4 hosts"
  if [ -f "$state/names" ]; then
    known=$(names | wc -l)
    [ "$known" = "$count" ] || fail "$known test hosts are up, not $count" "take them down first:  cluster/testbed hosts down"
    echo "$count test hosts are up already" && return
  fi
  for program in ip tc bridge nsenter unshare hostname mpirun; do
    type -P "$program" >/dev/null || fail "there is no $program in PATH" "install it (Debian: apt-get install iproute2 util-linux hostname openmpi-bin)"
  done
  mkdir -m 700 "$state" || fail "test hosts were begun in $state and not finished" "take away what there is:  cluster/testbed hosts down"
  trap 'take_down' EXIT
  make_switch
  for host in $(seq -f 'host%g' "$count"); do make_host "$host" "10.77.0.${host#host}"; done
  make_programs
  mv "$state/names.new" "$state/names"
  trap - EXIT
  echo "$count test hosts are up: $(names | xargs)"
}

make_switch() {
  mkdir "$state/switch"
  touch "$state/switch/net"
  unshare --net="$state/switch/net" ip link add switch type bridge stp_state 0 mcast_snooping 0 ||
    fail "cannot make a network namespace with a bridge" "expected:  root with CAP_SYS_ADMIN and CAP_NET_ADMIN (in a container: --privileged)"
  within switch ip link set switch up
  printf '127.0.0.1 localhost\n' >"$state/addresses"
}

# make_host NAME ADDRESS
make_host() {
  local folder=$state/$1
  mkdir "$folder" "$folder/shm"
  touch "$folder/net" "$folder/uts" "$folder/ipc"
  unshare --net="$folder/net" --uts="$folder/uts" --ipc="$folder/ipc" hostname "$1"
  mount -t tmpfs -o mode=1777 "$1" "$folder/shm"
  within switch ip link add "$1" type veth peer name eth0 netns "$folder/net"
  within switch ip link set "$1" master switch up
  within "$1" ip address add "$2/24" dev eth0
  within "$1" ip link set lo up
  within "$1" ip link set eth0 up
  echo none | tee "$folder/rate" >"$folder/delay"
  printf '%s %s\n' "$2" "$1" >>"$state/addresses"
  printf '%s\n' "$1" >>"$state/names.new"
}

# What `env` puts in front of PATH. mpirun runs on the first host and reaches the others by an agent in the place of ssh. Its
# settings are made behind the launcher, which takes those of the environment away.
make_programs() {
  mkdir "$state/bin" "$state/tmp"
  sed 's/$/ slots=1/' "$state/names.new" >"$state/hostfile"
  cat >"$state/bin/mpirun" <<SCRIPT
#!/usr/bin/env bash
export RINGMASTER_TESTBED=$(printf %q "$state")
export OMPI_MCA_plm=rsh OMPI_MCA_plm_rsh_agent=testbed-agent OMPI_MCA_orte_default_hostfile=$(printf %q "$state/hostfile")
export OMPI_MCA_orte_tmpdir_base=$(printf %q "$state/tmp")  # what jobs that are killed leave goes with the hosts
export OMPI_MCA_pml=ob1 OMPI_MCA_btl=self,vader,tcp OMPI_MCA_btl_tcp_if_include=eth0 OMPI_MCA_oob_tcp_if_include=eth0
export PATH=$(printf %q "$state/bin"):\$PATH  # where the agent is
exec $(printf %q "$here/testbed") hosts run host1 $(printf %q "$(type -P mpirun)") "\$@"
SCRIPT
  cat >"$state/bin/testbed-agent" <<SCRIPT
#!/usr/bin/env bash
export RINGMASTER_TESTBED=$(printf %q "$state")
exec $(printf %q "$here/testbed") hosts run "\$1" sh -c "\${*:2}"
SCRIPT
  chmod +x "$state/bin/mpirun" "$state/bin/testbed-agent"
}

hosts_down() {
  [ -e "$state" ] || { echo "no test hosts are up" && return; }
  [ -O "$state" ] && [ ! -L "$state" ] || fail "$state belongs to somebody else" "give another folder: RINGMASTER_TESTBED"
  local folder
  for folder in "$state"/host*; do
    [ ! /proc/self/ns/net -ef "$folder/net" ] || fail "this is ${folder##*/}, which can not take itself down" "run it on the machine itself"
  done
  take_down
  echo "the test hosts are down"
}

take_down() {
  local file
  end_processes
  rm -f "$state/names"  # from here on they are not up
  for file in "$state"/*/net "$state"/*/uts "$state"/*/ipc "$state"/*/shm; do
    while umount "$file" 2>/dev/null; do :; done
  done
  rm -rf "$state"
}

# processes HOST: their ids
processes() {
  local process
  for process in /proc/[0-9]*; do
    [ ! "$process/ns/net" -ef "$state/$1/net" ] || printf '%s\n' "${process#/proc/}"
  done
}

end_processes() {
  local signal left folder
  for signal in TERM KILL; do
    for _ in $(seq 20); do
      left=$(for folder in "$state"/host*; do processes "${folder##*/}"; done)
      [ -n "$left" ] || return 0
      kill -$signal $left 2>/dev/null || true  # they may have ended meanwhile
      sleep 0.1
    done
  done
  fail "processes on the test hosts do not end: $(xargs <<<"$left")"
}

# ---- in use
hosts_status() {
  local known host
  [ -e "$state" ] || { echo "no test hosts are up" && return; }
  known=$(names)
  printf '%-8s%-12s%-12s%-12s%-14s%s\n' host address rate delay link processes
  for host in $known; do
    printf '%-8s%-12s%-12s%-12s%-14s%s\n' "$host" "$(awk -v host="$host" '$2 == host {print $1}' "$state/addresses")" \
      "$(<"$state/$host/rate")" "$(<"$state/$host/delay")" "$(link_state "$host")" "$(processes "$host" | wc -l)"
  done
}

link_state() {
  if within switch bridge link show dev "$1" | grep -q 'state forwarding'; then echo up; else echo partitioned; fi
}

hosts_env() {
  names >/dev/null
  printf 'export RINGMASTER_TESTBED=%q\nexport PATH=%q:"$PATH"\n' "$state" "$state/bin"
}

# A process on a host has a mount namespace for itself, made on entering: what must differ between hosts is put over the machine's.
hosts_run() {
  local folder=$state/$1
  require "$1"
  shift
  exec nsenter --net="$folder/net" --uts="$folder/uts" --ipc="$folder/ipc" unshare --mount --propagation slave \
    sh -c 'mount --bind "$1" /dev/shm && mount --bind "$2" /etc/hosts && shift 2 && exec "$@"' sh "$folder/shm" "$state/addresses" "$@"
}

# ---- links
# A port of a bridge that is disabled takes and gives nothing, and the host at its other end does not notice.
hosts_partition() {
  require "$1"
  within switch bridge link set dev "$1" state 0
}

hosts_heal() {
  local known host
  known=$(chosen "$@")
  for host in $known; do within switch bridge link set dev "$host" state 3; done
}

hosts_rate() {
  [[ $1 =~ ^([1-9][0-9]*(k|m|g)bit|none)$ ]] || fail "hosts rate $1" "expected:  a rate such as 1gbit, 100mbit or 64kbit, or none"
  set_link rate "$@"
}

hosts_delay() {
  [[ $1 =~ ^([1-9][0-9]*|none)$ ]] || fail "hosts delay $1" "expected:  whole milliseconds, such as 5, or none"
  names >/dev/null
  [ "$1" = none ] || { within switch tc qdisc add dev lo root netem delay 1ms 2>/dev/null && within switch tc qdisc del dev lo root; } ||
    fail "hosts delay $1: this kernel can not delay packets" "expected:  the queueing discipline netem (modprobe sch_netem, or a kernel with CONFIG_NET_SCH_NETEM)"
  set_link delay "$@"
}

# set_link rate|delay VALUE [HOST]
set_link() {
  local known host
  known=$(chosen "${@:3}")
  for host in $known; do
    printf '%s\n' "$2" >"$state/$host/$1"
    queue "$host" eth0 "$(<"$state/$host/rate")" "$(<"$state/$host/delay")"
    queue switch "$host" "$(<"$state/$host/rate")" none
  done
}

# queue NAMESPACE DEVICE RATE DELAY: what packets that leave by the device wait in
queue() {
  local parent=root
  within "$1" tc qdisc del dev "$2" root 2>/dev/null || true  # there may be none
  if [ "$3" != none ]; then
    within "$1" tc qdisc add dev "$2" root handle 1: tbf rate "$3" burst "$(burst "$3")" latency 50ms
    parent='parent 1:1'
  fi
  [ "$4" = none ] || within "$1" tc qdisc add dev "$2" $parent netem delay "$4ms" limit 100000
}

# burst RATE: the bytes of a millisecond, but two packets at least
burst() {
  local bytes
  case $1 in
    *kbit) bytes=$((${1%kbit} / 8)) ;;
    *mbit) bytes=$((${1%mbit} * 1000 / 8)) ;;
    *gbit) bytes=$((${1%gbit} * 1000000 / 8)) ;;
  esac
  echo $((bytes > 3028 ? bytes : 3028))
}
