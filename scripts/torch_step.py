"""PyTorch's side of `npm run bench -- --torch PYTHON`: the time of one training step of the same model on the same machine.

The model is GPT-2's architecture (pre-norm blocks, learned positions, tied head, biases, tanh GELU, no dropout), written with what PyTorch users write:
nn.MultiheadAttention's fused kernel (scaled_dot_product_attention), nn.LayerNorm, fused AdamW. A timed step copies its batch in, runs forward, backward,
clipping to norm 1 and the update, and reads the loss back, which is also what our side counts. Prints one JSON object.

    python scripts/torch_step.py S --threads 2 --steps 30
"""

import argparse
import json
import statistics
import time

import torch
from torch import nn
from torch.nn import functional as F

# layers, heads, width, context, rows, vocabulary: SIZES in ts/cli/bench.ts
SIZES = {
    "S": (4, 4, 128, 64, 12, 65),
    "M": (6, 6, 384, 256, 16, 65),
    "L": (12, 12, 768, 64, 4, 50257),
}
WARM_UP = 3


class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x):
        rows, time_, width = x.shape
        q, k, v = self.qkv(x).view(rows, time_, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out(mixed.transpose(1, 2).reshape(rows, time_, width))


class Layer(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.attention = nn.Sequential(nn.LayerNorm(width), Attention(width, heads))
        self.mlp = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.GELU(approximate="tanh"), nn.Linear(4 * width, width))

    def forward(self, x):
        x = x + self.attention(x)
        return x + self.mlp(x)


class Model(nn.Module):
    def __init__(self, layers, heads, width, context, vocabulary):
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, width)
        self.positions = nn.Parameter(torch.empty(context, width))
        self.layers = nn.Sequential(*(Layer(width, heads) for _ in range(layers)))
        self.norm = nn.LayerNorm(width)
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.normal_(parameter, std=0.02)

    def forward(self, ids, labels):
        hidden = self.norm(self.layers(self.tokens(ids) + self.positions[: ids.shape[1]]))
        logits = F.linear(hidden, self.tokens.weight)
        return F.cross_entropy(logits.flatten(0, 1), labels.flatten())


def optimizer_of(model):
    groups = [
        {"params": [p for p in model.parameters() if p.dim() > 1], "weight_decay": 0.1},
        {"params": [p for p in model.parameters() if p.dim() <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.99), eps=1e-8, fused=True)


def main():
    parser = argparse.ArgumentParser(description="Times PyTorch training steps.")
    parser.add_argument("size", choices=SIZES)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=30)
    args = parser.parse_args()

    layers, heads, width, context, rows, vocabulary = SIZES[args.size]
    torch.set_num_threads(args.threads)
    torch.manual_seed(1)
    model = Model(layers, heads, width, context, vocabulary)
    optimizer = optimizer_of(model)
    batches = torch.randint(vocabulary, (4, 2, rows, context)).numpy()

    times = []
    loss = float("nan")
    for step in range(WARM_UP + args.steps):
        started = time.perf_counter()
        ids, labels = torch.from_numpy(batches[step % len(batches)].copy())
        mean = model(ids, labels)
        mean.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        loss = mean.item()
        if step >= WARM_UP:
            times.append((time.perf_counter() - started) * 1000)

    print(json.dumps({"torch": torch.__version__, "size": args.size, "threads": args.threads, "median_ms": statistics.median(times), "min_ms": min(times), "loss": loss}))


if __name__ == "__main__":
    main()
