# SPDX-License-Identifier: Apache-2.0
"""gpt2_parity: GPT-2's forward pass, every gradient and the losses of a training run, against PyTorch with the same weights."""

import gpt2
from cases import ROOT, case, close, main

TINY = {"layers": 3, "heads": 4, "width": 64, "vocab_size": 256}
ODD = {"layers": 2, "heads": 5, "width": 200, "vocab_size": 1001}
MAX_NORM = 0.5  # of gradients near 1


def configuration(model, seq_len, batch, grain, steps=20):
    return {"model": model,
            "training": {"steps": steps, "seq_len": seq_len, "global_batch_size": batch, "grain_size": grain, "max_norm": MAX_NORM},
            "optimizer": {"name": "adamw", "lr": 1e-3, "beta1": 0.9, "beta2": 0.95, "eps": 1e-8, "weight_decay": 1.0},
            "lr_scheduler": {"warmup_steps": 5, "decay_type": "cosine", "min_lr_factor": 0.1}}


def both(config, steps, masked=False, base=None):
    """ours and PyTorch's numbers after `steps` steps; the configuration's own steps set the schedule"""
    training, model = config["training"], config["model"]
    network = gpt2.twin(model, training["seq_len"])
    data = gpt2.batches(steps, training["global_batch_size"], training["seq_len"], model["vocab_size"], masked)
    found = gpt2.ours(network, data, config, base)
    return found, gpt2.theirs(network, data, config)


def check_step(found, expected):
    logits = close("logits", found["logits"], expected["logits"], 1e-5)
    gradients = [name for name in expected if name.startswith("grad.")]
    assert sorted(gradients) == sorted(name for name in found if name.startswith("grad."))
    worst = max((close(name, found[name], expected[name], 1e-4), name) for name in gradients)
    print(f"logits: {logits:.1e}; the worst of {len(gradients)} gradients, {worst[1]}: {worst[0]:.1e}")


def check_run(found, expected):
    for name, limit in {"lr": 1e-12, "loss": 1e-5, "grad_norm": 2e-6}.items():
        print(f"{name}: {close(name, found[name], expected[name], limit):.1e}")
    worst = (found["loss"] - expected["loss"]).abs().max().item()
    assert worst <= 1e-4, f"a loss is off by {worst:.1e}"
    assert expected["grad_norm"].max() > MAX_NORM, f"no step was clipped: {expected['grad_norm'].tolist()}"


def check_all(model, seq_len, batch, grain, masked=False):
    found, expected = both(configuration(model, seq_len, batch, grain), 20, masked)
    check_step(found, expected)
    check_run(found, expected)


@case
def twenty_steps():
    check_all(TINY, seq_len=32, batch=8, grain=2)


@case
def twenty_steps_with_padding():
    check_all(TINY, seq_len=32, batch=6, grain=3, masked=True)


@case
def twenty_steps_with_a_head_of_its_own():
    check_all({**TINY, "tied_embeddings": False}, seq_len=32, batch=8, grain=4)


@case
def odd_shapes():
    check_all(ODD, seq_len=123, batch=3, grain=1)


@case
def one_step_of_gpt2_124m():
    config = configuration({"layers": 12, "heads": 12, "width": 768, "vocab_size": 50304}, 256, 4, 1, steps=1)
    config["lr_scheduler"]["warmup_steps"] = 0
    found, expected = both(config, 1, base=ROOT / "configs/gpt2-124m.yaml")
    check_step(found, expected)
    check_run(found, expected)


def seen(what, check):
    try:
        check()
    except AssertionError as error:
        print(f"{what} is seen: {error}")
        return
    raise AssertionError(f"{what} is not seen")


@case
def differences_are_seen():
    """one element of one weight, and each setting of the optimizer, are changed by 0.1 to 5 %"""
    config = configuration(TINY, 32, 8, 2)
    network = gpt2.twin(TINY, 32)
    data = gpt2.batches(20, 8, 32, TINY["vocab_size"], False)
    found = gpt2.ours(network, data, config)
    start = {name: p.clone() for name, p in network.state_dict().items()}

    def again(section="training", key="max_norm", factor=1.0):
        network.load_state_dict(start)
        other = {**config, section: {**config[section], key: config[section][key] * factor}}
        return gpt2.theirs(network, data, other)

    check_step(found, again())
    start["transformer.h.1.mlp.c_fc.weight"][5, 7] *= 1.05
    seen("one element", lambda: check_step(found, again()))
    start["transformer.h.1.mlp.c_fc.weight"][5, 7] /= 1.05
    for section, key, factor in (("optimizer", "lr", 1.001), ("optimizer", "beta2", 0.999), ("optimizer", "beta1", 0.999),
                                 ("optimizer", "weight_decay", 1.05), ("training", "max_norm", 0.99),
                                 ("lr_scheduler", "min_lr_factor", 1.01)):
        seen(f"{section}.{key}", lambda: check_run(found, again(section, key, factor)))


if __name__ == "__main__":
    raise SystemExit(main())
