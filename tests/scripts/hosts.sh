# SPDX-License-Identifier: Apache-2.0
# hosts: ranks on test hosts. A limited link limits them, their bits are those of one rank, a partition ends the run and each rank says
# for whom it waited; a crash on the way up, and everything else, is taken down again.
set -uo pipefail
if [ "$(id -u)" != 0 ] || ! unshare --net --uts --ipc --mount true 2>/dev/null; then
  echo "test hosts are namespaces, and this process may make none" && exit 77
fi
. tests/cli.sh
export RINGMASTER_TESTBED=$work/testbed
trap 'cluster/testbed hosts down >/dev/null; rm -rf "$work"' EXIT

hosts() { cluster/testbed hosts "$@"; }

# wrong PATTERN ARGUMENT...: exit code 2 and the pattern on stderr
wrong() {
  local pattern=$1 code=0
  shift
  cluster/testbed "$@" >"$work/out" 2>"$work/err" || code=$?
  [ $code = 2 ] || fail "testbed $*: exit code $code, expected 2"
  grep -Eq "$pattern" "$work/err" || fail "testbed $*: expected \"$pattern\" in: $(cat "$work/err")"
}

# reach: host1 says a word to host2 and gets it back
reach() {
  local code=0 server
  cluster/testbed hosts run host2 timeout 10 python3 -c 'import socket; c, _ = socket.create_server(("", 7000)).accept(); c.sendall(c.recv(4))' &
  server=$!
  hosts run host1 python3 -c '
import socket, sys, time
for _ in range(20):
    try:
        c = socket.create_connection(("host2", 7000), timeout=1)
        c.sendall(b"ping")
        sys.exit(c.recv(4) != b"ping")
    except ConnectionRefusedError:  # it does not listen yet
        time.sleep(0.1)
    except OSError:
        break
sys.exit(1)' || code=1
  kill $server 2>/dev/null
  wait $server 2>/dev/null
  return $code
}

# field FILE EXPRESSION: of the JSON object j
field() { python3 -c 'import json, sys; j = json.load(open(sys.argv[1])); exec("print(" + sys.argv[2] + ")")' "$1" "$2"; }

network() { ls /sys/class/net && ip -oneline address | awk '{print $2, $4}' && ip route; }
own_network=$(network)

# ---- typing mistakes, and commands too early
wrong 'did you mean hosts' host up
wrong 'did you mean status' hosts stauts
wrong 'hosts partition HOST$' hosts partition
wrong '2, 3 or 4' hosts up 5
for command in env 'rate 1gbit' 'partition host1' 'run host1 true'; do wrong 'no test hosts are up' hosts $command; done
[ -e "$RINGMASTER_TESTBED" ] && fail "commands that were refused made a folder"

# ---- a crash on the way up: the first host's name kills who gives it
mkdir "$work/fatal"
printf '#!/bin/sh\nuntil [ -s "%s/pid" ]; do sleep 0.1; done\nkill -9 $(cat "%s/pid")\n' "$work" "$work" >"$work/fatal/hostname"
chmod +x "$work/fatal/hostname"
PATH=$work/fatal:$PATH cluster/testbed hosts up 2>"$work/err" &
echo $! >"$work/pid"
wait $! 2>/dev/null
[ -e "$RINGMASTER_TESTBED" ] || fail "the crash left nothing to take down: $(cat "$work/err")"
wrong 'begun .* and not finished' hosts up
hosts down >/dev/null || fail "down after a crash"
[ -e "$RINGMASTER_TESTBED" ] && fail "down after a crash left $(find "$RINGMASTER_TESTBED")"

# ---- up
hosts up 2 >"$work/out" || fail "up: $(cat "$work/out")"
grep -q 'already' <<<"$(hosts up 2)" || fail "a second up does not say that there are hosts"
wrong 'take them down first' hosts up 3
wrong 'did you mean host2' hosts heal hots2
reach || fail "host1 does not reach host2"
[ "$(network)" = "$own_network" ] || fail "the machine's own network changed: $(network)"
eval "$(hosts env)"
as_root=--allow-run-as-root
[ "$(mpirun $as_root -n 2 hostname | sort | xargs)" = 'host1 host2' ] || fail "mpirun -n 2 does not start a rank on each host"

# ---- a partition, and the end of it
hosts partition host2
grep -q 'host2.*partitioned' <<<"$(hosts status)" || fail "status does not show the partition: $(hosts status)"
reach && fail "host1 reaches host2 through a partition"
hosts heal
reach || fail "host1 does not reach host2 after the partition"

