"""What llama.cpp computes from a GGUF file, in torch: tensors under its names and in its layouts, its rotary encoding of neighbours, its head from the
token table where there is none. Written from llama.cpp's graphs of the architectures gpt2 and llama. Not a test."""

import numpy
import torch
from gguf import GGUFReader, GGMLQuantizationType, dequantize


class Gguf:
    def __init__(self, path):
        reader = GGUFReader(path)
        self.fields = {name: field.contents() for name, field in reader.fields.items()}
        self.types = {tensor.name: GGMLQuantizationType(tensor.tensor_type).name for tensor in reader.tensors}
        self.shapes = {tensor.name: list(reversed(tensor.shape.tolist())) for tensor in reader.tensors}
        self.tensors = {}
        for tensor in reader.tensors:
            values = dequantize(tensor.data, tensor.tensor_type).astype(numpy.float32)
            self.tensors[tensor.name] = torch.from_numpy(values.reshape(self.shapes[tensor.name]).copy())
        self.arch = self.fields["general.architecture"]

    def get(self, key, *default):
        return self.fields.get(f"{self.arch}.{key}", *default)

    def logits(self, ids):
        with torch.no_grad():
            return gpt2(self, ids) if self.arch == "gpt2" else llama(self, ids)


def attend(q, k, v, scale):
    """q [H, T, D], k and v [G, T, D] with H a multiple of G."""
    repeat = q.shape[0] // k.shape[0]
    k, v = k.repeat_interleave(repeat, 0), v.repeat_interleave(repeat, 0)
    mask = torch.full((q.shape[1], k.shape[1]), float("-inf")).triu(1)
    return torch.softmax(q @ k.transpose(1, 2) * scale + mask, -1) @ v


def heads(x, count):
    return x.view(x.shape[0], count, -1).transpose(0, 1)


def gpt2(file, ids):
    w, count, eps = file.tensors, file.get("attention.head_count"), file.get("attention.layer_norm_epsilon")

    def norm(x, name):
        return torch.nn.functional.layer_norm(x, x.shape[-1:], w[f"{name}.weight"], w[f"{name}.bias"], eps)

    def linear(x, name):
        return torch.nn.functional.linear(x, w[f"{name}.weight"], w[f"{name}.bias"])

    x = w["token_embd.weight"][ids] + w["position_embd.weight"][: len(ids)]
    width = x.shape[-1]
    for i in range(file.get("block_count")):
        q, k, v = (heads(part, count) for part in linear(norm(x, f"blk.{i}.attn_norm"), f"blk.{i}.attn_qkv").split(width, -1))
        mixed = attend(q, k, v, (width // count) ** -0.5).transpose(0, 1).reshape(-1, width)
        x = x + linear(mixed, f"blk.{i}.attn_output")
        hidden = torch.nn.functional.gelu(linear(norm(x, f"blk.{i}.ffn_norm"), f"blk.{i}.ffn_up"), approximate="tanh")
        x = x + linear(hidden, f"blk.{i}.ffn_down")
    return norm(x, "output_norm") @ w.get("output.weight", w["token_embd.weight"]).T


def rotate(x, base, dims, factors, scale):
    """Neighbours (2i, 2i + 1) of each head are turned by position * base^(-2i/dims) / factor."""
    frequency = base ** (-torch.arange(0, dims, 2, dtype=torch.float64) / dims) * scale
    if factors is not None:
        frequency = frequency / factors.double()
    angle = torch.arange(x.shape[1], dtype=torch.float64)[:, None] * frequency
    cos, sin = angle.cos().float(), angle.sin().float()
    even, odd = x[..., 0:dims:2], x[..., 1:dims:2]
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), -1).flatten(-2)


def llama(file, ids):
    w, eps = file.tensors, file.get("attention.layer_norm_rms_epsilon")
    count, groups, dims = file.get("attention.head_count"), file.get("attention.head_count_kv"), file.get("rope.dimension_count")
    scaled = file.get("rope.scaling.type", "none") == "linear"
    scale = 1 / file.get("rope.scaling.factor") if scaled else 1.0

    def norm(x, name):
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + eps) * w[f"{name}.weight"]

    def linear(x, name):
        return torch.nn.functional.linear(x, w[f"{name}.weight"], w.get(f"{name}.bias"))

    def turned(x):
        return rotate(x, file.get("rope.freq_base"), dims, w.get("rope_freqs.weight"), scale)

    x = w["token_embd.weight"][ids]
    for i in range(file.get("block_count")):
        normed = norm(x, f"blk.{i}.attn_norm")
        q, k, v = (linear(normed, f"blk.{i}.attn_{part}") for part in "qkv")
        mixed = attend(turned(heads(q, count)), turned(heads(k, groups)), heads(v, groups), dims**-0.5)
        x = x + linear(mixed.transpose(0, 1).reshape(len(ids), -1), f"blk.{i}.attn_output")
        normed = norm(x, f"blk.{i}.ffn_norm")
        hidden = torch.nn.functional.silu(linear(normed, f"blk.{i}.ffn_gate")) * linear(normed, f"blk.{i}.ffn_up")
        x = x + linear(hidden, f"blk.{i}.ffn_down")
    return norm(x, "output_norm") @ w.get("output.weight", w["token_embd.weight"]).T
