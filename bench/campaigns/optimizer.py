# SPDX-License-Identifier: Apache-2.0
"""optimizer: the whole update of GPT-2 124M with 16-bit copies of its weights, norm + clip + AdamW + cast, against PyTorch's
clip_grad_norm_ + fused AdamW + casts to bf16, in alternating pairs on the same cores. Run it with the Python that `bench --vs` uses
(bench/python/make_env prints it). Closes with the median, smallest and largest ratio; above 1, ours is faster."""

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

import trials

OPS = {"adam", "global_norm", "clip_factor", "decision"}
THEIRS = """
import json, sys, time, torch
torch.set_num_threads(int(sys.argv[1]))
shapes = [(50304, 768), (1024, 768), (768,), (768,)]
for _ in range(12):
    shapes += [(768,)] * 4 + [(768, 2304), (2304,), (768, 768), (768,), (768, 3072), (3072,), (3072, 768), (768,)]
weights = [torch.nn.Parameter(torch.randn(s) * 0.02) for s in shapes]
narrow = [torch.empty(s, dtype=torch.bfloat16) for s in shapes]
for w in weights:
    w.grad = torch.randn_like(w)
optimizer = torch.optim.AdamW(weights, lr=1e-4, fused=True)
seconds = []
for _ in range(12):
    start = time.perf_counter()
    torch.nn.utils.clip_grad_norm_(weights, 1.0)
    optimizer.step()
    with torch.no_grad():
        for w, n in zip(weights, narrow):
            n.copy_(w)
    seconds.append(time.perf_counter() - start)
print(json.dumps({"seconds": sorted(seconds[2:])[5], "version": torch.__version__}))
"""


def ours():
    line = [trials.program(), "bench", "step", "configs/gpt2-124m.yaml", "--pairs", "3", "--set", "precision.compute=bf16",
            "--set", "training.seq_len=256", "--set", "training.global_batch_size=1", "--json"]
    report = json.loads(subprocess.run(line, check=True, capture_output=True, cwd=trials.ROOT).stdout)
    rows = [row for row in report["instructions"] if row["op"] in OPS]
    return report, sum(row["seconds"] for row in rows), sum(row["bytes"] for row in rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=15)
    parser.add_argument("--out", required=True, type=Path, metavar="FILE.jsonl", help="one line a pair is added to it")
    options = parser.parse_args()
    for pair in trials.missing(options.out, [{"campaign": "optimizer", "pair": n} for n in range(options.pairs)]):
        report, seconds, count = ours()
        theirs = json.loads(subprocess.run([sys.executable, "-c", THEIRS, str(report["cores"])], check=True, capture_output=True).stdout)
        trials.record(options.out, pair, {
            "seconds": seconds, "bytes": count, "torch_seconds": theirs["seconds"], "torch": theirs["version"], "isa": report["isa"],
            "ratio": theirs["seconds"] / seconds, "over_triad": count / seconds / report["triad_bytes_per_second"]})
    lines = [line for line in map(json.loads, options.out.read_text().splitlines()) if line["campaign"] == "optimizer"]
    for name in ("ratio", "over_triad"):
        values = [line[name] for line in lines]
        print(f"{name:12} {statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f}, {len(values)} pairs)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
