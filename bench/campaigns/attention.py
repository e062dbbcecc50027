# SPDX-License-Identifier: Apache-2.0
"""attention: causal attention of 8 heads of 64 in bf16, forward and backward, against PyTorch's scaled_dot_product_attention in
alternating pairs on the same cores, at 4,096 and 16,384 tokens. Run it with the Python that `bench --vs` uses
(bench/python/make_env prints it). Closes with the median, smallest and largest ratio (above 1, ours is faster) and share of the
machine's matrix peak; the seven products of a causal attention are counted."""

import sys

import trials

THEIRS = """
import json, sys, time, torch
import torch.nn.functional as F
threads, tokens = int(sys.argv[1]), int(sys.argv[2])
torch.set_num_threads(threads)
q, k, v = (torch.randn(1, 8, tokens, 64, dtype=torch.bfloat16, requires_grad=True) for _ in range(3))
dy = torch.randn(1, 8, tokens, 64, dtype=torch.bfloat16)
seconds = []
for _ in range(6 if tokens < 8192 else 3):
    start = time.perf_counter()
    F.scaled_dot_product_attention(q, k, v, is_causal=True).backward(dy)
    seconds.append(time.perf_counter() - start)
print(json.dumps({"seconds": min(seconds[1:]), "version": torch.__version__}))
"""


def main():
    options = trials.paired(__doc__)
    wanted = [{"campaign": "attention", "tokens": t, "pair": n} for t in (4096, 16384) for n in range(options.pairs)]
    for pair in trials.missing(options.out, wanted):
        report = trials.bench("ops", "configs/gpt2-124m.yaml", "--filter", "^attention", "--set", "precision.compute=bf16", "--set",
                              "model.layers=1", "--set", "model.heads=8", "--set", "model.width=512", "--set",
                              f"training.seq_len={pair['tokens']}", "--set", "training.global_batch_size=1", "--set",
                              "training.grain_size=1")
        seconds, flops = trials.total(report["instructions"], "seconds"), trials.total(report["instructions"], "flops")
        theirs = trials.peer(THEIRS, report["cores"], pair["tokens"])
        trials.record(options.out, pair, {
            "seconds": seconds, "flops": flops, "torch_seconds": theirs["seconds"], "torch": theirs["version"], "isa": report["isa"],
            "ratio": theirs["seconds"] / seconds, "of_peak": flops / seconds / report["gemm_peak"]["bf16"]})
    for tokens in (4096, 16384):
        trials.close(options.out, "attention", ["ratio", "of_peak"], tokens=tokens)
    return 0


if __name__ == "__main__":
    sys.exit(main())
