"""GPT parity: tiny GPT-2 models made by transformers; logits, loss and every gradient in float64, ten training steps in float32.

Writes gpt-bias.safetensors / gpt-bias.json and the same with -nobias: weights, ids, labels, logits, `grad.*` (float64 results stored as
float32), losses and gradient norms of ten steps of clip 1.0 + AdamW (lr 1e-3, betas 0.9/0.99, decay 0.1 on matrices only).
"""
import copy

import torch
from safetensors.torch import save_file
from transformers import GPT2Config, GPT2LMHeadModel

from common import out_folder, write_json

L, H, C, T, B, V = 2, 2, 16, 8, 3, 31


def make(bias):
    torch.manual_seed(7 if bias else 8)
    config = GPT2Config(vocab_size=V, n_positions=T, n_embd=C, n_layer=L, n_head=H, resid_pdrop=0, embd_pdrop=0, attn_pdrop=0, bos_token_id=None, eos_token_id=None)
    config._attn_implementation = "eager"
    model = GPT2LMHeadModel(config)
    with torch.no_grad():
        for name, p in model.named_parameters():
            # Larger than the usual initialisation, so that every gradient is well away from zero.
            p.copy_(torch.randn_like(p) * 0.3 + (1.0 if "ln_" in name and name.endswith("weight") else 0.0))
            if not bias and name.endswith("bias"):
                p.zero_()
    return model


def parameters(model, bias):
    return {n: p for n, p in model.named_parameters() if bias or not n.endswith("bias")}


def loss_of(model, ids, labels):
    logits = model(ids).logits
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=-100), logits


def one(bias):
    name = "gpt-bias" if bias else "gpt-nobias"
    model = make(bias)
    ids = torch.randint(0, V, (B, T))
    labels = torch.randint(0, V, (B, T))
    labels[0, 2] = labels[2, 7] = -100
    tensors = {n: p.detach().clone() for n, p in parameters(model, bias).items()}
    double = copy.deepcopy(model).double()
    loss, logits = loss_of(double, ids, labels)
    loss.backward()
    for n, p in parameters(double, bias).items():
        tensors["grad." + n] = p.grad.float()
    tensors |= {"ids": ids.int(), "labels": labels.int(), "logits": logits.detach().float()}
    kept = parameters(model, bias)
    groups = [{"params": [p for p in kept.values() if p.dim() > 1], "weight_decay": 0.1}, {"params": [p for p in kept.values() if p.dim() < 2], "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.99), eps=1e-8)
    losses, norms = [], []
    for _ in range(10):
        step_loss, _ = loss_of(model, ids, labels)
        step_loss.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(list(kept.values()), 1.0).item())
        optimizer.step()
        model.zero_grad(set_to_none=True)
        losses.append(step_loss.item())
    for n, p in kept.items():
        tensors["after." + n] = p.detach().clone()
    save_file({n: t.contiguous() for n, t in tensors.items()}, out_folder() / f"{name}.safetensors")
    write_json(f"{name}.json", __file__, {"torch": torch.__version__, "nLayer": L, "nHead": H, "nEmbd": C, "blockSize": T, "batch": B, "vocabSize": V, "bias": bias,
                                          "loss": loss.item(), "losses": losses, "gradNorms": norms}, out_folder())


if __name__ == "__main__":
    torch.set_num_threads(1)
    one(True)
    one(False)
