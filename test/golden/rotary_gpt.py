"""A GPT-2 with rotary positions instead of its table, written out in PyTorch: GPT-2's parameters and blocks, the turn of transformers' Llama.

Writes rotary-gpt-NAME.json (config.json as this library has it) and rotary-gpt-NAME.safetensors: weights, ids, labels, logits, `grad.*` (float64 results
stored as float32), the greedy continuation of the first row. plain: base 10000. linear: base 500, angles divided by 4, as a model is read beyond its length.
"""
import math

import torch
from safetensors.torch import save_file
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

from common import out_folder, write_json

B, T, V, C, H, L, NEW = 2, 13, 31, 16, 2, 2, 8
CASES = {"plain": {"rope_theta": 10000.0, "rope_scaling": None}, "linear": {"rope_theta": 500.0, "rope_scaling": {"rope_type": "linear", "factor": 4.0}}}


def parameters():
    shapes = {"transformer.wte.weight": (V, C), "transformer.ln_f.weight": (C,), "transformer.ln_f.bias": (C,)}
    for i in range(L):
        block = f"transformer.h.{i}."
        for name, shape in {"ln_1": None, "ln_2": None, "attn.c_attn": (C, 3 * C), "attn.c_proj": (C, C), "mlp.c_fc": (C, 4 * C), "mlp.c_proj": (4 * C, C)}.items():
            shapes[block + name + ".weight"] = shape or (C,)
            shapes[block + name + ".bias"] = (shape[1],) if shape else (C,)
    # Larger than the usual initialisation, so that every gradient is well away from zero.
    return {n: (torch.randn(s) * 0.3 + (1.0 if "ln_" in n and n.endswith("weight") else 0.0)).double().requires_grad_() for n, s in shapes.items()}


def forward(p, ids, rope):
    F = torch.nn.functional
    norm = lambda x, n: F.layer_norm(x, (C,), p[n + ".weight"], p[n + ".bias"], 1e-5)
    linear = lambda x, n: x @ p[n + ".weight"] + p[n + ".bias"]
    time, width = ids.shape[1], C // H
    factor = (rope["rope_scaling"] or {"factor": 1.0})["factor"]
    frequencies = rope["rope_theta"] ** (-torch.arange(0, width, 2).double() / width) / factor
    angles = torch.arange(time).double()[:, None] * frequencies
    both = torch.cat((angles, angles), -1)[None]
    x = p["transformer.wte.weight"][ids]
    for i in range(L):
        block = f"transformer.h.{i}."
        q, k, v = (part.view(*ids.shape, H, width).transpose(1, 2) for part in linear(norm(x, block + "ln_1"), block + "attn.c_attn").split(C, -1))
        q, k = apply_rotary_pos_emb(q, k, both.cos(), both.sin())
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(*ids.shape, C)
        x = x + linear(y, block + "attn.c_proj")
        hidden = linear(norm(x, block + "ln_2"), block + "mlp.c_fc")
        hidden = 0.5 * hidden * (1 + torch.tanh(math.sqrt(2 / math.pi) * (hidden + 0.044715 * hidden ** 3)))
        x = x + linear(hidden, block + "mlp.c_proj")
    return norm(x, "transformer.ln_f") @ p["transformer.wte.weight"].T


def one(name, seed):
    torch.manual_seed(seed)
    p, rope = parameters(), CASES[name]
    ids, labels = torch.randint(0, V, (B, T)), torch.randint(0, V, (B, T))
    labels[0, 2] = -100
    logits = forward(p, ids, rope)
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=-100)
    loss.backward()
    tensors = {n: x.detach().float() for n, x in p.items()} | {"grad." + n: x.grad.float() for n, x in p.items()}
    tensors |= {"ids": ids.int(), "labels": labels.int(), "logits": logits.detach().float()}
    greedy = ids[0].tolist()
    for _ in range(NEW):
        greedy.append(forward(p, torch.tensor([greedy]), rope)[0, -1].argmax().item())
    config = {"model_type": "ferroformer", "base_model_type": "gpt2", "vocab_size": V, "n_positions": 64, "n_embd": C, "n_layer": L, "n_head": H,
              "resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0, "ferroformer": {"version": 2, "position_embedding": "rotary", **rope}}
    save_file({n: t.contiguous() for n, t in tensors.items()}, out_folder() / f"rotary-gpt-{name}.safetensors")
    write_json(f"rotary-gpt-{name}.json", __file__, {"torch": torch.__version__, "config": config, "batch": B, "time": T, "loss": loss.item(), "greedy": greedy[T:]}, out_folder())


if __name__ == "__main__":
    torch.set_num_threads(1)
    for number, case in enumerate(CASES):
        one(case, 71 + number)
