"""Preference losses beside PyTorch: a tiny GPT-2 as the model that is trained, another as the frozen reference. Losses, rewards and the gradient of every parameter in float64,
ten training steps in float32, for each kind of loss.

The losses are those of TRL's DPOTrainer ('sigmoid', 'hinge', 'ipo'; test/python/test_trl.py holds these numbers against TRL itself), and conservative DPO (label smoothing).
Writes dpo.safetensors (weights `base.*`, ids, labels, references, `KIND.grad.*` as float32) and dpo.json.
"""
import copy

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from transformers import GPT2Config, GPT2LMHeadModel

from common import out_folder, write_json

L, H, C, T, B, V = 1, 2, 16, 8, 3, 31
KINDS = {"sigmoid": {"beta": 0.1}, "smoothed": {"beta": 0.5, "labelSmoothing": 0.2}, "ipo": {"beta": 1.0, "lossType": "ipo"}, "hinge": {"beta": 0.3, "lossType": "hinge"}}


def make(seed):
    torch.manual_seed(seed)
    config = GPT2Config(vocab_size=V, n_positions=T, n_embd=C, n_layer=L, n_head=H, resid_pdrop=0, embd_pdrop=0, attn_pdrop=0, bos_token_id=None, eos_token_id=None)
    config._attn_implementation = "eager"
    model = GPT2LMHeadModel(config)
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.copy_(torch.randn_like(p) * 0.3 + (1.0 if "ln_" in name and name.endswith("weight") else 0.0))
    return model


def log_probs(model, ids, labels):
    logits = model(ids).logits
    kept = labels != -100
    each = torch.gather(logits.log_softmax(-1), 2, labels.clamp(min=0).unsqueeze(2)).squeeze(2)
    return (each * kept).sum(-1)


def dpo(model, batch, beta, labelSmoothing=0.0, lossType="sigmoid"):
    chosen = log_probs(model, batch["chosenIds"], batch["chosenLabels"])
    rejected = log_probs(model, batch["rejectedIds"], batch["rejectedLabels"])
    ratios = [chosen - batch["chosenReference"].to(chosen), rejected - batch["rejectedReference"].to(chosen)]
    h = ratios[0] - ratios[1]
    if lossType == "sigmoid":
        losses = -F.logsigmoid(beta * h) * (1 - labelSmoothing) - F.logsigmoid(-beta * h) * labelSmoothing
    elif lossType == "hinge":
        losses = torch.relu(1 - beta * h)
    else:  # per token
        counts = [(batch[f"{which}Labels"] != -100).sum(-1) for which in ("chosen", "rejected")]
        losses = (ratios[0] / counts[0] - ratios[1] / counts[1] - 1 / (2 * beta)) ** 2
    rewards = [beta * ratio.detach() for ratio in ratios]
    told = {"rewards/chosen": rewards[0].mean(), "rewards/rejected": rewards[1].mean(), "rewards/accuracies": (rewards[0] > rewards[1]).float().mean(),
            "rewards/margins": (rewards[0] - rewards[1]).mean(), "logps/chosen": chosen.detach().mean(), "logps/rejected": rejected.detach().mean()}
    return losses.mean(), {name: value.item() for name, value in told.items()}


def labels_of(ids, prompts, lengths):
    """The next token, but none within the prompt or beyond the text's end."""
    labels = torch.full_like(ids, -100)
    for row, (prompt, length) in enumerate(zip(prompts, lengths)):
        labels[row, prompt - 1:length - 1] = ids[row, prompt:length]
    return labels


if __name__ == "__main__":
    torch.set_num_threads(1)
    reference, base = make(3), make(5)
    with torch.no_grad():  # the model begins near its reference, as it does in use
        for p, q in zip(base.parameters(), reference.parameters()):
            p.copy_(q + 0.03 * torch.randn_like(q))
    batch = {}
    for which, lengths in (("chosen", [8, 6, 7]), ("rejected", [7, 8, 5])):
        ids = torch.randint(0, V, (B, T))
        batch[f"{which}Ids"], batch[f"{which}Labels"] = ids, labels_of(ids, [3, 2, 4], lengths)
        with torch.no_grad():
            batch[f"{which}Reference"] = log_probs(copy.deepcopy(reference).double(), ids, batch[f"{which}Labels"]).float()
    tensors = {f"base.{n}": p.detach().clone() for n, p in base.named_parameters()}
    tensors |= {f"reference.{n}": p.detach().clone() for n, p in reference.named_parameters()}
    tensors |= {n: t.int() if t.dtype == torch.int64 else t for n, t in batch.items()}
    kinds = {}
    for kind, options in KINDS.items():
        double = copy.deepcopy(base).double()
        loss, told = dpo(double, batch, **options)
        loss.backward()
        tensors |= {f"{kind}.grad.{n}": p.grad.float() for n, p in double.named_parameters()}
        model = copy.deepcopy(base)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.99), eps=1e-8, weight_decay=0.0)
        losses = []
        for _ in range(10):
            step_loss, _ = dpo(model, batch, **options)
            step_loss.backward()
            torch.nn.utils.clip_grad_norm_(list(model.parameters()), 1.0)
            optimizer.step()
            model.zero_grad(set_to_none=True)
            losses.append(step_loss.item())
        kinds[kind] = {"options": options, "loss": loss.item(), "told": told, "losses": losses}
    save_file({n: t.contiguous() for n, t in tensors.items()}, out_folder() / "dpo.safetensors")
    write_json("dpo.json", __file__, {"torch": torch.__version__, "nLayer": L, "nHead": H, "nEmbd": C, "blockSize": T, "batch": B, "vocabSize": V, "kinds": kinds}, out_folder())
