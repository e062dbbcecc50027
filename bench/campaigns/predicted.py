# SPDX-License-Identifier: Apache-2.0
"""predicted: what the plan says that a step takes, held against steps, for configurations under budgets that the calibration does not
run. A trial is one round of `bench plan`: a calibration, then some steps under each budget, all of them taking turns with a product
alone, in multiples of which times are compared. Closes with the median error of each pair of configuration and budget, their mean
and the worst; and with what budgets cost in time where all activations saved are among the rows."""

import json
import statistics
import sys

import trials

GPT2 = ["configs/gpt2-124m.yaml"]
LONG = GPT2 + ["--set", "precision.compute=bf16", "--set", "training.seq_len=1024", "--set", "training.global_batch_size=1", "--set",
               "training.grain_size=1"]
CONFIGS = {
    "gpt-shakespeare": (["configs/gpt-shakespeare.yaml"], "selective,80%,65%,50%,35%,20%"),
    "gpt2-124m bf16": (GPT2 + ["--set", "precision.compute=bf16"], "selective,70%,50%,35%,20%"),
    "gpt2-124m bf16 1,024 tokens": (LONG, "none,selective,62%,38%,20%,17%"),
    "gpt2-124m f32": (GPT2, "selective,70%,50%,35%,20%"),
}
CALIBRATED = ("none", "block")


def main():
    options = trials.paired(__doc__, list(CONFIGS))
    names = [options.only] if options.only else list(CONFIGS)
    wanted = [{"campaign": "predicted", "config": name, "pair": n} for n in range(options.pairs) for name in names]
    for trial in trials.missing(options.out, wanted):
        words, budgets = CONFIGS[trial["config"]]
        found = trials.bench("plan", *words, "--budgets", budgets)
        rows = [{key: row[key][0] if isinstance(row[key], list) else row[key] for key in row if row[key] != []} for row in found["rows"]]
        trials.record(options.out, trial, {"isa": found["isa"], "threads": found["threads_per_rank"], "rows": rows})
    lines = [line for line in map(json.loads, options.out.read_text().splitlines()) if line["campaign"] == "predicted"]
    errors = []
    for name in CONFIGS:
        of_config = [{row["name"]: row for row in line["rows"]} for line in lines if line["config"] == name]
        for budget in of_config[-1] if of_config else ():
            of_budget = [rows for rows in of_config if budget in rows]
            error = [rows[budget]["errors"] for rows in of_budget]
            text = f"error {statistics.median(error):+.1%} ({min(error):+.1%} to {max(error):+.1%})"
            if budget not in CALIBRATED:
                errors.append(abs(statistics.median(error)))
            with_turns = [rows for rows in of_budget if "added" in rows[budget]]
            if with_turns:
                added = [rows[budget]["added"] for rows in with_turns]
                planned = [rows[budget]["predicted_products"] / rows["none"]["predicted_products"] - 1 for rows in with_turns]
                less = with_turns[0]["none"]["activation_bytes"] / with_turns[0][budget]["activation_bytes"]
                text += (f"   {less:.2f} times less activations at {statistics.median(added):+.1%} ({min(added):+.1%} to {max(added):+.1%},"
                         f" {len(added)} rounds), planned {statistics.median(planned):+.1%}")
            print(f"{name:<28} {budget:<10} {len(error)} rounds  {text}")
    print(f"{len(errors)} pairs: mean error {statistics.mean(errors):.1%}, worst {max(errors):.1%}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
