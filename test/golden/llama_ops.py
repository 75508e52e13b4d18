"""What Llama's blocks are made of, computed by PyTorch and transformers: RMSNorm, rotary positions and their tables, SwiGLU and attention with grouped
heads, each with its gradients for random upstream ones. Writes llama-ops.json. Everything in float32 as they compute it.
"""
import torch
import transformers
from torch.nn import functional as F
from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaRMSNorm, LlamaRotaryEmbedding, apply_rotary_pos_emb

from common import out_folder, write_json

POSITIONS = [0, 1, 2, 17, 250, 1023, 2048]
LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}
TABLES = [
    (64, {"rope_type": "default", "rope_theta": 10000.0}),
    (64, {"rope_type": "default", "rope_theta": 100000.0}),
    (8, {"rope_type": "default", "rope_theta": 10000.0}),
    (128, {"rope_type": "linear", "rope_theta": 10000.0, "factor": 4.0}),
    (128, {**LLAMA3, "rope_theta": 500000.0}),
    (64, {**LLAMA3, "rope_theta": 500000.0, "factor": 32.0}),
]


def leaf(*shape):
    return torch.randn(*shape).requires_grad_()


def graded(y, **inputs):
    """The result, an upstream gradient, and what it makes of each input; tensors as flat lists."""
    upstream = torch.randn_like(y)
    y.backward(upstream)
    flat = lambda t: t.detach().flatten().tolist()
    gradients = {f"d_{name}": flat(value.grad) for name, value in inputs.items()}
    return {"y": flat(y), "dy": flat(upstream), **{name: flat(value) for name, value in inputs.items()}, **gradients}


def rms_norm():
    norm = LlamaRMSNorm(24, eps=1e-5)
    norm.weight.data = torch.randn(24)
    x = leaf(2, 3, 24)
    return graded(norm(x), x=x, weight=norm.weight)


def embedding_of(width, parameters):
    config = LlamaConfig(hidden_size=2 * width, num_attention_heads=2, head_dim=width, max_position_embeddings=131072, rope_parameters=dict(parameters))
    return LlamaRotaryEmbedding(config)


def table(width, parameters, positions):
    cosines, sines = embedding_of(width, parameters)(torch.zeros(1, 1), torch.tensor([positions]))
    half = width // 2
    return torch.cat((cosines[0, :, :half], sines[0, :, :half]), dim=-1)


def rotary():
    """Packed rows of 4 query, 2 key and 2 value heads of 8, from position 3 on."""
    qkv = leaf(2, 5, 8 * 8)
    q, k, v = qkv.split([32, 16, 16], dim=-1)
    heads = lambda x: x.unflatten(-1, (-1, 8)).transpose(1, 2)
    cosines, sines = embedding_of(8, TABLES[2][1])(qkv, torch.arange(3, 8)[None].expand(2, -1))
    q, k = apply_rotary_pos_emb(heads(q), heads(k), cosines, sines)
    y = torch.cat([q.transpose(1, 2).flatten(2), k.transpose(1, 2).flatten(2), v], dim=-1)
    return graded(y, qkv=qkv)


def swiglu():
    gate, up = leaf(3, 37), leaf(3, 37)
    return graded(F.silu(gate) * up, gate=gate, up=up)


def attention():
    """6 query heads and 2 of keys and values, width 8, causal, as many queries as keys."""
    q, k, v = leaf(2, 9, 48), leaf(2, 9, 16), leaf(2, 9, 16)
    heads = lambda x: x.unflatten(-1, (-1, 8)).transpose(1, 2)
    out = F.scaled_dot_product_attention(heads(q), heads(k), heads(v), is_causal=True, enable_gqa=True)
    return graded(out.transpose(1, 2).flatten(2), q=q, k=k, v=v)


def main():
    torch.set_num_threads(1)
    torch.manual_seed(41)
    content = {
        "torch": f"{torch.__version__}, transformers {transformers.__version__}",
        "rmsNorm": rms_norm(),
        "rotary": rotary(),
        "swiglu": swiglu(),
        "attention": attention(),
        "positions": POSITIONS,
        "tables": [{"width": width, "parameters": parameters, "rows": table(width, parameters, POSITIONS).tolist()} for width, parameters in TABLES],
    }
    write_json("llama-ops.json", __file__, content, out_folder())


if __name__ == "__main__":
    main()
