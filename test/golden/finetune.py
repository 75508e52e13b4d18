"""Fine-tuning a tiny GPT-2: ten steps of AdamW with a parameter group for each layer (rate · decay^depth), first with everything trained, then with the tables and the first
block frozen. Depth: 0 for the final norm, 1 for the last block, then down; the tables are one below the first block.

Writes finetune.json (losses, norms) and finetune.safetensors (weights before, and after each of the two runs).
"""
import torch
from safetensors.torch import save_file

from common import out_folder, write_json
from gpt import B, L, T, V, loss_of, make

RATE, DECAY, WEIGHT_DECAY = 5e-3, 0.6, 0.1
FROZEN = ("transformer.wte.", "transformer.wpe.", "transformer.h.0.")


def depth(name):
    if ".h." in name:
        return L - int(name.split(".h.")[1].split(".")[0])
    return L + 1 if ".wte." in name or ".wpe." in name else 0


def run(frozen, ids, labels):
    model = make(True)
    kept = {n: p for n, p in model.named_parameters() if not n.startswith(frozen)}
    for n, p in model.named_parameters():
        p.requires_grad_(n in kept)
    groups = [{"params": [p], "lr": RATE * DECAY ** depth(n), "weight_decay": WEIGHT_DECAY if p.dim() > 1 else 0.0} for n, p in kept.items()]
    optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.99), eps=1e-8)
    losses, norms = [], []
    for _ in range(10):
        loss, _ = loss_of(model, ids, labels)
        loss.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(list(kept.values()), 1.0).item())
        optimizer.step()
        model.zero_grad(set_to_none=True)
        losses.append(loss.item())
    return {"losses": losses, "gradNorms": norms}, model


def main():
    start = make(True)
    ids = torch.randint(0, V, (B, T))
    labels = torch.randint(0, V, (B, T))
    labels[1, 3] = -100
    tensors = {n: p.detach().clone() for n, p in start.named_parameters()}
    runs = {}
    for name, frozen in (("all", ()), ("frozen", FROZEN)):
        runs[name], model = run(frozen, ids, labels)
        tensors |= {f"{name}.{n}": p.detach().clone() for n, p in model.named_parameters()}
    tensors |= {"ids": ids.int(), "labels": labels.int()}
    save_file({n: t.contiguous() for n, t in tensors.items()}, out_folder() / "finetune.safetensors")
    write_json("finetune.json", __file__, {"torch": torch.__version__, "learningRate": RATE, "decay": DECAY, "weightDecay": WEIGHT_DECAY, "runs": runs}, out_folder())


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
