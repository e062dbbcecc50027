# SPDX-License-Identifier: Apache-2.0
# bench-vs-peer: which of the peer's configurations are timed, which one is paired and what is told of it, by a Python that answers
# at once instead of training.
set -euo pipefail
. tests/cli.sh
cat >"$work/tiny.yaml" <<YAML
model: {layers: 1, heads: 2, width: 16}
training: {seq_len: 16, global_batch_size: 4}
launch: {threads_per_rank: 1}
YAML
cat >"$work/python" <<'PYTHON'
#!/usr/bin/env python3
import json, sys, time
if sys.argv[1] == "-c":
    print("9.9+fake")
    sys.exit()
dtype = sys.argv[sys.argv.index("--dtype") + 1]
rate = {("fp32", False): 100, ("fp32", True): 120, ("bf16", False): 300, ("bf16", True): 250}[dtype, "--compile" in sys.argv]
held = bytearray(b"x" * (3 << 27)) if rate == 300 else b""
time.sleep(0.5)
print(json.dumps({"tok_s": rate, "rss_mib": 1}))
PYTHON
chmod +x "$work/python"
export RINGMASTER_PYTHON=$work/python

"$program" bench step "$work/tiny.yaml" --vs torch --pairs 2 --json >"$work/all.json"
"$program" bench step "$work/tiny.yaml" --vs torch --pairs 1 --peer f32 >"$work/f32.txt"
refused 'vs torch' bench step "$work/tiny.yaml" --peer f32
refused 'f32 or bf16' bench step "$work/tiny.yaml" --vs torch --peer f64

sha=$(sha256sum bench/peers/torch_gpt.py | cut -d' ' -f1)
python3 - "$work" "$sha" <<'PYTHON'
import json, statistics, sys

work, sha = sys.argv[1:]
everything = json.load(open(work + "/all.json"))["rows"][0]
by_config = {entry["config"]: entry for entry in everything["vs"]}
assert {name: entry["trial"] for name, entry in by_config.items()} == {
    "f32 eager": 100, "f32 compile": 120, "bf16 eager": 300, "bf16 compile": 250}, by_config
for name, entry in by_config.items():
    assert (entry["peer"], entry["version"], entry["script_sha256"]) == ("torch", "9.9+fake", sha), entry
    assert entry["paired"] == (name == "bf16 eager") == bool(entry["values"]) == (entry["ratio_median"] is not None), entry
paired = by_config["bf16 eager"]
ratios = [ours / 300 for ours in everything["values"]]
assert paired["values"] == [300, 300] and len(ratios) == 2
for field, expected in (("median", statistics.median(ratios)), ("min", min(ratios)), ("max", max(ratios))):
    assert abs(paired["ratio_" + field] / expected - 1) < 1e-9, (field, paired, ratios)
assert paired["peak_resident_bytes"] > 3 << 27, paired
assert by_config["f32 eager"]["peak_resident_bytes"] < 3 << 27, "the memory of another process is counted"
assert everything["peak_resident_bytes"] > 1 << 20

f32 = open(work + "/f32.txt").read()
assert "torch 9.9+fake, each configuration once: f32 eager 100, f32 compile 120 tokens/s" in f32 and sha in f32, f32
assert all(label in f32 for label in ("f32 compile\n", "ratio of pairs", "peak resident", "GEMM roofline")), f32
PYTHON
[ $failures = 0 ]
