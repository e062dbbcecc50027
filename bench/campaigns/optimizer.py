# SPDX-License-Identifier: Apache-2.0
"""optimizer: the whole update of GPT-2 124M with 16-bit copies of its weights, norm + clip + AdamW + cast, with both kinds of
precision.master, against PyTorch's clip_grad_norm_ + fused AdamW + casts to bf16, in alternation on the same cores. Run it with the
Python that `bench --vs` uses (bench/python/make_env prints it). Closes with the median, smallest and largest ratio; above 1, ours
is faster."""

import sys

import trials

MASTERS = ("f32", "split")  # precision.master
OPS = {"adam", "square_sums", "norm", "clip_factor", "decision"}
THEIRS = """
import json, sys, time, torch
torch.set_num_threads(int(sys.argv[1]))
shapes = [(50304, 768), (1024, 768), (768,), (768,)]
for _ in range(12):
    shapes += [(768,)] * 4 + [(768, 2304), (2304,), (768, 768), (768,), (768, 3072), (3072,), (3072, 768), (768,)]
weights = [torch.nn.Parameter(torch.randn(s) * 0.02) for s in shapes]
narrow = [torch.empty(s, dtype=torch.bfloat16) for s in shapes]
for w in weights:
    w.grad = torch.randn_like(w)
optimizer = torch.optim.AdamW(weights, lr=1e-4, fused=True)
seconds = []
for _ in range(12):
    start = time.perf_counter()
    torch.nn.utils.clip_grad_norm_(weights, 1.0)
    optimizer.step()
    with torch.no_grad():
        for w, n in zip(weights, narrow):
            n.copy_(w)
    seconds.append(time.perf_counter() - start)
print(json.dumps({"seconds": sorted(seconds[2:])[5], "version": torch.__version__}))
"""


def ours(master):
    return trials.bench("step", "configs/gpt2-124m.yaml", "--pairs", "3", "--set", "precision.compute=bf16", "--set",
                        f"precision.master={master}", "--set", "training.seq_len=256", "--set", "training.global_batch_size=1")


def main():
    options = trials.paired(__doc__)
    wanted = [{"campaign": "optimizer", "master": master, "pair": n} for n in range(options.pairs) for master in MASTERS]
    for pair in trials.missing(options.out, wanted):
        report = ours(pair["master"])
        rows = [row for row in report["instructions"] if row["op"] in OPS]
        seconds, count = trials.total(rows, "seconds"), trials.total(rows, "bytes")
        theirs = trials.peer(THEIRS, report["cores"])
        trials.record(options.out, pair, {
            "seconds": seconds, "bytes": count, "torch_seconds": theirs["seconds"], "torch": theirs["version"], "isa": report["isa"],
            "ratio": theirs["seconds"] / seconds, "over_triad": count / seconds / report["triad_bytes_per_second"]})
    for master in MASTERS:
        trials.close(options.out, "optimizer", ["ratio", "over_triad"], master=master)
    return 0


if __name__ == "__main__":
    sys.exit(main())
