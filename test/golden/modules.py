"""Modules of a user's own against PyTorch: an MLP and a bigram model, ten steps each. Writes modules.json.

Weights are written [in, out], as this library keeps them (torch.nn.Linear keeps the transpose). Everything in float32 as PyTorch computes it.
mlp: 3 -> 8 (tanh) -> 2, mean squared error, clip 1.0, AdamW (decay 0.1 on matrices). frozen: the same with the first layer frozen. bigram: logits are
rows of a 7 x 7 table, cross-entropy with ignored labels, SGD with Nesterov momentum, no clipping.
"""
import torch
from torch.nn import functional as F

from common import out_folder, write_json

STEPS = 10


def named(model):
    return {n: (p.detach().T if p.dim() == 2 and n != "table" else p.detach()).contiguous().tolist() for n, p in model.named_parameters()}


def train(model, optimizer, batches, loss_of, clip):
    losses, norms = [], []
    parameters = [p for p in model.parameters() if p.requires_grad]
    for batch in batches:
        optimizer.zero_grad(set_to_none=True)
        loss = loss_of(model, *batch)
        loss.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(parameters, clip if clip else float("inf")).item())
        optimizer.step()
        losses.append(loss.item())
    return {"losses": losses, "gradNorms": norms, "after": named(model)}


class Mlp(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = torch.nn.Linear(3, 8)
        self.out = torch.nn.Linear(8, 2)

    def forward(self, x):
        return self.out(torch.tanh(self.fc(x)))


class Bigram(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.table = torch.nn.Parameter(torch.randn(7, 7))

    def forward(self, ids):
        return self.table[ids]


def adamw(model):
    kept = [p for p in model.parameters() if p.requires_grad]
    groups = [{"params": [p for p in kept if p.dim() > 1], "weight_decay": 0.1}, {"params": [p for p in kept if p.dim() < 2], "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=1e-2, betas=(0.9, 0.99), eps=1e-8)


def mlp(frozen):
    torch.manual_seed(11)
    model = Mlp()
    if frozen:
        model.fc.requires_grad_(False)
    batches = [(torch.randn(5, 3), torch.randn(5, 2)) for _ in range(STEPS)]
    content = {"start": named(model), "x": [x.tolist() for x, _ in batches], "y": [y.tolist() for _, y in batches]}
    return content | train(model, adamw(model), batches, lambda m, x, y: F.mse_loss(m(x), y), 1.0)


def bigram():
    torch.manual_seed(12)
    model = Bigram()
    batches = []
    for _ in range(STEPS):
        ids, labels = torch.randint(0, 7, (4, 6)), torch.randint(0, 7, (4, 6))
        labels[torch.rand(4, 6) < 0.25] = -100
        batches.append((ids, labels))
    content = {"start": named(model), "ids": [i.tolist() for i, _ in batches], "labels": [l.tolist() for _, l in batches]}
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5, momentum=0.9, nesterov=True)
    return content | train(model, optimizer, batches, lambda m, i, l: F.cross_entropy(m(i).flatten(0, 1), l.flatten(), ignore_index=-100), 0.0)


def main():
    torch.set_num_threads(1)
    write_json("modules.json", __file__, {"torch": torch.__version__, "mlp": mlp(False), "frozen": mlp(True), "bigram": bigram()}, out_folder())


if __name__ == "__main__":
    main()
