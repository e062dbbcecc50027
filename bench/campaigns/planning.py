# SPDX-License-Identifier: Apache-2.0
"""planning: how long it takes on one core to plan a step of more than 10,000 instructions and 64 budgets of its activations, costs
estimated, the start of the program included. A trial is one `ringmaster plan --sweep`."""

import os
import resource
import subprocess
import sys
import tempfile
import time

import trials

WORDS = ["plan", "configs/gpt-shakespeare.yaml", "--set", "model.layers=56", "--threads", "1", "--sweep", "--points", "64", "--json"]


def main():
    options = trials.paired(__doc__)
    core = min(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as nothing_measured:
        os.environ["RINGMASTER_CACHE_DIR"] = nothing_measured
        for trial in trials.missing(options.out, [{"campaign": "planning", "pair": n} for n in range(options.pairs)]):
            before, start = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime, time.monotonic()
            out = subprocess.run([trials.program(), *WORDS], check=True, stdout=subprocess.PIPE, cwd=trials.ROOT,
                                 preexec_fn=lambda: os.sched_setaffinity(0, {core})).stdout
            seconds = time.monotonic() - start
            plan = trials.json.loads(out)
            trials.record(options.out, trial, {"instructions": plan["instructions"], "budgets": len(plan["sweep"]), "seconds": seconds,
                                               "user_seconds": resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before})
    trials.close(options.out, "planning", ["instructions", "budgets", "seconds", "user_seconds"])
    return 0


if __name__ == "__main__":
    sys.exit(main())
