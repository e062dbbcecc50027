# SPDX-License-Identifier: Apache-2.0
"""arena: is the memory that a plan says the memory that a run takes? Every shipped configuration under every way to save activations,
some steps each: the end of the highest buffer planned against the highest byte of the painted arena that was touched, and the whole
process (VmHWM) against process_bytes. What the machine does not grant, and budgets that a recipe cannot have, must be refused."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import trials

WAYS = ("none", "selective", "block", "75%", "50%", "25%", "least")


def ask(*words):
    done = subprocess.run([trials.program(), *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=trials.ROOT)
    return done.returncode, done.stdout, done.stderr


def run(config, way, data, folder):
    if way == "least":
        code, out, err = ask("plan", config, *trials.checkpointing("99%"), "--ranks", "1", "--json")
        if code != 0:
            return {"refused": json.loads(out)["message"] if out else err}
        way = str(json.loads(out)["recompute"]["minimum_budget_bytes"])
    code, out, err = ask("plan", config, *trials.checkpointing(way), "--ranks", "1", "--json")
    if code != 0:
        return {"refused": (json.loads(out)["message"] if out else err).splitlines()[0]}
    planned = json.loads(out)
    words = ["train", config, *trials.checkpointing(way), "--ranks", "1", "--run-dir", folder, "--quiet"]
    for key in ("training.steps=2", "lr_scheduler.warmup_steps=1", "validation.interval=2", *data):
        words += ["--set", key]
    code, _, err = ask(*words)
    if not planned["memory"]["fits"]:
        return {"refused": err.splitlines()[0]} if code == 3 else {"failed": f"not refused, exit code {code}: {err.strip()}"}
    if code != 0:
        return {"failed": err.strip()}
    summary = json.loads((Path(folder) / "summary.json").read_text())
    process, held = planned["per_rank"][0]["process_bytes"], summary["process_peak_bytes"][0]
    return {"planned": summary["peak_bytes_planned"][0], "touched": summary["peak_bytes_measured"][0], "process_planned": process,
            "process": held, "isa": planned["isa"], "threads": planned["threads_per_rank"],
            "good": summary["peak_bytes_planned"] == summary["peak_bytes_measured"] and abs(held - process) <= 0.03 * process + (64 << 20)}


def data_of(config, work):
    text, ids = work / "text.txt", work / "ids.u16"
    if not text.exists():
        text.write_text("all that a ring needs is a way round; " * 4000)
        ids.write_bytes(bytes(range(128)) * 600)  # ids below 32,640
    if "source: generated" in config.read_text():
        return []
    return [f"data.path={ids if 'format: uint16' in config.read_text() else text}"]


def main():
    options = trials.paired(__doc__)
    configs = sorted((trials.ROOT / "configs").glob("*.yaml"))
    wanted = [{"campaign": "arena", "config": config.stem, "way": way} for config in configs for way in WAYS]
    for trial in trials.missing(options.out, wanted):
        with tempfile.TemporaryDirectory() as work:
            config = trials.ROOT / "configs" / f"{trial['config']}.yaml"
            trials.record(options.out, trial, run(str(config), trial["way"], data_of(config, Path(work)), work + "/run"))
    lines = [line for line in map(json.loads, options.out.read_text().splitlines()) if line["campaign"] == "arena"]
    ran = [line for line in lines if "planned" in line]
    refused = [line for line in lines if "refused" in line]
    off = max((line["process"] - line["process_planned"] for line in ran), key=abs)
    print(f"{len(lines)} trials: {len(ran)} ran, {sum(line['good'] for line in ran)} as planned (the process at most {off / 2**20:+.1f} MiB off), "
          f"{len(refused)} refused, {len(lines) - len(ran) - len(refused)} failed")
    return 0 if len(ran) + len(refused) == len(lines) and all(line["good"] for line in ran) else 1


if __name__ == "__main__":
    sys.exit(main())
