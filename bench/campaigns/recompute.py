# SPDX-License-Identifier: Apache-2.0
"""recompute: what gradient checkpointing costs in time, GPT-2 124M at 1,024 tokens in bf16, in alternating pairs of a step that saves
all activations and one that keeps to a share of them. Beside the ratio of the tokens per second stand the shares of memory and of time
that the plan says. Closes with the median, smallest and largest share of time added."""

import json
import subprocess
import sys

import trials

CONFIG = ["configs/gpt2-124m.yaml", "--set", "precision.compute=bf16", "--set", "training.seq_len=1024", "--set",
          "training.global_batch_size=1", "--set", "training.grain_size=1"]
SHARES = ("62%", "38%", "20%")  # 1.6, 2.6 and 5 times less


def flags(share):
    if share is None:
        return []
    return ["--set", "activation_checkpoint.mode=budget", "--set", f"activation_checkpoint.budget={share}"]


def tokens_per_second(share):
    rows = trials.bench("step", *CONFIG, "--pairs", "3", *flags(share))["rows"]
    return next(row["median"] for row in rows if row["name"] == "step")


def plan(share):
    done = subprocess.run([trials.program(), "plan", *CONFIG, *flags(share), "--json"], check=True, stdout=subprocess.PIPE, cwd=trials.ROOT)
    found = json.loads(done.stdout)
    return found["recompute"], found["predicted_step_seconds"]


def main():
    options = trials.paired(__doc__)
    wanted = [{"campaign": "recompute", "share": share, "pair": n} for n in range(options.pairs) for share in SHARES]
    for trial in trials.missing(options.out, wanted):
        recompute, seconds = plan(trial["share"])
        all_saved = tokens_per_second(None)
        less_saved = tokens_per_second(trial["share"])
        trials.record(options.out, trial, {
            "none": all_saved, "budget": less_saved, "time_added": all_saved / less_saved - 1,
            "planned_added": recompute["extra_seconds"] / (seconds - recompute["extra_seconds"]),
            "memory": recompute["activation_bytes"] / recompute["activation_bytes_of_none"],
            "activation_bytes": recompute["activation_bytes"]})
    for share in SHARES:
        trials.close(options.out, "recompute", ["time_added", "planned_added", "memory"], share=share)
    return 0


if __name__ == "__main__":
    sys.exit(main())
