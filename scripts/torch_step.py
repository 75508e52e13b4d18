"""PyTorch's side of `npm run bench -- --torch PYTHON`: training steps of the model, weights and batches of a workload folder (scripts/bench/workload.mjs).

GPT-2's architecture (pre-norm blocks, learned positions, tied head, biases, tanh GELU, no dropout) as PyTorch users write it for a CPU: one fused
scaled_dot_product_attention per layer, fused AdamW. A timed step copies its batch in, runs forward, backward, clipping to norm 1 and the update, and
reads the loss back; our side (scripts/bench/ours.mjs) counts the same. Modes: eager; compile (torch.compile); bf16 (autocast, other numbers).

Speaks lines of JSON: prints {"ready": ...} after loading, then for each number N read from standard input runs N more steps and prints
{"ms": [...], "losses": [...]}. The end of the input ends it.

    echo 20 | python scripts/torch_step.py FOLDER --threads 2 --mode eager
"""

import argparse
import json
import math
import os
import platform
import sys
import time

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

DTYPES = {"F32": np.dtype("<f4")}


def read_safetensors(path):
    """Name to numpy array, without the safetensors package: eight bytes of header length, a JSON header, the data."""
    with open(path, "rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        start = file.tell()
        header.pop("__metadata__", None)
        tensors = {}
        for name, entry in header.items():
            begin, end = entry["data_offsets"]
            file.seek(start + begin)
            data = np.frombuffer(file.read(end - begin), DTYPES[entry["dtype"]])
            tensors[name.removeprefix("transformer.")] = data.reshape(entry["shape"])
        return tensors


class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.c_attn = nn.Linear(width, 3 * width)
        self.c_proj = nn.Linear(width, width)

    def forward(self, x):
        rows, positions, width = x.shape
        split = self.c_attn(x).view(rows, positions, 3, self.heads, width // self.heads)
        query, key, value = split.permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        return self.c_proj(mixed.transpose(1, 2).reshape(rows, positions, width))


class FeedForward(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.c_fc = nn.Linear(width, 4 * width)
        self.c_proj = nn.Linear(4 * width, width)

    def forward(self, x):
        return self.c_proj(F.gelu(self.c_fc(x), approximate="tanh"))


class Layer(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.ln_1 = nn.LayerNorm(width)
        self.attn = Attention(width, heads)
        self.ln_2 = nn.LayerNorm(width)
        self.mlp = FeedForward(width)

    def forward(self, x):
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class Model(nn.Module):
    """Parameters carry GPT-2's names; linear layers hold the transpose of GPT-2's [in, out] matrices."""

    def __init__(self, shape):
        super().__init__()
        width = shape["width"]
        self.wte = nn.Embedding(shape["vocabulary"], width)
        self.wpe = nn.Embedding(shape["context"], width)
        self.h = nn.ModuleList([Layer(width, shape["heads"]) for _ in range(shape["layers"])])
        self.ln_f = nn.LayerNorm(width)

    def forward(self, ids, labels):
        x = self.wte(ids) + self.wpe.weight[: ids.shape[1]]
        for layer in self.h:
            x = layer(x)
        logits = F.linear(self.ln_f(x), self.wte.weight)
        return F.cross_entropy(logits.flatten(0, 1), labels.flatten())

    def load(self, tensors):
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                value = torch.from_numpy(tensors.pop(name).copy())
                is_matrix = name.startswith("h.") and parameter.dim() == 2
                parameter.copy_(value.T if is_matrix else value)
        if tensors:
            raise SystemExit(f"torch_step.py: tensors must be those of the model, got also {sorted(tensors)}")


def optimizer_of(model, learning_rate):
    matrices = [p for p in model.parameters() if p.dim() >= 2]
    vectors = [p for p in model.parameters() if p.dim() < 2]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=learning_rate, betas=(0.9, 0.99), eps=1e-8, fused=True)


class Training:
    def __init__(self, folder, mode):
        with open(os.path.join(folder, "workload.json"), encoding="utf8") as file:
            workload = json.load(file)
        shape = workload["shape"]
        self.model = Model(shape)
        self.model.load(read_safetensors(os.path.join(folder, "model.safetensors")))
        self.optimizer = optimizer_of(self.model, workload["learningRate"])
        self.network = torch.compile(self.model) if mode == "compile" else self.model
        self.bf16 = mode == "bf16"
        ids = np.fromfile(os.path.join(folder, "tokens.i32"), "<i4")
        self.batches = ids.reshape(-1, shape["rows"], shape["context"] + 1)
        self.steps_done = 0

    def step(self):
        """One step; returns the loss before the update."""
        batch = torch.from_numpy(self.batches[self.steps_done % len(self.batches)].astype(np.int64))
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.bf16):
            loss = self.network(batch[:, :-1].contiguous(), batch[:, 1:].contiguous())
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.steps_done += 1
        return loss.item()


def say(message):
    print(json.dumps(message), flush=True)


def main():
    parser = argparse.ArgumentParser(description="Runs PyTorch training steps on a workload folder.")
    parser.add_argument("folder")
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--mode", choices=["eager", "compile", "bf16"], default="eager")
    args = parser.parse_args()

    torch.set_num_threads(args.threads)
    training = Training(args.folder, args.mode)
    say({"ready": {"torch": torch.__version__, "python": platform.python_version(), "threads": torch.get_num_threads(), "mode": args.mode}})
    for line in sys.stdin:
        times, losses = [], []
        for _ in range(int(line)):
            started = time.perf_counter()
            losses.append(training.step())
            times.append((time.perf_counter() - started) * 1000)
        if not all(math.isfinite(loss) for loss in losses):
            raise SystemExit(f"torch_step.py: losses must be finite, got {losses}")
        say({"ms": times, "losses": losses})


if __name__ == "__main__":
    main()
