# SPDX-License-Identifier: Apache-2.0
# smoke: the main job in miniature. Two ranks train a tiny model on our own sources, which is evaluated and sampled.
set -euo pipefail
program=$RINGMASTER_BUILD/bin/ringmaster
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail() { printf '%s\n' "$1" >&2 && exit 1; }
json() { python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))[sys.argv[2]])' "$1" "$2"; }

find src -name '*.h' -print0 | LC_ALL=C sort -z | xargs -0 cat >"$work/text.txt"
cat >"$work/tiny.yaml" <<'YAML'
model:
  layers: 1
  heads: 2
  width: 32
training:
  steps: 40
  seq_len: 32
  global_batch_size: 8
  grain_size: 2
optimizer:
  lr: 1e-2
validation:
  interval: 40
metrics:
  log_freq: 1
YAML

run=$work/run
"$program" train "$work/tiny.yaml" --ranks 2 --set "data.path=$work/text.txt" --run-dir "$run" >"$work/train.out"
[ "$(json "$run/summary.json" status)" = done ] || fail "the run is not done"
python3 - "$run/metrics.jsonl" <<'PYTHON' || fail "metrics.jsonl is not what 40 steps leave"
import json, sys
lines = [json.loads(line) for line in open(sys.argv[1])]
steps = [line for line in lines if line["kind"] == "step"]
assert [line["step"] for line in steps] == list(range(1, 41)), "steps"
assert steps[0]["loss"] - steps[-1]["loss"] > 1, "the loss fell from %f to %f only" % (steps[0]["loss"], steps[-1]["loss"])
PYTHON

"$program" eval "$run" --json >"$work/eval.json"
[ "$(json "$work/eval.json" validation_loss)" = "$(json "$run/summary.json" validation_loss)" ] || fail "eval and train differ in the validation loss"
"$program" sample "$run" --tokens 100 --seed 1 >"$work/sample.1"
"$program" sample "$run" --tokens 100 --seed 1 >"$work/sample.2"
[ -s "$work/sample.1" ] && cmp "$work/sample.1" "$work/sample.2" || fail "the same arguments sampled other bytes"
