"""GGUF files of this library, read by the gguf package: names, shapes, values, metadata, and llama.cpp's computation from them against transformers."""

import os
import pathlib
import subprocess
import tempfile
import unittest

import torch
from transformers import LlamaConfig, LlamaForCausalLM
from gguf import MODEL_ARCH, MODEL_TENSORS, TENSOR_NAMES, GGMLQuantizationType, dequantize, quantize
from llamacpp import Gguf
from test_transformers import HERE, NODE, TOLERANCE, ours, strict_load, torch_logits

CLI = HERE.parent.parent / "dist" / "cli.js"


def export(folder, path, dtype):
    command = [NODE, str(CLI), "export", "--model", str(folder), "--format", "gguf", "--dtype", dtype, "--out", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=120)
    if done.returncode != 0:
        raise AssertionError(done.stderr)
    return Gguf(path)


def known_names(arch, blocks):
    """Every name that llama.cpp's architecture has."""
    names = set()
    for tensor in MODEL_TENSORS[arch]:
        pattern = TENSOR_NAMES[tensor]
        for block in range(blocks):
            names.update(f"{pattern.format(bid=block)}.{part}" for part in ("weight", "bias"))
    return names


class Gpt2(unittest.TestCase):
    def check(self, options):
        with tempfile.TemporaryDirectory() as place:
            folder = pathlib.Path(place) / "model"
            made = ours("create", folder, {**options, "vocabSize": 30})
            model = strict_load(folder)
            ids = made["ids"][:20]
            expected = torch_logits(model, [ids])[0]
            exact = export(folder, os.path.join(place, "exact.gguf"), "float32")
            self.assertEqual(exact.fields["GGUF.version"], 3)
            self.assertEqual(exact.fields["tokenizer.ggml.model"], "gpt2")
            self.assertEqual(exact.fields["tokenizer.ggml.eos_token_id"], 29)
            self.assertEqual(len(exact.fields["tokenizer.ggml.tokens"]), made["vocabSize"])
            self.assertEqual(exact.get("context_length"), 24)
            self.assertLessEqual(set(exact.tensors), known_names(MODEL_ARCH.GPT2, 2))
            self.assertLessEqual((exact.logits(ids) - expected).abs().max().item(), TOLERANCE)

            half = export(folder, os.path.join(place, "half.gguf"), "float16")
            for name, values in exact.tensors.items():
                if half.types[name] == "F16":
                    self.assertTrue(torch.equal(half.tensors[name], values.half().float()), name)
                else:
                    self.assertTrue(values.dim() == 1 or name == "position_embd.weight", name)
                    self.assertTrue(torch.equal(half.tensors[name], values), name)

            blocks = export(folder, os.path.join(place, "blocks.gguf"), "q8_0")
            for name in exact.tensors:
                if blocks.types[name] == "Q8_0":
                    packed = quantize(exact.tensors[name].numpy(), GGMLQuantizationType.Q8_0)
                    # What the package's own quantisation gives.
                    again = torch.from_numpy(dequantize(packed, GGMLQuantizationType.Q8_0)).view_as(exact.tensors[name])
                    self.assertTrue(torch.equal(blocks.tensors[name], again), name)
            self.assertIn("Q8_0", blocks.types.values())

    def test_with_biases(self):
        self.check({})

    def test_without_biases(self):
        self.check({"bias": False})

    def test_sinusoidal_positions(self):
        self.check({"positionEmbedding": "sinusoidal", "positionNoise": 0.01})


class Llama(unittest.TestCase):
    """Folders that transformers made, exported here."""

    def check(self, **changes):
        torch.manual_seed(4)
        sizes = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}
        config = LlamaConfig(vocab_size=50, max_position_embeddings=96, bos_token_id=None, eos_token_id=None, pad_token_id=None, **(sizes | changes))
        model = LlamaForCausalLM(config).eval()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter) * 0.1)
        ids = torch.randint(0, 50, (24,)).tolist()
        expected = torch_logits(model, [ids])[0]
        with tempfile.TemporaryDirectory() as place:
            folder = pathlib.Path(place) / "model"
            model.save_pretrained(folder)
            file = export(folder, os.path.join(place, "model.gguf"), "float32")
            self.assertEqual(file.fields["tokenizer.ggml.model"], "none")
            self.assertEqual(file.fields["llama.vocab_size"], 50)
            self.assertLessEqual(set(file.tensors), known_names(MODEL_ARCH.LLAMA, 2))
            self.assertEqual("output.weight" in file.tensors, not config.tie_word_embeddings)
            self.assertLessEqual((file.logits(ids) - expected).abs().max().item(), TOLERANCE)
            half = export(folder, os.path.join(place, "half.gguf"), "bfloat16")
            for name, values in file.tensors.items():
                kept = values.dim() == 1
                self.assertTrue(torch.equal(half.tensors[name], values if kept else values.bfloat16().float()), name)

    def test_grouped_heads(self):
        self.check()

    def test_wide_heads_and_tied(self):
        self.check(head_dim=24, tie_word_embeddings=True, rope_theta=100000.0)

    def test_llama3_positions(self):
        llama3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 64}
        self.check(rope_scaling=llama3)

    def test_linear_positions(self):
        self.check(rope_scaling={"rope_type": "linear", "factor": 4.0})

    def test_biases(self):
        self.check(attention_bias=True)


if __name__ == "__main__":
    unittest.main()
