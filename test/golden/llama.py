"""Llama parity: tiny models made by transformers; logits, loss and every gradient in float64, greedy ids, ten training steps in float32.

Writes llama-NAME.json (with the config.json that transformers writes) and llama-NAME.safetensors: weights, ids, labels, logits, `grad.*` (float64
results stored as float32), the greedy continuation of the first row, losses and gradient norms of ten steps of clip 1.0 + AdamW (lr 1e-3, betas
0.9/0.99, decay 0.1 on matrices only).
grouped: two query heads for each key head, heads wider than hidden_size / heads, a head of its own. tied: one key head for all, values that bfloat16
holds. llama3, linear: stretched positions. biases: biases in all projections.
"""
import copy

import torch
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForCausalLM

from common import out_folder, write_json

B, T, V, NEW = 3, 12, 31, 8
LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 64}
CASES = {
    "grouped": {"hidden_size": 16, "intermediate_size": 24, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 6},
    "tied": {"hidden_size": 24, "intermediate_size": 40, "num_attention_heads": 3, "num_key_value_heads": 1, "tie_word_embeddings": True, "rope_theta": 100000.0},
    "llama3": {"hidden_size": 16, "intermediate_size": 24, "num_attention_heads": 2, "num_key_value_heads": 2, "rope_scaling": LLAMA3, "rms_norm_eps": 1e-5},
    "linear": {"hidden_size": 16, "intermediate_size": 24, "num_attention_heads": 2, "num_key_value_heads": 1, "rope_scaling": {"rope_type": "linear", "factor": 4.0}},
    "biases": {"hidden_size": 16, "intermediate_size": 24, "num_attention_heads": 2, "num_key_value_heads": 1, "attention_bias": True, "mlp_bias": True},
}


def make(name, seed):
    torch.manual_seed(seed)
    config = LlamaConfig(vocab_size=V, max_position_embeddings=96, num_hidden_layers=2, bos_token_id=None, eos_token_id=None, pad_token_id=None, **CASES[name])
    config._attn_implementation = "eager"
    model = LlamaForCausalLM(config).eval()
    with torch.no_grad():
        for key, p in model.named_parameters():
            # Larger than the usual initialisation, so that every gradient is well away from zero.
            p.copy_(torch.randn_like(p) * 0.3 + (1.0 if "norm" in key else 0.0))
            if name == "tied":
                p.copy_(p.bfloat16().float())
    return model


def loss_of(model, ids, labels):
    logits = model(ids).logits
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=-100), logits


def in_double(model):
    """A copy that computes in float64 throughout: norms and rotary angles too, which transformers keeps in float32."""
    double = copy.deepcopy(model).double()
    rotary = double.model.rotary_emb
    rotary.inv_freq = rotary.inv_freq.double()

    def forward(x, position_ids):
        angle = position_ids[..., None].double() * rotary.inv_freq
        both = torch.cat((angle, angle), -1)
        return both.cos(), both.sin()

    rotary.forward = forward
    for module in double.modules():
        if module.__class__.__name__ == "LlamaRMSNorm":
            module.forward = lambda x, m=module: x * torch.rsqrt(x.square().mean(-1, keepdim=True) + m.variance_epsilon) * m.weight
    return double


def greedy(model, prompt):
    ids = list(prompt)
    for _ in range(NEW):
        ids.append(model(torch.tensor([ids])).logits[0, -1].argmax().item())
    return ids[len(prompt):]


def one(name, seed):
    model = make(name, seed)
    ids = torch.randint(0, V, (B, T))
    labels = torch.randint(0, V, (B, T))
    labels[0, 2] = labels[2, 7] = -100
    tensors = {n: p.detach().clone() for n, p in model.named_parameters()}
    double = in_double(model)
    loss, logits = loss_of(double, ids, labels)
    loss.backward()
    for n, p in double.named_parameters():
        tensors["grad." + n] = p.grad.float()
    tensors |= {"ids": ids.int(), "labels": labels.int(), "logits": logits.detach().float()}
    with torch.no_grad():
        continued = greedy(model, ids[0].tolist())
    config = model.config.to_diff_dict() | {"model_type": "llama"}
    model.train()
    kept = dict(model.named_parameters())
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
    save_file({n: t.contiguous() for n, t in tensors.items()}, out_folder() / f"llama-{name}.safetensors")
    write_json(f"llama-{name}.json", __file__, {"torch": torch.__version__, "config": config, "batch": B, "time": T, "greedy": continued, "loss": loss.item(),
                                                "losses": losses, "gradNorms": norms}, out_folder())


if __name__ == "__main__":
    torch.set_num_threads(1)
    for number, case in enumerate(CASES):
        one(case, 21 + number)
