"""LoRA parity: tiny GPT-2 and Llama models with adapters made by PEFT. Logits, loss and the gradient of every A and B in float64, ten training steps in float32.

Writes lora-gpt2.safetensors / lora-gpt2.json and the same with -llama: base weights (`base.*`), the adapter as PEFT names it in a file (`adapter.*`), ids, labels, logits,
`grad.*` (float64 results stored as float32), losses of ten steps of clip 1.0 + AdamW (lr 1e-2, betas 0.9/0.99, no decay), the adapter after them (`after.*`).
"""
import copy

import torch
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict
from safetensors.torch import save_file
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

import peft
from common import out_folder, write_json

L, H, C, T, B, V = 2, 2, 16, 8, 3, 31


def gpt2():
    config = GPT2Config(vocab_size=V, n_positions=T, n_embd=C, n_layer=L, n_head=H, resid_pdrop=0, embd_pdrop=0, attn_pdrop=0, bos_token_id=None, eos_token_id=None)
    return GPT2LMHeadModel(config), LoraConfig(task_type="CAUSAL_LM", r=4, lora_alpha=6, target_modules=["c_attn", "mlp.c_proj"], fan_in_fan_out=True)


def llama():
    config = LlamaConfig(vocab_size=V, hidden_size=C, intermediate_size=24, num_hidden_layers=L, num_attention_heads=H, num_key_value_heads=1, max_position_embeddings=T,
                         tie_word_embeddings=True, bos_token_id=None, eos_token_id=None, pad_token_id=None)
    return LlamaForCausalLM(config), LoraConfig(task_type="CAUSAL_LM", r=2, lora_alpha=4, use_rslora=True)


def loss_of(model, ids, labels):
    logits = model(ids).logits
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=-100), logits


def one(name, make):
    torch.manual_seed(11)
    base, config = make()
    base.config._attn_implementation = "eager"
    with torch.no_grad():
        for n, p in base.named_parameters():
            # Larger than the usual initialisation, so that every gradient is well away from zero.
            p.copy_(torch.randn_like(p) * 0.3 + (1.0 if ("ln_" in n or "norm" in n) and n.endswith("weight") else 0.0))
    tensors = {f"base.{n}": p.detach().clone() for n, p in base.named_parameters()}
    model = get_peft_model(base, config)
    with torch.no_grad():
        for n, p in model.named_parameters():
            if "lora_B" in n:
                p.copy_(torch.randn_like(p) * 0.3)  # zeros at first: then A would have no gradient
    trained = {n.replace(".default", ""): p for n, p in model.named_parameters() if p.requires_grad}
    assert sorted(trained) == sorted(get_peft_model_state_dict(model))
    tensors |= {f"adapter.{n}": p.detach().clone() for n, p in trained.items()}
    ids = torch.randint(0, V, (B, T))
    labels = torch.randint(0, V, (B, T))
    labels[0, 2] = labels[2, 7] = -100
    double = copy.deepcopy(model).double()
    loss, logits = loss_of(double, ids, labels)
    loss.backward()
    tensors |= {f"grad.{n.replace('.default', '')}": p.grad.float() for n, p in double.named_parameters() if p.requires_grad}
    tensors |= {"ids": ids.int(), "labels": labels.int(), "logits": logits.detach().float()}
    optimizer = torch.optim.AdamW(list(trained.values()), lr=1e-2, betas=(0.9, 0.99), eps=1e-8, weight_decay=0.0)
    losses = []
    for _ in range(10):
        step_loss, _ = loss_of(model, ids, labels)
        step_loss.backward()
        torch.nn.utils.clip_grad_norm_(list(trained.values()), 1.0)
        optimizer.step()
        model.zero_grad(set_to_none=True)
        losses.append(step_loss.item())
    tensors |= {f"after.{n}": p.detach().clone() for n, p in trained.items()}
    save_file({n: t.contiguous() for n, t in tensors.items()}, out_folder() / f"{name}.safetensors")
    write_json(f"{name}.json", __file__, {"torch": torch.__version__, "peft": peft.__version__, "nLayer": L, "nHead": H, "nEmbd": C, "blockSize": T, "batch": B, "vocabSize": V,
                                          "rank": config.r, "alpha": config.lora_alpha, "targetModules": sorted(config.target_modules), "useRslora": config.use_rslora,
                                          "loss": loss.item(), "losses": losses}, out_folder())


if __name__ == "__main__":
    torch.set_num_threads(1)
    one("lora-gpt2", gpt2)
    one("lora-llama", llama)
