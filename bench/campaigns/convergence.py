# SPDX-License-Identifier: Apache-2.0
"""convergence: what adding gradients as integers does to a run: each seed with `training.numerics` fast and invariant, 2,000 steps of a GPT and of
wgan_gp. Closes with each pair of validation losses beside the spread over the seeds, and the steps that were done again."""

import json
import statistics
import sys

import trials

CONFIGS = {"gpt": "configs/gpt-shakespeare-tiny.yaml", "wgan_gp": "configs/wgan-gp-ring.yaml"}
NUMERICS = ("fast", "invariant")


def report(out, names, seeds):
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    found = {(line["model"], line["numerics"], line["seed"]): line for line in lines if line["campaign"] == "convergence"}
    for name in names:
        loss = {way: [found[name, way, seed]["validation_loss"] for seed in seeds] for way in NUMERICS}
        redone = [found[name, "invariant", seed]["redone_steps"] for seed in seeds]
        apart = [abs(a - b) for a, b in zip(loss["fast"], loss["invariant"])]
        print(f"{name:8} fast {statistics.mean(loss['fast']):.4f} ({min(loss['fast']):.4f} to {max(loss['fast']):.4f}), invariant "
              f"{statistics.mean(loss['invariant']):.4f} ({min(loss['invariant']):.4f} to {max(loss['invariant']):.4f}); one seed apart by "
              f"{max(apart):.4f} at most; {redone} steps done again")


def main():
    parser = trials.arguments(__doc__)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--model", choices=[*CONFIGS, "all"], default="all")
    options = parser.parse_args()
    names = list(CONFIGS) if options.model == "all" else [options.model]
    wanted = [{"campaign": "convergence", "model": name, "numerics": way, "seed": seed, "steps": options.steps}
              for seed in trials.seeds(options.seeds) for name in names for way in NUMERICS]
    for trial in trials.missing(options.out, wanted):
        summary = trials.train(CONFIGS[trial["model"]], options.ranks, {"training.steps": trial["steps"], "training.seed": trial["seed"],
                                                                        "training.numerics": trial["numerics"]})
        trials.record(options.out, trial, {"validation_loss": summary["validation_loss"], "redone_steps": summary["redone_steps"],
                                           "params_hash": summary["params_hash"], "seconds": summary["wall_seconds"]})
    report(options.out, names, trials.seeds(options.seeds))
    return 0


if __name__ == "__main__":
    sys.exit(main())
