# SPDX-License-Identifier: Apache-2.0
# cli-not-errors: surroundings that are no reason to fail: odd paths, an empty environment, a working directory that nobody
# can write, another locale, OMP_NUM_THREADS, a log that nobody reads. All of them on two ranks too.
set -uo pipefail
. tests/cli.sh

odd=$work/$'two words\nand Zürich: \xe2\x82\xac #1'
mkdir "$odd"
head -c 20000 /dev/zero | tr '\0' 'a' >"$odd/text.txt"
cat >"$odd/good.yaml" <<'YAML'
model:
  layers: 1
  heads: 2
  width: 16
optimizer:
  lr: 1.5e-3
training:
  steps: 2
  seq_len: 16
  global_batch_size: 4
YAML
data=data.path='"'$(sed 's/$/\\n/' <<<"$odd/text.txt" | tr -d '\n' | sed 's/\\n$//')'"'

# trains NAME RANKS COMMAND...: the command in front of the program; leaves the words of the run in $work/err
trains() {
  local name="$1, $2 ranks" ranks=$2
  shift 2
  "$@" "$program" train "$odd/good.yaml" --ranks "$ranks" --run-dir "$odd/run" --set "$data" \
    --set launch.threads_per_rank=1 </dev/null >"$work/out" 2>"$work/err" || fail "$name: $(cat "$work/err")"
  [ -s "$work/out" ] && fail "$name: stdout is not empty"
  grep -q '"status": *"done"' "$odd/run/summary.json" || fail "$name: the run is not done"
  rm -rf "$odd/run"
}

# A comma-decimal locale, if this system can make one.
LOCPATH=$work/locales
mkdir "$LOCPATH" && localedef -i de_DE -f UTF-8 "$LOCPATH/de_DE.UTF-8" 2>/dev/null
german=(env "LOCPATH=$LOCPATH" LC_ALL=de_DE.UTF-8)

# Help, however it is asked for.
for words in --help -h help 'help train' 'train -h' 'train --help' 'checkpoint --help' 'help checkpoint' 'bench -h'; do
  # shellcheck disable=SC2086  # words are words
  [ -n "$("$program" $words 2>/dev/null)" ] || fail "no help by: $words"
done

for ranks in 1 2; do
  trains 'odd paths' $ranks
  trains 'a cleared environment' $ranks env -i
  (cd /proc || exit 1; failures=0; trains "a read-only working directory" $ranks; [ $failures = 0 ]) || failures=$((failures + 1))
  trains 'a comma for the point' $ranks "${german[@]}"
  for threads in 0 1000000000; do
    trains "OMP_NUM_THREADS=$threads" $ranks env OMP_NUM_THREADS=$threads
    [ "$(grep -c 'OMP_NUM_THREADS is ignored' "$work/err")" = 1 ] || fail "OMP_NUM_THREADS=$threads, $ranks ranks: one line should say that it is ignored"
  done
  trains 'another MPI job around' $ranks env OMPI_COMM_WORLD_SIZE=7 OMPI_MCA_ess=nonsense PMIX_NAMESPACE=1
  trains 'a batch script of Slurm' $ranks env SLURM_PROCID=0 SLURM_NTASKS=4

  # stdin belongs to others; a log whose reader has gone stops nothing
  left=$({ "$program" train "$odd/good.yaml" --ranks $ranks --run-dir "$odd/run" --set "$data" --set launch.threads_per_rank=1 --quiet >&2; cat; } <<<'not read')
  [ "$left" = 'not read' ] || fail "$ranks ranks: stdin was read"
  rm -rf "$odd/run"
  "$program" train "$odd/good.yaml" --ranks $ranks --run-dir "$odd/run" --set "$data" --set launch.threads_per_rank=1 --set training.steps=200 2>&1 >/dev/null | head -c 1 >"$work/out"
  [ "${PIPESTATUS[0]}" = 0 ] || fail "$ranks ranks: a closed stderr stopped the run"
  grep -q '"steps": *200' "$odd/run/summary.json" || fail "$ranks ranks: a closed stderr cut the run short"
  rm -rf "$odd/run"
done

# A run that has saved nothing yet says so to people alone.
mkdir "$work/young"
[ -z "$("$program" checkpoint ls "$work/young" 2>"$work/err")" ] || fail "checkpoint ls of an empty folder: stdout is not empty"
grep -q 'holds no checkpoint: a run saves one' "$work/err" || fail "checkpoint ls of an empty folder: $(cat "$work/err")"
"$program" checkpoint ls "$work/young" --json 2>"$work/err" | python3 -c 'import json, sys; assert json.load(sys.stdin)["checkpoints"] == []' ||
  fail "checkpoint ls --json of an empty folder"
[ -s "$work/err" ] && fail "checkpoint ls --json of an empty folder: $(cat "$work/err")"

"$program" plan "$odd/good.yaml" --json | python3 -c 'import json, sys; json.load(sys.stdin)' || fail "plan of an odd path"
"${german[@]}" "$program" plan "$odd/good.yaml" --json | python3 -c 'import json, sys; json.load(sys.stdin)' || fail "plan in another locale"
[ $failures = 0 ]
