"""Model folders as transformers writes them, in every form that ts/io must read: gpt2/NAME/ with the logits of float32 PyTorch in gpt2-folders.json.

All are one small GPT-2 (2 layers, 2 heads, width 16, context 12, 29 tokens), saved tied and untied, in F32, F16 and BF16, in shards, without the
`transformer.` prefix and with masks (as the first GPT-2 folders), with a head in place of the token table, and with other sizes and activations.
Expected logits of the 16-bit folders are those of a float32 model with the rounded weights: conversion must be exact.
"""
import json
import pathlib
import shutil

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel

from common import out_folder, write_json

V, T, C = 29, 12, 16


def make(seed, **changes):
    torch.manual_seed(seed)
    config = GPT2Config(vocab_size=V, n_positions=T, n_embd=C, n_layer=2, n_head=2, bos_token_id=None, eos_token_id=None, **changes)
    model = GPT2LMHeadModel(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    return model


def logits_of(folder, ids):
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    with torch.no_grad():
        return model(ids).logits


def rename(folder, change):
    """Writes the folder's tensors again under other names."""
    path = folder / "model.safetensors"
    tensors = {new: tensor for name, tensor in load_file(path).items() for new, tensor in change(name, tensor)}
    save_file(tensors, path, metadata={"format": "pt"})


def old_names(name, tensor):
    """As in the first GPT-2 folders: no prefix, and the causal masks among the weights."""
    bare = name.removeprefix("transformer.")
    yield bare, tensor
    if bare.endswith("attn.c_attn.weight"):
        block = bare.removesuffix("c_attn.weight")
        yield block + "bias", torch.tril(torch.ones(T, T)).view(1, 1, T, T)
        yield block + "masked_bias", torch.tensor(-1e4)


def head_alone(name, tensor):
    yield ("lm_head.weight" if name == "transformer.wte.weight" else name), tensor


def head_too(name, tensor):
    yield name, tensor
    if name == "transformer.wte.weight":
        yield "lm_head.weight", tensor.clone()


CASES = {
    "tied": (1, {}, {}, None),
    "untied": (2, {"tie_word_embeddings": False}, {}, None),
    "f16": (3, {}, {"half": torch.float16}, None),
    "bf16-untied-sharded": (4, {"tie_word_embeddings": False}, {"half": torch.bfloat16, "max_shard_size": 4000}, None),
    "sharded": (5, {}, {"max_shard_size": "6KB"}, None),
    "old-names": (6, {}, {}, old_names),
    "head-alone": (7, {}, {}, head_alone),
    "head-too": (8, {}, {}, head_too),
    "variant": (9, {"n_inner": 24, "activation_function": "gelu", "layer_norm_epsilon": 1e-3, "embd_pdrop": 0.2, "resid_pdrop": 0.0, "attn_pdrop": 0.4}, {}, None),
    "relu": (10, {"activation_function": "relu"}, {}, None),
    "gelu-pytorch-tanh": (11, {"activation_function": "gelu_pytorch_tanh"}, {}, None),
}


def main():
    out = out_folder()
    expected = {}
    for name, (seed, changes, saving, renaming) in CASES.items():
        folder = out / "gpt2" / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        model = make(seed, **changes)
        half = saving.get("half")
        model = model.to(half) if half is not None else model
        model.save_pretrained(folder, **{key: value for key, value in saving.items() if key != "half"})
        if renaming is not None:
            rename(folder, renaming)
        ids = torch.randint(0, V, (2, T), generator=torch.Generator().manual_seed(100 + seed))
        # Old names and a head alone are put right by hand for transformers, which would not take them as they are; the numbers are the same.
        logits = logits_of(folder, ids) if renaming in (None, head_too) else torch.no_grad()(lambda: model(ids).logits)()
        expected[name] = {"ids": ids.tolist(), "logits": [float(f"{value:.9g}") for value in logits.flatten().tolist()], "files": sorted(path.name for path in folder.iterdir())}
        config = json.loads((folder / "config.json").read_text("utf-8"))
        config.pop("transformers_version", None)
        (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8", newline="\n")
    write_json("gpt2-folders.json", __file__, {"torch": torch.__version__, "cases": expected}, out)
    print(sum(path.stat().st_size for path in (out / "gpt2").rglob("*") if path.is_file()), "bytes in gpt2/")


if __name__ == "__main__":
    main()
