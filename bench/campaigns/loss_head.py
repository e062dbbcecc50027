# SPDX-License-Identifier: Apache-2.0
"""loss_head: linear + cross-entropy, forward and backward, of 8,192 tokens and 50,304 classes in bf16 against its own matrix
products alone, for both ways of model.loss_head. The vocabulary's four products are those of its loss and its gradient. Closes with
the median, smallest and largest of time over products; 1 would be products alone."""

import sys

import trials

LINE = ["ops", "configs/gpt2-124m.yaml", "--filter", "^linear_cross_entropy", "--set", "precision.compute=bf16", "--set",
        "model.layers=1", "--set", "training.seq_len=1024", "--set", "training.global_batch_size=8", "--set", "training.grain_size=8"]


def main():
    options = trials.paired(__doc__)
    wanted = [{"campaign": "loss_head", "way": way, "pair": n} for n in range(options.pairs) for way in ("rows", "vocabulary")]
    for trial in trials.missing(options.out, wanted):
        report = trials.bench(*LINE, "--set", f"model.loss_head={trial['way']}")
        rows = report["instructions"]
        seconds, alone = trials.total(rows, "seconds"), trials.total(rows, "gemm_seconds")
        trials.record(options.out, trial, {"seconds": seconds, "gemm_seconds": alone, "over_gemms": seconds / alone,
                                           "flops": trials.total(rows, "flops"), "isa": report["isa"]})
    for way in ("rows", "vocabulary"):
        trials.close(options.out, "loss_head", ["over_gemms"], way=way)
    return 0


if __name__ == "__main__":
    sys.exit(main())
