"""Llama folders both ways with transformers: what this library saved is read without a warning and gives the same logits and greedy ids, and what
transformers saved (grouped heads, stretched positions, 16 bits, shards, Mistral's name) gives the same logits here."""

import tempfile
import unittest

import torch
from test_transformers import TOLERANCE, ours, strict_load, torch_logits
from transformers import LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM

LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 64}
SIZES = {"vocab_size": 50, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "max_position_embeddings": 96}
NO_IDS = {"bos_token_id": None, "eos_token_id": None, "pad_token_id": None}


class OursInTransformers(unittest.TestCase):
    def check(self, options, **loading):
        with tempfile.TemporaryDirectory() as folder:
            made = ours("create", folder, {"modelType": "llama", **options})
            model = strict_load(folder, LlamaForCausalLM, **loading)
            ids = [made["ids"][0:18], made["ids"][18:36]]
            here = ours("logits", folder, ids)
            theirs = torch_logits(model, ids)
            self.assertLessEqual((torch.tensor(here["logits"]).view_as(theirs) - theirs).abs().max().item(), TOLERANCE)
            prompt = torch.tensor(ids[:1])
            written = model.generate(prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=6, do_sample=False, pad_token_id=0)
            self.assertEqual(written[0, prompt.shape[1]:].tolist(), here["greedy"])

    def test_plain(self):
        self.check({})

    def test_grouped_wide_heads_untied(self):
        self.check({"nHead": 4, "nKvHead": 2, "headDim": 12, "nInner": 40, "ropeTheta": 500, "rmsNormEps": 1e-4, "tieWordEmbeddings": False})

    def test_bfloat16_in_shards(self):
        self.check({"nKvHead": 1, "save": {"dtype": "bfloat16", "maxShardSize": "9KB"}}, dtype=torch.float32)


class TransformersInOurs(unittest.TestCase):
    def check(self, half=None, saving=None, kinds=(LlamaConfig, LlamaForCausalLM), **changes):
        torch.manual_seed(5)
        model = kinds[1](kinds[0](**(SIZES | NO_IDS | changes))).eval()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter) * 0.1)
        if half is not None:
            model = model.to(half)
        ids = torch.randint(0, 50, (3, 40)).tolist()
        with tempfile.TemporaryDirectory() as folder:
            model.save_pretrained(folder, **(saving or {}))
            here = ours("logits", folder, ids)
            # Read again: `.to(half)` has rounded the table of rotary frequencies too, which no file holds.
            model = kinds[1].from_pretrained(folder, dtype=torch.float32).eval()
        theirs = torch_logits(model, ids)
        self.assertLessEqual((torch.tensor(here["logits"]).view_as(theirs) - theirs).abs().max().item(), TOLERANCE)
        prompt = torch.tensor(ids[:1])
        written = model.generate(prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=6, do_sample=False, pad_token_id=0)
        self.assertEqual(written[0, prompt.shape[1]:].tolist(), here["greedy"])

    def test_grouped_heads_untied_in_shards(self):
        self.check(num_key_value_heads=2, saving={"max_shard_size": "20KB"})

    def test_wide_heads_tied(self):
        self.check(num_key_value_heads=1, head_dim=16, tie_word_embeddings=True, rope_theta=100000.0)

    def test_sixteen_bits(self):
        for half in (torch.float16, torch.bfloat16):
            self.check(half=half, num_key_value_heads=2, tie_word_embeddings=True)

    def test_stretched_positions(self):
        self.check(rope_scaling=LLAMA3)
        self.check(rope_scaling={"rope_type": "linear", "factor": 4.0}, rms_norm_eps=1e-5)

    def test_biases(self):
        self.check(attention_bias=True, mlp_bias=True)

    def test_mistral_without_a_window(self):
        self.check(kinds=(MistralConfig, MistralForCausalLM), num_key_value_heads=2, sliding_window=None)


if __name__ == "__main__":
    unittest.main()
