"""Sequence classifiers: tiny GPT2ForSequenceClassification and LlamaForSequenceClassification of transformers; logits, loss and every gradient in float64 for a padded batch,
and the same with the mean over positions instead of the last one.

Writes classifier-gpt2.safetensors / .json and the same with -llama: weights, ids, lengths, labels, `logits`, `mean.logits`, `grad.*`, `mean.grad.*` (float64 results stored as float32).
"""
import torch
from safetensors.torch import save_file
from transformers import GPT2Config, GPT2ForSequenceClassification, LlamaConfig, LlamaForSequenceClassification

from common import out_folder, write_json

B, T, V, L, PAD = 4, 8, 29, 3, 28
LENGTHS = [8, 3, 1, 5]


def make(kind):
    torch.manual_seed(11)
    common = {"vocab_size": V, "num_labels": L, "pad_token_id": PAD, "bos_token_id": None, "eos_token_id": None}
    if kind == "gpt2":
        config = GPT2Config(n_positions=T, n_embd=16, n_layer=2, n_head=2, resid_pdrop=0, embd_pdrop=0, attn_pdrop=0, **common)
        config._attn_implementation = "eager"
        model = GPT2ForSequenceClassification(config)
    else:
        config = LlamaConfig(max_position_embeddings=T, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, **common)
        config._attn_implementation = "eager"
        model = LlamaForSequenceClassification(config)
    with torch.no_grad():
        for name, p in model.named_parameters():
            norm = name.endswith("weight") and p.dim() == 1
            p.copy_(torch.randn_like(p) * 0.3 + (1.0 if norm else 0.0))
    # float32 frequencies cast to float64 afterwards would differ from ones computed in float64 by more than the tolerance; ours are float32 too.
    return model.double().eval()


def pooled_mean(model, kind, ids, lengths):
    trunk = model.transformer if kind == "gpt2" else model.model
    hidden = trunk(ids).last_hidden_state
    mask = (torch.arange(T)[None] < lengths[:, None]).double()
    return model.score((hidden * mask[..., None]).sum(1) / lengths[:, None].double())


def one(kind):
    model = make(kind)
    lengths = torch.tensor(LENGTHS)
    ids = torch.randint(0, PAD, (B, T))
    for row, length in enumerate(LENGTHS):
        ids[row, length:] = PAD
    labels = torch.tensor([2, 0, 1, 2])
    tensors = {n: p.detach().float() for n, p in model.named_parameters()}
    losses = {}
    for prefix in ("", "mean."):
        model.zero_grad()
        logits = model(ids).logits if prefix == "" else pooled_mean(model, kind, ids, lengths)
        loss = torch.nn.functional.cross_entropy(logits, labels)
        loss.backward()
        losses["last" if prefix == "" else "mean"] = loss.item()
        tensors[prefix + "logits"] = logits.detach().float()
        tensors |= {f"{prefix}grad.{n}": p.grad.float() for n, p in model.named_parameters()}
    tensors |= {"ids": ids.int(), "lengths": lengths.int(), "labels": labels.int()}
    save_file({n: t.contiguous() for n, t in tensors.items()}, out_folder() / f"classifier-{kind}.safetensors")
    write_json(f"classifier-{kind}.json", __file__, {"torch": torch.__version__, "config": model.config.to_diff_dict(), "losses": losses}, out_folder())


if __name__ == "__main__":
    torch.set_num_threads(1)
    one("gpt2")
    one("llama")
