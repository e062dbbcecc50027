# SPDX-License-Identifier: Apache-2.0
"""trials: what every campaign shares. --seeds A..B chooses the seeds; each trial is one JSON line at the end of the file --out, and a
trial whose line is there is not run again, so a campaign that was stopped goes on where it was."""

import argparse
import datetime
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def arguments(doc):
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", default="1..3", metavar="A..B", help="both ends belong to it; default 1..3")
    parser.add_argument("--out", required=True, type=Path, metavar="FILE.jsonl", help="one line a trial is added to it")
    parser.add_argument("--ranks", type=int, default=2)
    return parser


def seeds(text):
    first, _, last = text.partition("..")
    return range(int(first), int(last or first) + 1)


def program():
    return Path(os.environ.get("RINGMASTER_BUILD", ROOT / "build/release")) / "bin/ringmaster"


def cpu():
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return "unknown"


def missing(out, trials):
    """the trials (dicts) that have no line yet"""
    lines = [json.loads(line) for line in out.read_text().splitlines()] if out.exists() else []
    return [t for t in trials if not any(t.items() <= line.items() for line in lines)]


def record(out, trial, result):
    line = {**trial, **result, "date": datetime.date.today().isoformat(), "cpu": cpu()}
    with out.open("a") as file:
        file.write(json.dumps(line) + "\n")
    print(json.dumps(line), flush=True)


def paired(doc, names=()):
    """--pairs and --out of a campaign that measures pairs, and --only where there are several things to measure"""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=15)
    parser.add_argument("--out", required=True, type=Path, metavar="FILE.jsonl", help="one line a pair is added to it")
    if names:
        parser.add_argument("--only", choices=names, help="measure this alone")
    return parser.parse_args()


def bench(*words):
    """what `ringmaster bench ... --json` says"""
    line = [program(), "bench", *words, "--json"]
    return json.loads(subprocess.run(line, check=True, stdout=subprocess.PIPE, cwd=ROOT).stdout)


def peer(script, *words):
    """what a Python script prints as JSON, run with the Python of this campaign"""
    return json.loads(subprocess.run([sys.executable, "-c", script, *map(str, words)], check=True, stdout=subprocess.PIPE).stdout)


def checkpointing(way):
    """the flags of a way to save activations: the name of a mode, or a budget"""
    mode = "budget" if way[0].isdigit() else way
    flags = ["--set", f"activation_checkpoint.mode={mode}"]
    return flags + ["--set", f"activation_checkpoint.budget={way}"] if mode == "budget" else flags


def total(rows, field):
    return sum(row[field] for row in rows)


def close(out, campaign, fields, **where):
    """prints the median, smallest and largest of each field over the lines of a campaign"""
    lines = [line for line in map(json.loads, out.read_text().splitlines()) if line["campaign"] == campaign]
    lines = [line for line in lines if where.items() <= line.items()]
    name = " ".join(str(value) for value in where.values())
    for field in fields:
        values = [line[field] for line in lines]
        print(f"{name:12} {field:12} {statistics.median(values):.3f} ({min(values):.3f} to {max(values):.3f}, {len(values)})")


def train(config, ranks, sets):
    """summary.json of a run that is thrown away"""
    with tempfile.TemporaryDirectory(prefix="ringmaster-campaign-") as folder:
        run = Path(folder) / "run"
        train_in(run, config, ranks, sets)
        return json.loads((run / "summary.json").read_text())


def train_in(run, config, ranks, sets):
    flags = [word for key, value in sets.items() for word in ("--set", f"{key}={value}")]
    subprocess.run([program(), "train", config, "--ranks", str(ranks), "--run-dir", run, "--quiet", *flags], check=True, cwd=ROOT)


def train_and_sample(config, ranks, sets, count=None):
    """The rows of `sample --format npy` of a run that is thrown away, and the seconds that the run took."""
    import numpy

    with tempfile.TemporaryDirectory(prefix="ringmaster-campaign-") as folder:
        run, rows = Path(folder) / "run", Path(folder) / "rows.npy"
        train_in(run, config, ranks, sets)
        more = ["--count", str(count)] if count else []
        subprocess.run([program(), "sample", run, "--format", "npy", "--out", rows, *more], check=True)
        summary = json.loads((run / "summary.json").read_text())
        return numpy.load(rows), summary["wall_seconds"]
