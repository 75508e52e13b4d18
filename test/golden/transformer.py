"""torch.nn.Transformer, its encoder, its decoder and nn.MultiheadAttention: outputs and all gradients in float64 for random upstream ones, and ten AdamW
losses of a copy task in float32. Writes transformer.safetensors (`case/parameters`, `case/grad.name`, inputs, masks, `case/y`) and transformer.json
(options of each case, losses).

Boolean masks are written as int32, 1 not allowed (torch's sense); key masks as int32, 1 keep (torch's key_padding_mask negated).
"""
import torch
from safetensors.torch import save_file
from torch import nn

from common import out_folder, write_json

B, S, T, C, H, F = 2, 5, 4, 8, 2, 12
VOCAB, LENGTH, STEPS = 11, 6, 10
BASE = {"dModel": C, "nHead": H, "dimFeedforward": F, "dropout": 0, "activation": "relu", "normFirst": False, "bias": True, "layerNormEps": 1e-5}

# Which masks: c causal, f float [.., ..], F float for each head, b boolean, h boolean for each head; key masks of source, target, memory: s, t, m.
CASES = {
    "post": {"kind": "both", "numEncoderLayers": 2, "numDecoderLayers": 1, "causal": True, "keys": "sm"},
    "pre": {"kind": "both", "normFirst": True, "activation": "gelu", "bias": False, "numEncoderLayers": 1, "numDecoderLayers": 2, "src": "f", "causal": True, "memory": "b"},
    "pre-heads": {"kind": "both", "normFirst": True, "layerNormEps": 1e-3, "numEncoderLayers": 1, "numDecoderLayers": 1, "src": "h", "tgt": "f", "memory": "F", "keys": "stm"},
    "post-plain": {"kind": "both", "activation": "gelu", "numEncoderLayers": 1, "numDecoderLayers": 1},
    "post-nobias": {"kind": "both", "bias": False, "numEncoderLayers": 1, "numDecoderLayers": 1, "tgt": "b", "memory": "f"},
    "encoder": {"kind": "encoder", "numLayers": 2, "norm": False, "keys": "s"},
    "encoder-norm": {"kind": "encoder", "normFirst": True, "activation": "gelu", "numLayers": 1, "norm": True, "src": "F", "causal": True},
    "decoder": {"kind": "decoder", "numLayers": 2, "norm": False, "causal": True, "keys": "m"},
    "decoder-norm": {"kind": "decoder", "normFirst": True, "bias": False, "numLayers": 1, "norm": True, "tgt": "h", "keys": "t"},
    "attention": {"kind": "attention", "kDim": 6, "vDim": 10, "src": "f"},
}


def make(case):
    o = BASE | case
    if case["kind"] == "attention":
        return nn.MultiheadAttention(C, H, kdim=o["kDim"], vdim=o["vDim"], bias=o["bias"], batch_first=True)
    words = {"nhead": H, "dim_feedforward": F, "dropout": 0.0, "activation": o["activation"], "layer_norm_eps": o["layerNormEps"], "norm_first": o["normFirst"], "bias": o["bias"], "batch_first": True}
    if case["kind"] == "both":
        return nn.Transformer(C, num_encoder_layers=o["numEncoderLayers"], num_decoder_layers=o["numDecoderLayers"], **words)
    norm = nn.LayerNorm(C, eps=o["layerNormEps"], bias=o["bias"]) if o["norm"] else None
    if case["kind"] == "encoder":
        return nn.TransformerEncoder(nn.TransformerEncoderLayer(C, **words), o["numLayers"], norm, enable_nested_tensor=False)
    return nn.TransformerDecoder(nn.TransformerDecoderLayer(C, **words), o["numLayers"], norm)


def mask(kind, rows, columns):
    """A mask in which every query keeps its first key, so that no padding of ends leaves it without one."""
    each = B * H if kind in "Fh" else 1
    drop = torch.rand(each, rows, columns) < 0.35
    drop[:, :, 0] = False
    values = torch.randn(each, rows, columns).masked_fill(drop, -torch.inf)
    chosen = drop if kind in "bh" else values
    return chosen if each > 1 else chosen[0]


def causal(n):
    return torch.triu(torch.full((n, n), -torch.inf), diagonal=1)


def joined(masks):
    """What torch takes: one mask of one kind."""
    as_float = [torch.zeros(m.shape).masked_fill(m, -torch.inf) if m.dtype == torch.bool else m for m in masks if m is not None]
    return sum(as_float[1:], as_float[0]).double() if as_float else None


