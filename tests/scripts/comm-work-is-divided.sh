# SPDX-License-Identifier: Apache-2.0
# comm-work-is-divided: what ranks say of their work against counts from outside. A library between the program and MPI counts
# payload bytes; GEMM FLOPs of each rank are its share of the grains, and all of them together are those of one rank. So are the bits.
set -euo pipefail
program=$RINGMASTER_BUILD/bin/ringmaster
counter=$(find "$RINGMASTER_BUILD" -name 'libpmpi_count.so' | head -n 1)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

head -c 20000 /dev/zero | tr '\0' 'a' >"$work/text.txt"
cat >"$work/five.yaml" <<YAML
model:
  layers: 2
  heads: 2
  width: 32
training:
  steps: 4
  seq_len: 32
  global_batch_size: 10
  grain_size: 2  # five grains, which neither 2, 3 nor 4 ranks share evenly
data:
  path: $work/text.txt
validation:
  interval: 2
launch:
  threads_per_rank: 1
YAML

export RINGMASTER_CACHE_DIR=$work/cache  # costs of collectives are measured anew
for ranks in 1 2 3 4 6; do
  PMPI_COUNT_FILE=$work/count.$ranks LD_PRELOAD=$counter \
    "$program" train "$work/five.yaml" --ranks $ranks --run-dir "$work/run-$ranks" --quiet
done

"$program" compare "$work/run-1" "$work/run-6" >"$work/out" || { cat "$work/out" && exit 1; }
"$program" train "$work/five.yaml" --ranks 2 --run-dir "$work/fast" --quiet --set training.numerics=fast --set training.seed=7
"$program" compare "$work/run-2" "$work/fast" >"$work/out" && echo "runs of two seeds are equal" && exit 1
grep -q "first differ at step 1: loss" "$work/out"

python3 - "$work" <<'PYTHON'
import json, sys

work = sys.argv[1]


def summary(ranks):
    return json.load(open(f"{work}/run-{ranks}/summary.json"))


alone = summary(1)
assert alone["gemm_flops"][0] > 0 and alone["wire_bytes_sent_measured"] == [0], alone
for ranks in (2, 3, 4, 6):
    run = summary(ranks)
    grains, flops = run["grains_per_rank"], run["gemm_flops"]
    assert sum(grains) == 5 and max(grains) - min(grains) <= 1 and len(grains) == ranks, grains
    assert sum(flops) == sum(alone["gemm_flops"]), (ranks, flops, alone["gemm_flops"])
    assert [f * 5 for f in flops] == [sum(flops) * g for g in grains], (ranks, flops, grains)
    assert run["peak_bytes_planned"] == run["peak_bytes_measured"], run
    for same in ("loss", "validation_loss", "params_hash", "state_hash", "redone_steps"):
        assert run[same] == alone[same], (ranks, same, run[same], alone[same])
    counted = [json.load(open(f"{work}/count.{ranks}.{rank}")) for rank in range(ranks)]
    assert all(c["other_calls"] == 2 for c in counted), counted  # at the start: who shares a node
    payload = [c["payload"]["bytes"] for c in counted]
    assert min(payload) > 0 and payload == run["wire_bytes_sent_measured"] == run["wire_bytes_sent_planned"], (payload, run)
PYTHON
