# SPDX-License-Identifier: Apache-2.0
"""gpt2: a GPT-2 of ours and its twin, GPT2LMHeadModel of transformers with PyTorch's own AdamW, on the same weights and batches."""

import json
import math

import torch
from safetensors.torch import load_file, save_file
from transformers import GPT2Config, GPT2LMHeadModel
from transformers.utils import logging

from cases import BUILD, SCRATCH, run

torch.set_num_threads(2)
logging.disable_progress_bar()


def twin(model, seq_len, seed=0):
    """Random weights everywhere, in biases and gains too, so that no parameter is at a value where a mistake does not show."""
    torch.manual_seed(seed)
    config = GPT2Config(n_layer=model["layers"], n_head=model["heads"], n_embd=model["width"], n_positions=seq_len,
                        vocab_size=model["vocab_size"], resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
                        tie_word_embeddings=model.get("tied_embeddings", True), bos_token_id=None, eos_token_id=None)
    config._attn_implementation = "eager"
    network = GPT2LMHeadModel(config)
    with torch.no_grad():
        for name, p in network.named_parameters():
            if p.dim() == 1:
                p.copy_((1.0 if name.endswith("weight") else 0.0) + 0.1 * torch.randn(p.shape))
    return network


def batches(steps, size, seq_len, vocab_size, masked, seed=1):
    """tokens, targets and a mask of whole numbers 0 and 1: ragged rows if `masked`"""
    g = torch.Generator().manual_seed(seed)
    ids = torch.randint(0, vocab_size, (steps, size, seq_len + 1), generator=g, dtype=torch.int32)
    mask = torch.ones(steps, size, seq_len)
    if masked:
        for length, row in zip(torch.randint(1, seq_len, (steps * size,), generator=g), mask.view(-1, seq_len)):
            row[length:] = 0
    return {"tokens": ids[..., :-1].contiguous(), "targets": ids[..., 1:].contiguous(), "mask": mask}


def settings(config):
    """--set texts of a nested configuration"""
    return [f"{section}.{key}={json.dumps(value)}" for section, keys in config.items() for key, value in keys.items()]


def ours(network, data, config, base=None):
    """what parity_step says of the training program with these weights and batches"""
    return ours_of({name: p.detach().contiguous() for name, p in network.named_parameters()}, data, config, base)


def ours_of(weights, data, config, base=None):
    save_file({**weights, **data}, SCRATCH / "in.safetensors")
    empty = SCRATCH / "base.yaml"
    empty.write_text("model: {}\n")
    run(BUILD / "bin/parity_step", base or empty, SCRATCH / "in.safetensors", SCRATCH / "out.safetensors", *settings(config))
    return load_file(SCRATCH / "out.safetensors")


def learning_rate(config, step):
    """linear warm-up that reaches the full rate at its last step, then half a cosine down to min_lr_factor"""
    lr, s = config["optimizer"]["lr"], config["lr_scheduler"]
    if step < s["warmup_steps"]:
        return lr * (step + 1) / s["warmup_steps"]
    progress = (step - s["warmup_steps"]) / (config["training"]["steps"] - s["warmup_steps"])
    return lr * (s["min_lr_factor"] + (1 - s["min_lr_factor"]) * (1 + math.cos(math.pi * progress)) / 2)


def theirs(network, data, config):
    """the same numbers from PyTorch"""
    o, steps = config["optimizer"], data["tokens"].shape[0]
    parameters = list(network.parameters())
    optimizer = torch.optim.AdamW([{"params": [p for p in parameters if p.dim() >= 2], "weight_decay": o["weight_decay"]},
                                   {"params": [p for p in parameters if p.dim() < 2], "weight_decay": 0.0}],
                                  lr=o["lr"], betas=(o["beta1"], o["beta2"]), eps=o["eps"])
    out = {"loss": [], "grad_norm": [], "lr": []}
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(config, step)
        out["lr"].append(optimizer.param_groups[0]["lr"])
        logits = network(data["tokens"][step].long()).logits
        mask = data["mask"][step].view(-1)
        loss = torch.nn.functional.cross_entropy(logits.view(-1, logits.shape[-1]), data["targets"][step].long().view(-1),
                                                 reduction="none")
        loss = (loss * mask).sum() / mask.sum()
        optimizer.zero_grad()
        loss.backward()
        if step == 0:
            out["logits"] = logits.detach().clone()
            out.update({f"grad.{name}": p.grad.clone() for name, p in network.named_parameters()})
        # clip_grad_norm_ with the norm taken in f64: in f32 PyTorch's norm of 124M gradients is off by 5e-4.
        norm = torch.nn.utils.get_total_norm([p.grad.double() for p in parameters])
        torch.nn.utils.clip_grads_with_norm_(parameters, config["training"]["max_norm"], norm)
        out["grad_norm"].append(norm.item())
        out["loss"].append(loss.item())
        optimizer.step()
    out.update({f"weight.{name}": p.detach() for name, p in network.named_parameters()})
    return {name: torch.tensor(value, dtype=torch.float64) if isinstance(value, list) else value
            for name, value in out.items()}
