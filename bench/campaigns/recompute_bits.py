# SPDX-License-Identifier: Apache-2.0
"""recompute_bits: a run of 50 steps with dropout under every way to save activations gives the same bits: losses, gradient norms,
validation and the hashes of weights and of all state. Each seed is one trial: 13 runs of a GPT of six blocks."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import trials

CONFIG = """model: {layers: 6, heads: 4, width: 64, dropout: 0.1}
training: {steps: 50, seq_len: 64, global_batch_size: 8, grain_size: 4}
lr_scheduler: {warmup_steps: 5}
validation: {interval: 25}
metrics: {log_freq: 50}
"""
TIMES = ("_seconds", "_per_second", "time_unix", "path", "ranks", "attempt", "wire_bytes_sent")


def same_for_all(line):
    return {key: value for key, value in json.loads(line).items() if not key.endswith(TIMES)}


def main():
    options = trials.arguments(__doc__).parse_args()
    for trial in trials.missing(options.out, [{"campaign": "recompute_bits", "seed": seed} for seed in trials.seeds(options.seeds)]):
        with tempfile.TemporaryDirectory() as work:
            config = Path(work) / "gpt.yaml"
            config.write_text(CONFIG)
            (Path(work) / "text.txt").write_text("the ring goes round and never stops; " * 800)
            plan = subprocess.run([trials.program(), "plan", config, "--json", *trials.checkpointing("99%")], check=True,
                                  stdout=subprocess.PIPE)
            found = json.loads(plan.stdout)["recompute"]
            most, least = found["activation_bytes_of_none"], found["minimum_budget_bytes"]
            ways = ["none", "block", "selective"] + [str(most - (most - least) * k // 9) for k in range(10)]
            results = {}
            for way in ways:
                run = Path(work) / f"run-{way}"
                subprocess.run([trials.program(), "train", config, "--ranks", str(options.ranks), "--run-dir", run, "--quiet", "--set",
                                f"data.path={work}/text.txt", "--set", f"training.seed={trial['seed']}", *trials.checkpointing(way)], check=True)
                summary = json.loads((run / "summary.json").read_text())
                metrics = [same_for_all(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
                results[way] = (metrics, summary["params_hash"], summary["state_hash"])
            differ = [way for way in ways if results[way] != results["none"]]
            trials.record(options.out, trial, {"ranks": options.ranks, "ways": len(ways), "steps": 50, "least": least, "most": most,
                                               "loss": [line["loss"] for line in results["none"][0] if "loss" in line][-1], "differ": differ})
    lines = [line for line in map(json.loads, options.out.read_text().splitlines()) if line["campaign"] == "recompute_bits"]
    print(f"{len(lines)} trials of {lines[0]['ways']} runs, {sum(1 for line in lines if line['differ'])} with a run that differs")
    return 1 if any(line["differ"] for line in lines) else 0


if __name__ == "__main__":
    sys.exit(main())
