# SPDX-License-Identifier: Apache-2.0
# plan-calibrate: what is measured of this machine is kept for later plans and runs; a cache that is spoilt or cannot be written only
# costs time.
set -uo pipefail
. tests/cli.sh
export RINGMASTER_CACHE_DIR=$work/cache

head -c 20000 /dev/zero | tr '\0' 'a' >"$work/text.txt"
cat >"$work/small.yaml" <<'YAML'
model: {layers: 2, heads: 2, width: 32}
training: {steps: 2, seq_len: 32, global_batch_size: 8, grain_size: 4}
launch: {threads_per_rank: 1}
YAML
printf 'data: {path: "%s"}\n' "$work/text.txt" >>"$work/small.yaml"

# said FIELD [ARGUMENT...]: of a plan
said() { "$program" plan "$work/small.yaml" --json "${@:2}" 2>"$work/err" | python3 -c "import json, sys; print(json.load(sys.stdin)['$1'])"; }

[ "$(said calibrated)" = False ] || fail 'calibrated before it was'
began=$SECONDS
[ "$(said calibrated --calibrate)" = True ] || fail "not calibrated: $(cat "$work/err")"
[ $((SECONDS - began)) -le 60 ] || fail 'far more than 15 seconds'  # never on the clock of a busy machine
grep -Eq '^calibrated [0-9]+ kinds of instructions in [0-9.]+ s, [0-9]+ steps of the model; kept in ' "$work/err" || fail "progress: $(cat "$work/err")"
[ "$(said calibrated)" = True ] || fail 'a calibration is not kept'
predicted=$(said predicted_step_seconds)
"$program" train "$work/small.yaml" --ranks 1 --run-dir "$work/run" --quiet || fail 'the run'
python3 - "$work/run/summary.json" "$predicted" <<'E2' || fail 'the run predicts something else than the plan'
import json, sys
summary = json.load(open(sys.argv[1]))
assert summary["calibrated"] is True and summary["predicted_step_seconds"] == float(sys.argv[2]), summary
E2

# Several ranks take rank 0's table, under a budget that is planned by it.
"$program" train "$work/small.yaml" --ranks 2 --run-dir "$work/run2" --quiet --set activation_checkpoint.mode=budget \
  --set activation_checkpoint.budget=80% || fail 'two ranks'

file=$(find "$work/cache/costs" -type f)
[ "$(wc -l <<<"$file")" = 1 ] || fail "more than one file: $file"
head -c 300 "$file" >"$file.half" && mv "$file.half" "$file"
[ "$(said calibrated)" = False ] || fail 'half a file is believed'
printf '\377\376' >"$file"
[ "$(said calibrated)" = False ] || fail 'no text at all is believed'
"$program" train "$work/small.yaml" --ranks 1 --run-dir "$work/run3" --quiet || fail 'a run beside a spoilt cache'

: >"$work/file"
export RINGMASTER_CACHE_DIR=$work/file  # not a folder
[ "$(said calibrated --calibrate)" = True ] || fail 'where nothing can be kept'
grep -q '; not kept: ' "$work/err" || fail "said nothing: $(cat "$work/err")"

[ $failures = 0 ]
