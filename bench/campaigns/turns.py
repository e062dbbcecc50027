# SPDX-License-Identifier: Apache-2.0
"""turns: two ways to spread the same steps over two cores, in turns: a trial runs both for a few steps, and the next one the other way
round. What is compared: `ranks`, 1 rank of 2 threads and 2 ranks of 1; `numerics`, floats and integers on 2 ranks; `memory`, messages
and shared memory on 2 ranks. Closes with the median, smallest and largest of seconds a step, first over second: above 1 the second
is faster."""

import json
import statistics
import sys
import tempfile
from pathlib import Path

import trials

STEPS, WARM = 7, 2
BOTH = {"precision.compute": "bf16", "training.steps": STEPS, "data.tokenizer": "byte", "data.format": "text",
        "data.validation_fraction": 0.02}
GRAINS = {"1,024 tokens a grain": {"training.seq_len": 1024, "training.global_batch_size": 2, "training.grain_size": 1},
          "256 tokens a grain": {"training.seq_len": 256, "training.global_batch_size": 8, "training.grain_size": 1}}
CASES = {f"{Path(config).stem} {name}": (config, grain)
         for config in ("configs/gpt2-124m.yaml", "configs/gpt-shakespeare.yaml") for name, grain in GRAINS.items()}
COMPARISONS = {"ranks": [(1, {"launch.threads_per_rank": 2}), (2, {"launch.threads_per_rank": 1})],
               "numerics": [(2, {"training.numerics": "fast"}), (2, {"training.numerics": "invariant"})],
               "memory": [(2, {"comm.shared_memory": "false"}), (2, {"comm.shared_memory": "true"})]}


def seconds(case, ranks, sets):
    config, grain = CASES[case]
    with tempfile.TemporaryDirectory(prefix="ringmaster-campaign-") as folder:
        text = Path(folder) / "text.txt"
        text.write_text("the ring goes round and never stops.\n" * 10000)
        run = Path(folder) / "run"
        trials.train_in(run, config, ranks, {**BOTH, **grain, **sets, "data.path": text})
        lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return statistics.median([line["step_seconds"] for line in lines if line["kind"] == "step"][WARM:])


def main():
    names = [f"{comparison}: {case}" for comparison in COMPARISONS for case in CASES]
    options = trials.paired(__doc__, names)
    names = [options.only] if options.only else names
    wanted = [{"campaign": "turns", "what": name, "pair": n} for n in range(options.pairs) for name in names]
    for trial in trials.missing(options.out, wanted):
        comparison, case = trial["what"].split(": ")
        order = (0, 1) if trial["pair"] % 2 == 0 else (1, 0)
        taken = {which: seconds(case, *COMPARISONS[comparison][which]) for which in order}
        trials.record(options.out, trial, {"seconds": [taken[0], taken[1]], "ratio": taken[0] / taken[1]})
    for name in names:
        trials.close(options.out, "turns", ["ratio"], what=name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
