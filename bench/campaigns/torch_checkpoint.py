# SPDX-License-Identifier: Apache-2.0
"""torch_checkpoint: what gradient checkpointing costs in time at equal memory: PyTorch with torch.utils.checkpoint around every block,
and ours under a budget of the bytes that it then holds of its blocks: the input of each, and what autograd saves of the one that is
made again. That budget is hard on ours, which has to hold the working memory of backward and of the loss head in it too. GPT-2 124M,
bf16, 1,024 tokens. A trial is a pair: PyTorch without and with checkpoints, ours without and with the budget. Run with the Python of
bench/python/make_env."""

import json
import statistics
import subprocess
import sys

import trials

SHAPE = {"layers": 12, "dim": 768, "heads": 12, "seq": 1024, "batch": 1, "vocab": 50304}
CONFIG = ["configs/gpt2-124m.yaml", "--set", "precision.compute=bf16", "--set", "training.seq_len=1024", "--set",
          "training.global_batch_size=1", "--set", "training.grain_size=1"]
WORDS = [word for key, value in SHAPE.items() for word in (f"--{key}", str(value))] + ["--dtype", "bf16"]

# Bytes that autograd saves in a forward, weights and their 16-bit copies aside.
SAVED = """
import json, runpy, sys, torch
shapes, seen = set(), {}
words = sys.argv[2:]
rows = tuple(int(words[words.index(key) + 1]) for key in ("--seq", "--dim"))  # activations; the positions' weight is never saved
init = torch.nn.Parameter.__new__
def parameter(cls, data=None, requires_grad=True):
    shapes.add(tuple(data.shape)); shapes.add(tuple(data.shape[::-1]))
    return init(cls, data, requires_grad)
torch.nn.Parameter.__new__ = staticmethod(parameter)
def pack(tensor):
    if tuple(tensor.shape) not in shapes or tuple(tensor.shape) == rows:
        storage = tensor.untyped_storage()
        seen[storage.data_ptr()] = max(seen.get(storage.data_ptr(), 0), storage.nbytes())
    return tensor
def stop(loss, *args, **kwargs):
    print(json.dumps({"bytes": sum(seen.values())}))
    sys.exit(0)
torch.Tensor.backward = stop
path = sys.argv.pop(1)
with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
    runpy.run_path(path, run_name="__main__")
"""


def saved_bytes(*more):
    return trials.peer(SAVED, trials.ROOT / "bench/peers/torch_gpt.py", *WORDS, *more)["bytes"]


def torch_step(*more):
    words = [sys.executable, trials.ROOT / "bench/peers/torch_gpt.py", *WORDS, "--steps", "3", *more]
    return json.loads(subprocess.run(words, check=True, stdout=subprocess.PIPE).stdout)["step_s"]


def main():
    options = trials.paired(__doc__)
    for trial in trials.missing(options.out, [{"campaign": "torch_checkpoint", "pair": n} for n in range(options.pairs)]):
        everything, outside = saved_bytes(), saved_bytes("--ckpt")
        inputs = SHAPE["layers"] * SHAPE["batch"] * SHAPE["seq"] * SHAPE["dim"] * 4
        block = (everything - outside) // SHAPE["layers"]
        budget = inputs + block
        torch_none, torch_ckpt = torch_step(), torch_step("--ckpt")
        rows = trials.bench("plan", *CONFIG, "--budgets", f"none,{budget}")["rows"]
        none, ours = (row["measured_products"][0] for row in rows)
        trials.record(options.out, trial, {
            "budget": budget, "block_inputs": inputs, "saved_by_a_block": block, "activation_bytes": rows[1]["activation_bytes"],
            "torch_none": torch_none, "torch_checkpoint": torch_ckpt, "torch_added": torch_ckpt / torch_none - 1,
            "ours_none": rows[0]["step_seconds"][0], "ours_budget": rows[1]["step_seconds"][0], "ours_added": ours / none - 1})
    trials.close(options.out, "torch_checkpoint", ["torch_added", "ours_added", "torch_checkpoint", "ours_budget"])
    lines = [line for line in map(json.loads, options.out.read_text().splitlines()) if line["campaign"] == "torch_checkpoint"]
    seconds = [(line["ours_added"] * line["ours_none"], line["torch_added"] * line["torch_none"]) for line in lines]
    ratios = [ours / torch for ours, torch in seconds]
    print(f"extra time: ours {statistics.median(ours for ours, _ in seconds):.3f} s, torch {statistics.median(torch for _, torch in seconds):.3f} s,"
          f" ratio of pairs {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
