# SPDX-License-Identifier: Apache-2.0
"""attention: causal attention of 8 heads of 64 in bf16, forward and backward, against PyTorch's scaled_dot_product_attention in
alternating pairs on the same cores, at 4,096 and 16,384 tokens. Run it with the Python that `bench --vs` uses
(bench/python/make_env prints it). Closes with the median, smallest and largest ratio (above 1, ours is faster) and share of the
machine's matrix peak; the seven products of a causal attention are counted."""

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

import trials

THEIRS = """
import json, sys, time, torch
import torch.nn.functional as F
threads, tokens = int(sys.argv[1]), int(sys.argv[2])
torch.set_num_threads(threads)
q, k, v = (torch.randn(1, 8, tokens, 64, dtype=torch.bfloat16, requires_grad=True) for _ in range(3))
dy = torch.randn(1, 8, tokens, 64, dtype=torch.bfloat16)
seconds = []
for _ in range(6 if tokens < 8192 else 3):
    start = time.perf_counter()
    F.scaled_dot_product_attention(q, k, v, is_causal=True).backward(dy)
    seconds.append(time.perf_counter() - start)
print(json.dumps({"seconds": min(seconds[1:]), "version": torch.__version__}))
"""


def ours(tokens):
    line = [trials.program(), "bench", "ops", "configs/gpt2-124m.yaml", "--filter", "^attention", "--set", "precision.compute=bf16",
            "--set", "model.layers=1", "--set", "model.heads=8", "--set", "model.width=512", "--set", f"training.seq_len={tokens}",
            "--set", "training.global_batch_size=1", "--set", "training.grain_size=1", "--json"]
    report = json.loads(subprocess.run(line, check=True, capture_output=True, cwd=trials.ROOT).stdout)
    rows = report["instructions"]
    return report, sum(row["seconds"] for row in rows), sum(row["flops"] for row in rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=15)
    parser.add_argument("--out", required=True, type=Path, metavar="FILE.jsonl", help="one line a pair is added to it")
    options = parser.parse_args()
    wanted = [{"campaign": "attention", "tokens": t, "pair": n} for t in (4096, 16384) for n in range(options.pairs)]
    for pair in trials.missing(options.out, wanted):
        report, seconds, flops = ours(pair["tokens"])
        line = [sys.executable, "-c", THEIRS, str(report["cores"]), str(pair["tokens"])]
        theirs = json.loads(subprocess.run(line, check=True, capture_output=True).stdout)
        trials.record(options.out, pair, {
            "seconds": seconds, "flops": flops, "torch_seconds": theirs["seconds"], "torch": theirs["version"], "isa": report["isa"],
            "ratio": theirs["seconds"] / seconds, "of_peak": flops / seconds / report["gemm_peak"]["bf16"]})
    lines = [line for line in map(json.loads, options.out.read_text().splitlines()) if line["campaign"] == "attention"]
    for tokens in (4096, 16384):
        for name in ("ratio", "of_peak"):
            values = [line[name] for line in lines if line["tokens"] == tokens]
            print(f"{tokens:6} {name:8} {statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f}, {len(values)} pairs)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