def parity(name, case, tensors):
    torch.manual_seed(60 + list(CASES).index(name))
    model = make(case)
    with torch.no_grad():
        for key, p in model.named_parameters():
            # Larger than the usual initialisation and no biases of zero, so that every gradient is well away from zero.
            p.copy_(torch.randn_like(p) * 0.4 + (1.0 if "norm" in key and key.endswith("weight") else 0.0))
    model = model.double().train()
    kind, keys = case["kind"], case.get("keys", "")
    put = lambda key, value: tensors.__setitem__(f"{name}/{key}", value.detach().contiguous().to(torch.int32 if value.dtype in (torch.bool, torch.int64) else torch.float32))
    for key, p in model.named_parameters():
        put(key, p.float())
    leaf = lambda *shape: torch.randn(*shape).double().requires_grad_()
    given = {"src": leaf(B, S, C), "tgt": leaf(B, T, C)}
    if kind == "encoder":
        del given["tgt"]
    if kind == "attention":
        given = {"tgt": given["tgt"], "key": leaf(B, S, case["kDim"]), "value": leaf(B, S, case["vDim"])}
    target = "src" if kind == "encoder" else "tgt"
    sizes = {"src": (S, S) if kind != "attention" else (T, S), "tgt": (T, T), "memory": (T, S)}
    masks = {which: mask(case[which], *sizes[which]) if which in case else None for which in sizes}
    lengths = {"s": ("srcKeyMask", S), "t": ("tgtKeyMask", T), "m": ("memoryKeyMask", S)}
    keep = {key: torch.arange(n)[None] < torch.tensor([[n], [n - 2]]) for letter, (key, n) in lengths.items() if letter in keys}
    padding = {key: torch.zeros(value.shape).double().masked_fill(~value, -torch.inf) for key, value in keep.items()}
    whole = {which: joined([m, causal(sizes[which][0]) if case.get("causal") and which == target else None]) for which, m in masks.items()}
    if kind == "both":
        y = model(given["src"], given["tgt"], whole["src"], whole["tgt"], whole["memory"], padding.get("srcKeyMask"), padding.get("tgtKeyMask"), padding.get("memoryKeyMask"))
    elif kind == "encoder":
        y = model(given["src"], whole["src"], padding.get("srcKeyMask"))
    elif kind == "decoder":
        y = model(given["tgt"], given["src"], whole["tgt"], whole["memory"], padding.get("tgtKeyMask"), padding.get("memoryKeyMask"))
    else:
        y = model(given["tgt"], given["key"], given["value"], attn_mask=whole["src"])[0]
    upstream = torch.randn(y.shape)
    y.backward(upstream.double())
    put("y", y)
    put("dy", upstream)
    for key, value in given.items():
        put(key, value)
        put(f"grad.{key}", value.grad)
    for key, p in model.named_parameters():
        put(f"grad.{key}", p.grad)
    for which, value in masks.items():
        if value is not None:
            put(f"{which}Mask", value)
    for key, value in keep.items():
        put(key, value)


class Copy(nn.Module):
    """Tokens with learned positions, a Transformer, a head: what comes in is to come out."""

    def __init__(self):
        super().__init__()
        self.tokens = nn.Embedding(VOCAB, 16)
        self.positions = nn.Parameter(torch.randn(LENGTH, 16) * 0.1)
        self.transformer = nn.Transformer(16, 2, 2, 2, 32, dropout=0.0, batch_first=True)
        self.head = nn.Linear(16, VOCAB, bias=False)

    def forward(self, src, tgt):
        embed = lambda ids: self.tokens(ids) + self.positions
        hidden = self.transformer(embed(src), embed(tgt), tgt_mask=causal(LENGTH))
        return self.head(hidden)


def copy_task(tensors):
    torch.manual_seed(80)
    model = Copy()
    for key, p in model.named_parameters():
        tensors[f"copy/{key}"] = p.detach().clone()
    groups = [{"params": [p for p in model.parameters() if p.dim() > 1], "weight_decay": 0.1}, {"params": [p for p in model.parameters() if p.dim() < 2], "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.99), eps=1e-8)
    sources, losses, norms = torch.randint(1, VOCAB, (STEPS, 8, LENGTH)), [], []
    for src in sources:
        tgt = torch.cat([torch.zeros(8, 1, dtype=torch.int64), src[:, :-1]], dim=1)
        optimizer.zero_grad(set_to_none=True)
        loss = nn.functional.cross_entropy(model(src, tgt).flatten(0, 1), src.flatten())
        loss.backward()
        norms.append(nn.utils.clip_grad_norm_(model.parameters(), 1.0).item())
        optimizer.step()
        losses.append(loss.item())
    tensors["copy/sources"] = sources.int()
    return {"losses": losses, "gradNorms": norms}


def main():
    torch.set_num_threads(1)
    tensors = {}
    for name, case in CASES.items():
        parity(name, case, tensors)
    copy = copy_task(tensors)
    save_file(tensors, out_folder() / "transformer.safetensors")
    write_json("transformer.json", __file__, {"torch": torch.__version__, "base": BASE, "cases": CASES, "copy": copy}, out_folder())


if __name__ == "__main__":
    main()
