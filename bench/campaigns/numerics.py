# SPDX-License-Identifier: Apache-2.0
"""numerics: what `training.numerics: invariant` costs against `fast`, in seconds of a step on two ranks. A trial runs both in turns, and
the next one the other way round. Closes with the median, smallest and largest of invariant / fast."""

import statistics
import sys

import trials

WIDE = ["--set", "precision.compute=bf16"]
CASES = {
    "gpt2-124m bf16 1,024 tokens": ["configs/gpt2-124m.yaml", *WIDE, "--set", "training.seq_len=1024", "--set",
                                    "training.global_batch_size=2", "--set", "training.grain_size=1"],
    "gpt2-124m bf16 256 tokens": ["configs/gpt2-124m.yaml", *WIDE, "--set", "training.seq_len=256", "--set",
                                  "training.global_batch_size=2", "--set", "training.grain_size=1"],
    "gpt-shakespeare bf16 1,024 tokens": ["configs/gpt-shakespeare.yaml", *WIDE, "--set", "training.seq_len=256", "--set",
                                          "training.global_batch_size=8", "--set", "training.grain_size=4"],
    "gpt-shakespeare bf16 256 tokens": ["configs/gpt-shakespeare.yaml", *WIDE, "--set", "training.seq_len=256", "--set",
                                        "training.global_batch_size=2", "--set", "training.grain_size=1"],
}


def seconds(case, numerics):
    rows = trials.bench("step", *CASES[case], "--ranks", "2", "--pairs", "5", "--set", f"training.numerics={numerics}")["rows"]
    return statistics.median(1 / value for value in rows[0]["values"])  # of tokens a second: all that counts is their ratio


def main():
    options = trials.paired(__doc__, list(CASES))
    names = [options.only] if options.only else list(CASES)
    wanted = [{"campaign": "numerics", "case": case, "pair": n} for n in range(options.pairs) for case in names]
    for trial in trials.missing(options.out, wanted):
        order = ("fast", "invariant") if trial["pair"] % 2 == 0 else ("invariant", "fast")
        taken = {numerics: seconds(trial["case"], numerics) for numerics in order}
        trials.record(options.out, trial, {"invariant_over_fast": taken["invariant"] / taken["fast"]})
    for case in names:
        trials.close(options.out, "numerics", ["invariant_over_fast"], case=case)
    return 0


if __name__ == "__main__":
    sys.exit(main())
