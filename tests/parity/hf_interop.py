# SPDX-License-Identifier: Apache-2.0
"""hf_interop: models cross over to transformers and back: a checkpoint of ours opens there, a folder saved there trains here, and
both sides compute the same logits from the same weights."""

import json
import shutil

import torch
from safetensors.torch import load_file, save_file
from transformers import GPT2LMHeadModel, GPT2Tokenizer

import bpe
import gpt2
from cases import SCRATCH, case, close, main, ringmaster

MODEL, SEQ_LEN, BATCH = {"layers": 2, "heads": 5, "width": 40, "vocab_size": 301}, 24, 3
LIMIT = 2e-6  # of logits, max|d|/max|ref|: a few roundings
TRAINING = {"training": {"steps": 3, "seq_len": SEQ_LEN, "global_batch_size": BATCH, "grain_size": 1}}


def logits_of_ours(weights, model=None):
    """what our forward pass says of the weights in a checkpoint folder"""
    tensors = load_file(weights / "model.safetensors")
    data = gpt2.batches(1, BATCH, SEQ_LEN, MODEL["vocab_size"], masked=False)
    return data, gpt2.ours_of(tensors, data, {"model": model or MODEL, **TRAINING})["logits"]


def logits_of_theirs(folder, data):
    network, report = GPT2LMHeadModel.from_pretrained(folder, output_loading_info=True, attn_implementation="eager")
    assert not any(report.values()), f"{folder}: {report}"
    assert network.dtype == torch.float32, network.dtype
    with torch.no_grad():
        return network.eval()(data["tokens"][0].long()).logits


def fresh(name):
    shutil.rmtree(SCRATCH / name, ignore_errors=True)
    return SCRATCH / name


def train(run, *sets):
    """three steps on some text; the checkpoint behind them"""
    text, config = SCRATCH / "text.txt", SCRATCH / "tiny.yaml"
    text.write_text("the ring goes round and never stops\n" * 200)
    keys = {"model": MODEL, **TRAINING, "data": {"path": json.dumps(str(text))}, "launch": {"threads_per_rank": 1}}
    config.write_text("".join(f"{section}:\n" + "".join(f"  {key}: {value}\n" for key, value in values.items())
                              for section, values in keys.items()))
    ringmaster("train", config, "--run-dir", run, "--quiet", *[word for one in sets for word in ("--set", one)])
    return run / "checkpoint/step-00000003"


def trained(name, *sets):
    run = fresh(name)
    return run, train(run, *sets)


def same_tensors(ours, theirs):
    assert sorted(ours) == sorted(theirs), sorted(set(ours) ^ set(theirs))
    for name, tensor in ours.items():
        assert tensor.dtype == theirs[name].dtype and torch.equal(tensor, theirs[name]), name


def saved_by_transformers(name, tied=True, **how):
    network = gpt2.twin({**MODEL, "tied_embeddings": tied}, SEQ_LEN)
    network.save_pretrained(fresh(name), **how)
    return network, SCRATCH / name


@case
def a_checkpoint_opens_as_it_was_written():
    for tied in (True, False):
        model = {**MODEL, "tied_embeddings": tied}
        _run, checkpoint = trained("run", f"model.tied_embeddings={json.dumps(tied)}")
        data, ours = logits_of_ours(checkpoint, model)
        print(f"logits: {close('logits', ours, logits_of_theirs(checkpoint, data), LIMIT):.1e}")


@case
def an_export_opens():
    run, checkpoint = trained("run")
    folder = fresh("exported")
    ringmaster("checkpoint", "export", run, folder)
    data, ours = logits_of_ours(checkpoint)
    close("logits", ours, logits_of_theirs(folder, data), LIMIT)
    same_tensors(load_file(folder / "model.safetensors"), load_file(checkpoint / "model.safetensors"))


@case
def an_export_in_another_type_rounds_as_pytorch_does():
    run, checkpoint = trained("run")
    weights = load_file(checkpoint / "model.safetensors")
    for name, dtype in (("bf16", torch.bfloat16), ("f16", torch.float16)):
        file = fresh("exports") / f"{name}.safetensors"
        file.parent.mkdir()
        ringmaster("checkpoint", "export", checkpoint, file, "--dtype", name)
        same_tensors(load_file(file), {key: tensor.to(dtype) for key, tensor in weights.items()})


