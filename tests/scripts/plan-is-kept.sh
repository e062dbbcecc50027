# SPDX-License-Identifier: Apache-2.0
# plan-is-kept: a run needs the memory that its plan says, and where that is not granted it is refused before any work, with what fits.
set -uo pipefail
. tests/cli.sh

head -c 30000 /dev/zero | tr '\0' 'a' >"$work/text.txt"
cat >"$work/deep.yaml" <<'YAML'
model: {layers: 48, heads: 4, width: 256}
training: {steps: 1, seq_len: 2048, global_batch_size: 1, grain_size: 1}
activation_checkpoint: {mode: budget, budget: 5%}
YAML
printf 'data: {path: "%s"}\n' "$work/text.txt" >>"$work/deep.yaml"

# field EXPRESSION: of the JSON object on stdin, `j`
field() { python3 -c "import json, sys; j = json.load(sys.stdin); print($1)"; }

# granted BYTES ARGUMENT...: the program where no more writable memory is granted
granted() {
  local bytes=$1
  shift
  (ulimit -d $((bytes / 1024)) && "$program" "$@" >"$work/out" 2>"$work/err")
}

mib=$((1 << 20))
process=$("$program" plan "$work/deep.yaml" --json | field 'j["per_rank"][0]["process_bytes"]')
granted $((process + 64 * mib)) train "$work/deep.yaml" --run-dir "$work/run" --quiet ||
  fail "48 layers under a limit of process_bytes + 64 MiB: $(cat "$work/err")"
field "None if j['peak_bytes_measured'] == j['peak_bytes_planned'] and
       abs(j['process_peak_bytes'][0] - $process) <= 0.03 * $process + 64 * $mib else j" <"$work/run/summary.json" >"$work/wrong"
grep -qx None "$work/wrong" || fail "the process or its arena is not as planned: $(cat "$work/wrong")"
rm -r "$work/run"

granted $((process / 2)) train "$work/deep.yaml" --run-dir "$work/run"
[ $? = 3 ] || fail "half of the memory: the exit code is not 3"
grep -q "a rank, the machine grants .* (rlimit)" "$work/err" || fail "half of the memory: $(cat "$work/err")"
[ -e "$work/run" ] && fail "half of the memory: the run folder was made"

# One byte below the least budget.
least=$("$program" plan "$work/deep.yaml" --json | field 'j["recompute"]["minimum_budget_bytes"]')
"$program" train "$work/deep.yaml" --run-dir "$work/run" --set activation_checkpoint.budget=$((least - 1)) >"$work/out" 2>"$work/err"
[ $? = 3 ] || fail "below the least budget: the exit code is not 3"
grep -q "expected at least $least bytes" "$work/err" || fail "below the least budget: $(cat "$work/err")"
"$program" plan "$work/deep.yaml" --set activation_checkpoint.budget="$least" >/dev/null || fail "the least budget is refused"

# Nothing of the model is allocated. What is advised fits: tests/train/frontier_test.cpp.
head -c 60000 /dev/zero >"$work/ids.u16"
large=(configs/gpt2-1558m.yaml --set data.path="$work/ids.u16")
limit=$((8 << 30))
granted $limit train "${large[@]}" --run-dir "$work/run"
[ $? = 3 ] || fail "GPT-2 of 1,558 M parameters in 8 GiB: the exit code is not 3"
grep -q 'the plan needs 37 GiB a rank, the machine grants 7\.9' "$work/err" || fail "GPT-2 in 8 GiB: $(cat "$work/err")"
grep -q '^  it fits with --set precision.master=split .*--set model.layers=' "$work/err" || fail "GPT-2 in 8 GiB: nothing fits: $(cat "$work/err")"
[ -e "$work/run" ] && fail "GPT-2 in 8 GiB: the run folder was made"

[ $failures = 0 ]
