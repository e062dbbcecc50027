# SPDX-License-Identifier: Apache-2.0
# cpu-caps: what an instruction set lacks has a fallback: the same few steps in every precision with RINGMASTER_MAX_CPU_ISA at each, and
# with ONEDNN_MAX_CPU_ISA alone; all learn the same to within rounding, and say what they ran on.
set -uo pipefail
. tests/cli.sh

head -c 20000 /dev/zero | tr '\0' 'a' >"$work/text.txt"
seq 1 4000 >>"$work/text.txt"
cat >"$work/few.yaml" <<YAML
model: {layers: 1, heads: 2, width: 32}
training: {steps: 6, seq_len: 32, global_batch_size: 4}
optimizer: {lr: 1e-2}
data: {path: $work/text.txt}
YAML

# learn NAME PRECISION: trains in $work/NAME
learn() { "$program" train "$work/few.yaml" --run-dir "$work/$1" --quiet --set "precision.compute=$2" 2>"$work/err" || fail "$1: $(cat "$work/err")"; }

for precision in f32 bf16 f16; do
  learn "$precision" $precision
  for isa in avx2 avx512 avx512_bf16 amx; do RINGMASTER_MAX_CPU_ISA=$isa learn "$precision-$isa" $precision; done
  ONEDNN_MAX_CPU_ISA=AVX2 learn "$precision-onednn" $precision
done
python3 - "$work" <<'PYTHON' || fail "not the same loss, or not the instruction set"
import json, pathlib, sys

order = ["avx2", "avx512", "avx512_bf16", "amx"]
summary = {path.parent.name: json.loads(path.read_text()) for path in pathlib.Path(sys.argv[1]).glob("*/summary.json")}
assert len(summary) == 18, sorted(summary)
for name, mine in summary.items():
    precision, _, isa = name.partition("-")
    own = summary[precision]
    assert abs(mine["loss"] / own["loss"] - 1) < (1e-5 if precision == "f32" else 5e-3), (name, mine["loss"], own["loss"])
    cap = isa if isa in order else own["isa"]
    assert mine["isa"] == min(cap, own["isa"], key=order.index), (name, mine["isa"])
PYTHON

# the update's rule has the same bits in narrow registers
RINGMASTER_MAX_CPU_ISA=avx2 "$RINGMASTER_BUILD/bin/ops_test" --gtest_filter='UpdateRule.*' >"$work/out" 2>&1 || fail "UpdateRule: $(tail -5 "$work/out")"

RINGMASTER_MAX_CPU_ISA=avx9 refused 'RINGMASTER_MAX_CPU_ISA' plan "$work/few.yaml"
[ $failures = 0 ]
