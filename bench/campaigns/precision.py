# SPDX-License-Identifier: Apache-2.0
"""precision: what 16-bit products and moments do to the validation loss of gpt-shakespeare-tiny: each seed in every precision, 1,000
steps. Closes with the mean of each, its distance from that of f32, and the largest distance of a single pair."""

import json
import sys

import trials

CONFIG = "configs/gpt-shakespeare-tiny.yaml"
PRECISIONS = {
    "f32": {},
    "bf16": {"precision.compute": "bf16"},
    "f16": {"precision.compute": "f16"},
    "bf16, stochastic moments": {"precision.compute": "bf16", "optimizer.state": "bf16_stochastic"},
}


def report(out, names, seeds):
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    loss = {(line["precision"], line["seed"]): line["validation_loss"] for line in lines if line["campaign"] == "precision"}
    exact = [loss["f32", seed] for seed in seeds]
    for name in names:
        mine = [loss[name, seed] for seed in seeds]
        apart = [a / b - 1 for a, b in zip(mine, exact)]
        print(f"{name:26} mean {sum(mine) / len(mine):.4f} nats, {sum(mine) / sum(exact) - 1:+.2%} of f32; "
              f"furthest pair {max(apart, key=abs):+.2%}")


def main():
    parser = trials.arguments(__doc__)
    parser.add_argument("--precision", choices=[*PRECISIONS, "all"], default="all", help="beside f32; default all")
    options = parser.parse_args()
    names = [name for name in PRECISIONS if name in ("f32", options.precision) or options.precision == "all"]
    wanted = [{"campaign": "precision", "precision": name, "seed": seed} for seed in trials.seeds(options.seeds) for name in names]
    for trial in trials.missing(options.out, wanted):
        summary = trials.train(CONFIG, options.ranks,
                               {"training.steps": 1000, "training.seed": trial["seed"], **PRECISIONS[trial["precision"]]})
        trials.record(options.out, trial, {"validation_loss": summary["validation_loss"], "seconds": summary["wall_seconds"],
                                           "isa": summary["isa"], "skipped_steps": summary["skipped_steps"]})
    report(options.out, names, trials.seeds(options.seeds))
    return 0


if __name__ == "__main__":
    sys.exit(main())