@case
def an_export_with_its_tokenizer_speaks():
    vocabulary = bpe.own_vocabulary()
    run, _checkpoint = trained("run", f"model.vocab_size={bpe.OWN_SIZE}")
    folder = fresh("exported")
    ringmaster("checkpoint", "export", run, folder, "--tokenizer-dir", vocabulary)
    text = "A step is 3 grains,\r\n  dealt to the ranks.\U0001F600"
    ids = GPT2Tokenizer.from_pretrained(folder)(text)["input_ids"]
    assert ids == bpe.peer(vocabulary, "vocab.json", "merges.txt")(text), ids
    imported = fresh("imported")
    ringmaster("checkpoint", "import", folder, imported)
    said = ringmaster("sample", imported, "--tokenizer-dir", folder, "--prompt", "A step", "--tokens", 5)
    assert said.startswith("A step"), said


@case
def a_folder_of_transformers_gives_the_same_logits():
    for tied in (True, False):
        network, folder = saved_by_transformers("saved", tied)
        run = fresh("imported")
        ringmaster("checkpoint", "import", folder, run)
        checkpoint = run / "checkpoint/step-00000000"
        data, ours = logits_of_ours(checkpoint, {**MODEL, "tied_embeddings": tied})
        with torch.no_grad():
            theirs = network.eval()(data["tokens"][0].long()).logits
        print(f"logits: {close('logits', ours, theirs, LIMIT):.1e}")
        close("logits", logits_of_theirs(checkpoint, data), theirs, 1e-6)
        same_tensors(load_file(checkpoint / "model.safetensors"), dict(network.named_parameters()))


@case
def shards_and_other_types_are_imported():
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        network, folder = saved_by_transformers("saved", max_shard_size="40KB")
        network.to(dtype).save_pretrained(fresh("saved"), max_shard_size="40KB")
        assert len(list(folder.glob("model-*.safetensors"))) > 2, "one shard is no test"
        run = fresh("imported")
        ringmaster("checkpoint", "import", folder, run)
        same_tensors(load_file(run / "checkpoint/step-00000000/model.safetensors"),
                     {name: p.float() for name, p in network.named_parameters()})


@case
def the_old_layout_is_imported():
    """names without their prefix, a tied head of its own and the masks among the weights, as the published GPT-2 has them"""
    network, folder = saved_by_transformers("saved")
    weights = {name.removeprefix("transformer."): p.detach().contiguous() for name, p in network.named_parameters()}
    mask = torch.tril(torch.ones(SEQ_LEN, SEQ_LEN, dtype=torch.bool))[None, None]
    for layer in range(MODEL["layers"]):
        weights[f"h.{layer}.attn.bias"], weights[f"h.{layer}.attn.masked_bias"] = mask.clone(), torch.tensor(-1e4)
    weights["lm_head.weight"] = weights["wte.weight"].clone()
    save_file(weights, folder / "model.safetensors")
    run = fresh("imported")
    ringmaster("checkpoint", "import", folder, run)
    same_tensors(load_file(run / "checkpoint/step-00000000/model.safetensors"), dict(network.named_parameters()))


@case
def an_import_trains_on_and_comes_back():
    network, folder = saved_by_transformers("saved")
    run = fresh("imported")
    ringmaster("checkpoint", "import", folder, run)
    again = fresh("again")
    ringmaster("checkpoint", "export", run, again)
    same_tensors(load_file(again / "model.safetensors"), dict(network.named_parameters()))
    checkpoint = train(run)
    fresh_run, _checkpoint = trained("run")
    first, other = (json.loads((folder / "metrics.jsonl").read_text().splitlines()[0]) for folder in (run, fresh_run))
    assert first["step"] == other["step"] == 1 and first["loss"] != other["loss"], "the weights were not used"
    data, ours = logits_of_ours(checkpoint)
    close("logits", ours, logits_of_theirs(checkpoint, data), LIMIT)


@case
def other_models_are_refused():
    _network, folder = saved_by_transformers("saved")
    config = json.loads((folder / "config.json").read_text())
    for key, value in {"model_type": "gptj", "activation_function": "relu", "n_layer": 3, "vocab_size": 300}.items():
        (folder / "config.json").write_text(json.dumps({**config, key: value}))
        run = fresh("imported")
        ringmaster("checkpoint", "import", folder, run, expect=2)
        assert not run.exists(), key


if __name__ == "__main__":
    raise SystemExit(main())