# ---- delay: shown by the kernels that have it, refused by the others
if hosts delay 100 host1 2>"$work/err"; then
  [ "$(hosts run host1 python3 -c 'import socket, time; t = time.time(); socket.socket().connect_ex(("host2", 7000)); print(time.time() - t > 0.1)')" = True ] || fail "no delay"
  hosts delay none
else
  grep -q 'netem' "$work/err" || fail "delay: $(cat "$work/err")"
fi

# ---- a rate: an all_reduce of 8 MiB between two ranks sends 8 MiB each way
seconds() { "$program" bench all_reduce --ranks 2 --algorithm ring --bytes 8MiB --pairs 3 --json >"$work/rate.json" && field "$work/rate.json" 'min(j["rows"][0]["seconds"])'; }
unlimited=$(seconds)
hosts rate 200mbit
limited=$(seconds)
hosts rate none host1
hosts rate none
python3 -c 'import sys; free, limited = map(float, sys.argv[1:]); least = 8 * 2**23 / 200e6; sys.exit(not (free < least / 2 and 0.95 * least < limited < 4 * least))' \
  "$unlimited" "$limited" || fail "all_reduce of 8 MiB: $unlimited s, at 200 Mb/s $limited s"

# ---- the same bits as one rank
find src/core -name '*.h' -print0 | LC_ALL=C sort -z | xargs -0 cat >"$work/text.txt"
cat >"$work/tiny.yaml" <<YAML
model:
  layers: 1
  heads: 2
  width: 32
training:
  steps: 10
  seq_len: 32
  global_batch_size: 8
data:
  path: $work/text.txt
comm:
  timeout_s: 3
metrics:
  log_freq: 1000000
launch:
  threads_per_rank: 1
YAML
for ranks in 1 2; do
  "$program" train "$work/tiny.yaml" --ranks $ranks --run-dir "$work/run-$ranks" --quiet 2>"$work/err" || fail "$ranks ranks: $(cat "$work/err")"
done
[ "$(field "$work/run-2/launch.json" '[r["host"] for r in j["ranks"]]')" = "['host1', 'host2']" ] || fail "the ranks are on $(cat "$work/run-2/launch.json")"
same='j["params_hash"], j["state_hash"], j["loss"]'
[ "$(field "$work/run-1/summary.json" "$same")" = "$(field "$work/run-2/summary.json" "$same")" ] || fail "two hosts have other bits than one rank"

# ---- a partition in the middle of a run
run=$work/parted
"$program" train "$work/tiny.yaml" --ranks 2 --run-dir "$run" --set training.steps=100000000 2>"$work/err" &
launcher=$!
for _ in $(seq 200); do [ -s "$run/metrics.jsonl" ] && break; sleep 0.1; done
ranks=$(field "$run/launch.json" '*(r["pid"] for r in j["ranks"])') || fail "the run does not begin: $(cat "$work/err")"
hosts partition host2
for _ in $(seq 300); do kill -0 $launcher 2>/dev/null || break; sleep 0.1; done
kill -9 $launcher 2>/dev/null && fail "partition: the launcher is there after 30 s"
code=0
wait $launcher 2>/dev/null || code=$?
[ $code = 5 ] || fail "partition: exit code $code, expected 5: $(cat "$work/err")"
[ "$(field "$run/summary.json" 'j["status"], j["exit_code"]')" = 'timeout 5' ] || fail "partition: $(cat "$run/summary.json")"
for rank in 0 1; do
  grep -q "on rank $rank waited 3.* s for rank $((1 - rank))" "$run/logs/rank-0000$rank.log" || fail "partition: $(cat "$run"/logs/rank-0000$rank.log)"
done
grep -q 'on rank [01] waited 3.* s for rank [01]' "$work/err" || fail "partition: the launcher does not say the cause: $(cat "$work/err")"
grep -q '^host1 .* 0$' <<<"$(hosts status)" || fail "partition: processes are left on host1: $(hosts status)"
for pid in $ranks; do [ -d "/proc/$pid" ] && ! grep -q '^State:.Z' "/proc/$pid/status" && fail "partition: rank process $pid is left"; done

# ---- down
hosts down >/dev/null || fail "down"
grep -q 'no test hosts are up' <<<"$(hosts down)" || fail "a second down"
[ -e "$RINGMASTER_TESTBED" ] && fail "down left $(find "$RINGMASTER_TESTBED")"
grep -F "$work" /proc/self/mountinfo && fail "down left mounts"
[ "$(network)" = "$own_network" ] || fail "the machine's own network changed: $(network)"

[ $failures = 0 ]
