# SPDX-License-Identifier: Apache-2.0
# comm-launch-failures: a rank that stops, is killed, a launcher that is killed, a second start in the same folder, Ctrl-C:
# each ends with its exit code, says why, and leaves no process behind.
set -uo pipefail
. tests/cli.sh
pids=()
trap 'kill -9 "${pids[@]}" 2>/dev/null; rm -rf "$work"' EXIT

head -c 20000 /dev/zero | tr '\0' 'a' >"$work/text.txt"
cat >"$work/endless.yaml" <<YAML
model:
  layers: 1
  heads: 2
  width: 16
training:
  steps: 100000000
  seq_len: 16
  global_batch_size: 6
data:
  path: $work/text.txt
comm:
  timeout_s: 3
metrics:
  log_freq: 1000000
YAML

# field FILE EXPRESSION: of the JSON object j
field() { python3 -c 'import json, sys; j = json.load(open(sys.argv[1])); exec("print(" + sys.argv[2] + ")")' "$1" "$2"; }

# begin NAME RANKS: starts an endless run in $work/NAME and waits until it trains; $launcher is its pid, $job the others'
begin() {
  run=$work/$1
  python3 -c 'import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); os.execv(sys.argv[1], sys.argv[1:])' \
    "$program" train "$work/endless.yaml" --ranks "$2" --run-dir "$run" 2>"$run.err" &
  launcher=$!
  pids+=($launcher)
  for _ in $(seq 600); do
    [ -s "$run/metrics.jsonl" ] && job=$(all_pids) && return
    sleep 0.1
  done
  fail "$1: does not begin: $(cat "$run.err")"
}

rank_pid() { field "$run/launch.json" "j['ranks'][$1]['pid']"; }
all_pids() { field "$run/launch.json" "*(r['pid'] for r in j['ranks']), j['mpirun_pid'] or ''"; }

# ended NAME CODE: the launcher ends with CODE, and then nobody of the job is left
ended() {
  wait $launcher
  local code=$?
  [ $code = "$2" ] || fail "$1: exit code $code, expected $2: $(cat "$run.err")"
  gone "$1"
}

gone() {
  local pid left=
  for _ in $(seq 100); do
    left=
    for pid in $job; do
      [ -d "/proc/$pid" ] && ! grep -q '^State:.Z' "/proc/$pid/status" && left="$left $pid"
    done
    [ -z "$left" ] && return
    sleep 0.1
  done
  fail "$1: left$left"
  kill -9 $left
}

# A handler in a thread that computes would write its frame over oneDNN's workspace (src/train/stop.h): of every rank SIGINT,
# SIGUSR1 and SIGTERM reach one thread, the one that waits for them.
signals_reach_one_thread() {
  local rank mask takers
  for rank in $(seq 0 $(($2 - 1))); do
    takers=0
    for mask in $(sed -n 's/^SigBlk:[[:space:]]*//p' /proc/"$(rank_pid "$rank")"/task/*/status); do
      [ $((0x$mask & 0x4202)) = $((0x4202)) ] || takers=$((takers + 1))
    done
    [ $takers = 1 ] || fail "$1: stop signals reach $takers threads of rank $rank, expected 1"
  done
}

said() { grep -q "$2" "$run.err" || fail "$1: expected \"$2\" in: $(cat "$run.err")"; }

begin stopped 2
kill -STOP "$(rank_pid 1)"
ended stopped 5
said stopped 'for rank 1'
[ "$(field "$run/summary.json" "j['status'], j['exit_code']")" = 'timeout 5' ] || fail "stopped: summary.json"
[ "$(field "$run/failure.json" "j['waiting'][0]['for']")" = 1 ] || fail "stopped: failure.json"

for victim in 0 1; do
  begin "killed-$victim" 2
  kill -9 "$(rank_pid $victim)"
  ended "killed-$victim" 1
  said "killed-$victim" "rank $victim of 2 on .*killed by signal 9"
  [ "$(field "$run/summary.json" "j['status'], j['exit_code']")" = 'failed 1' ] || fail "killed: summary.json"
  [ "$(field "$run/failure.json" "j['rank']")" = $victim ] || fail "killed: failure.json names another rank"
  [ "$(grep -c 'training stopped' "$run.err")" = 1 ] || fail "killed: told more than once: $(cat "$run.err")"
  grep -q 'mpirun noticed\|MPI_ABORT' "$run.err" && fail "killed: mpirun's own words reach the user"
done

begin launcher-killed 2
for ranks in 1 2; do
  "$program" train "$work/endless.yaml" --ranks $ranks --run-dir "$run" >"$work/out" 2>"$work/err"
  [ $? = 2 ] || fail "a second start on $ranks ranks: expected exit code 2"
  grep -q 'live run' "$work/err" || fail "a second start on $ranks ranks: $(cat "$work/err")"
done
kill -9 $launcher
wait $launcher 2>/dev/null
gone launcher-killed

for ranks in 1 2; do
  for signal in TERM INT; do
    begin "$signal-$ranks" $ranks
    signals_reach_one_thread "$signal-$ranks" $ranks
    kill -$signal $launcher
    ended "$signal-$ranks" 75
    [ "$(field "$run/summary.json" "j['status']")" = saved ] || fail "$signal: not saved"
    "$program" checkpoint verify "$run" >/dev/null || fail "$signal: the checkpoint is damaged"
  done
done

begin twice 2
kill -STOP $(rank_pid 0) $(rank_pid 1)  # or the first Ctrl-C could have saved before the second
kill -INT $launcher
sleep 1
kill -INT $launcher
ended twice 130

# A launcher inside somebody's mpirun is a rank: one world of two, not two worlds.
mpirun=(mpirun -n 2 --bind-to none --oversubscribe)
[ "$(id -u)" = 0 ] && mpirun+=(--allow-run-as-root)
"${mpirun[@]}" "$program" train "$work/endless.yaml" --run-dir "$work/direct" --set training.steps=3 2>"$work/err" || fail "mpirun: $(cat "$work/err")"
[ "$(field "$work/direct/summary.json" "j['ranks']")" = 2 ] || fail "mpirun: expected 2 ranks"
"${mpirun[@]}" "$program" train "$work/endless.yaml" --run-dir "$work/other" --ranks 3 >"$work/out" 2>"$work/err"
[ $? = 2 ] || fail "mpirun with another --ranks: expected exit code 2"
grep -q 'in a job of 2 ranks' "$work/err" || fail "mpirun with another --ranks: $(cat "$work/err")"
[ -e "$work/other" ] && fail "mpirun with another --ranks: created a run folder"

[ $failures = 0 ]
