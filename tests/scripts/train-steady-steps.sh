# SPDX-License-Identifier: Apache-2.0
# train-steady-steps: after step 2 a step allocates nothing, faults no page and creates no thread. A library before libc counts in
# each rank what the program does, its libraries included, and with it the lines of the metrics.
set -euo pipefail
program=$RINGMASTER_BUILD/bin/ringmaster
counter=$(find "$RINGMASTER_BUILD" -name 'libheap_count.so' | head -n 1)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

head -c 40000 /dev/zero | tr '\0' 'a' >"$work/text.txt"
cat >"$work/gpt.yaml" <<YAML
model:
  layers: 2
  heads: 2
  width: 64
training:
  steps: 40
  seq_len: 64
  global_batch_size: 8
  grain_size: 2
data:
  path: $work/text.txt
validation:
  interval: 40
metrics:
  log_freq: 40  # a line on the terminal is not part of a step
launch:
  threads_per_rank: 2
YAML
sed 's/^  steps: .*/  steps: 40/; s/^  log_freq: .*/  log_freq: 40/' configs/wgan-gp-ring.yaml >"$work/wgan.yaml"

# 78 marks: one in each of the first two steps, two in each of the other 38
run() {  # NAME RANKS CONFIG FLAG...
  local name=$1 ranks=$2 config=$3
  shift 3
  HEAP_COUNT_FILE=$work/count.$name HEAP_COUNT_MARKS=78 LD_PRELOAD=$counter \
    "$program" train "$work/$config.yaml" --ranks "$ranks" --run-dir "$work/run.$name" --quiet "$@"
}
run f32 1 gpt
run bf16 1 gpt --set precision.compute=bf16
run vocabulary 1 gpt --set model.loss_head=vocabulary
run one_thread 1 gpt --set launch.threads_per_rank=1
run four_threads 1 gpt --set launch.threads_per_rank=4  # teams of one size: none ends and is created anew
run wgan 1 wgan
run f32-2 2 gpt --set launch.threads_per_rank=1
run bf16-2 2 gpt --set launch.threads_per_rank=1 --set precision.compute=bf16

python3 - "$work" <<'PYTHON'
import json, sys

work, failures = sys.argv[1], 0
# Open MPI grows its lists of fragments once, when that many are first in flight at a time: some blocks and pages of a whole run.
# A machine under load may take a page away and give it back: fewer faults than a quarter of the steps are not the program's.
limits = {1: {"allocations": 0, "faults": 9, "threads": 0}, 2: {"allocations": 6, "faults": 40, "threads": 0}}
for name in ("f32", "bf16", "vocabulary", "one_thread", "four_threads", "wgan", "f32-2", "bf16-2"):
    summary = json.load(open(f"{work}/run.{name}/summary.json"))
    for rank in range(summary["ranks"]):
        counted = json.load(open(f"{work}/count.{name}.{rank}"))
        for what, limit in limits[summary["ranks"]].items():
            if counted[what] > limit:
                failures += 1
                print(f"FAILED {name} rank {rank}: {counted[what]} {what} in 38 steps, expected at most {limit}: {counted}",
                      file=sys.stderr)
        claimed = summary["allocations_after_step_2"][rank]
        if claimed > counted["allocations"]:
            failures += 1
            print(f"FAILED {name} rank {rank}: the summary says {claimed} allocations, {counted}", file=sys.stderr)
sys.exit(failures > 0)
PYTHON
