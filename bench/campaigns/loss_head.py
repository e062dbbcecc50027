# SPDX-License-Identifier: Apache-2.0
"""loss_head: linear + cross-entropy, forward and backward, of 8,192 tokens and 50,304 classes in bf16 against its own matrix
products alone, for both ways of model.loss_head. The vocabulary's four products are those of its loss and its gradient. Closes with
the median, smallest and largest of time over products; 1 would be products alone."""

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

import trials

LINE = ["bench", "ops", "configs/gpt2-124m.yaml", "--filter", "^linear_cross_entropy", "--set", "precision.compute=bf16", "--set",
        "model.layers=1", "--set", "training.seq_len=1024", "--set", "training.global_batch_size=8", "--set", "training.grain_size=8"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=15)
    parser.add_argument("--out", required=True, type=Path, metavar="FILE.jsonl", help="one line a run is added to it")
    options = parser.parse_args()
    wanted = [{"campaign": "loss_head", "way": way, "pair": n} for n in range(options.pairs) for way in ("rows", "vocabulary")]
    for trial in trials.missing(options.out, wanted):
        line = [trials.program(), *LINE, "--set", f"model.loss_head={trial['way']}", "--json"]
        report = json.loads(subprocess.run(line, check=True, capture_output=True, cwd=trials.ROOT).stdout)
        rows = report["instructions"]
        seconds, alone = sum(row["seconds"] for row in rows), sum(row["gemm_seconds"] for row in rows)
        trials.record(options.out, trial, {"seconds": seconds, "gemm_seconds": alone, "over_gemms": seconds / alone,
                                           "flops": sum(row["flops"] for row in rows), "isa": report["isa"]})
    lines = [line for line in map(json.loads, options.out.read_text().splitlines()) if line["campaign"] == "loss_head"]
    for way in ("rows", "vocabulary"):
        values = [line["over_gemms"] for line in lines if line["way"] == way]
        print(f"{way:12} {statistics.median(values):.3f} ({min(values):.3f} to {max(values):.3f}, {len(values)} runs)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
