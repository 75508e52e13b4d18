"""The walk of a user who comes from transformers, on the built command line alone: folders that transformers wrote are generated from, evaluated, trained
further and exported; transformers and the gguf package read what comes out, with the same logits and the same greedy ids. GPT-2 and Llama, in the forms that
folders come in (tied and untied, F32, F16, BF16, sharded, grouped heads), with a byte-level BPE that Python's tokenizers trained."""

import copy
import json
import os
import pathlib
import subprocess
import tempfile
import unittest

import gguf
import numpy
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoModelForCausalLM, AutoTokenizer, GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from transformers.utils import logging

from quiet import collect_warnings

HERE = pathlib.Path(__file__).resolve().parent
NODE = os.environ.get("FERRO_NODE", "node")
CLI = HERE.parent.parent / "dist" / "cli.js"
BLOCK = 32
TOLERANCE = 2e-5  # docs/measurements.md: tiny models' logits against PyTorch
LOSS_TOLERANCE = 1e-5
PROMPT = "The old whale said to the captain"
TEXT = "".join(f"The old whale said {i % 7} words to the captain of ship {i % 11}; it’s a “deep” sea 🐋.\n" for i in range(120))


def cli(*arguments):
    """One command with --json; what it prints."""
    command = [NODE, str(CLI), *map(str, arguments), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=240)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def library(what, folder, argument):
    done = subprocess.run(
        [NODE, str(HERE / "ours.mjs"), what, str(folder), json.dumps(argument)], capture_output=True, text=True, encoding="utf-8", timeout=120
    )
    if done.returncode != 0:
        raise AssertionError(done.stderr)
    return json.loads(done.stdout)


def make_tokenizer():
    """GPT-2's kind: byte-level BPE with one special token, trained on the text."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=380, special_tokens=["<|endoftext|>"], initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator([TEXT], trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<|endoftext|>", eos_token="<|endoftext|>")


logging.disable_progress_bar()
TOKENIZER = make_tokenizer()


def stirred(model, dtype):
    """Weights far enough from their start that every part of the model counts, rounded to the dtype of the folder."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.08)
            parameter.copy_(parameter.to(dtype).float())
    return model.eval()


def gpt2(dtype=torch.float32, **more):
    torch.manual_seed(5)
    ids = {"bos_token_id": 0, "eos_token_id": 0, "vocab_size": len(TOKENIZER)}
    return stirred(GPT2LMHeadModel(GPT2Config(n_positions=BLOCK, n_embd=32, n_layer=2, n_head=4, **ids, **more)), dtype)


def llama(dtype=torch.float32, **more):
    torch.manual_seed(6)
    shape = {"hidden_size": 32, "intermediate_size": 88, "num_hidden_layers": 2, "num_attention_heads": 4, "max_position_embeddings": BLOCK}
    ids = {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": None, "vocab_size": len(TOKENIZER)}
    return stirred(LlamaForCausalLM(LlamaConfig(**{**shape, **ids, **more})), dtype)


def torch_logits(model, ids):
    with torch.no_grad():
        return model(torch.tensor(ids)).logits.float()


def torch_greedy(model, ids, count):
    prompt = torch.tensor([ids])
    out = model.generate(prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=count, do_sample=False, pad_token_id=0)
    return out[0, len(ids):].tolist()


def torch_loss(model, ids):
    """Every token after the first predicted once, in windows of the model's block: what `eval` does."""
    total = 0.0
    for start in range(0, len(ids) - 1, BLOCK):
        window = torch.tensor([ids[start:start + BLOCK + 1]])
        with torch.no_grad():
            logits = model(window[:, :-1]).logits.double()
        total += torch.nn.functional.cross_entropy(logits[0], window[0, 1:], reduction="sum").item()
    return total / (len(ids) - 1)


def read_strictly(folder):
    """The folder's model in F32, read without a warning and without a key that is missing, unexpected or of another shape."""
    with collect_warnings() as lines:
        model, info = AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True, dtype=torch.float32)
    assert not any(info.values()), info
    assert not lines, lines
    return model.eval()


class Walk(unittest.TestCase):
    """generate → eval → train --init-from → export hf → transformers → export gguf → gguf."""

    def walk(self, model, dtype=torch.float32, **save):
        with tempfile.TemporaryDirectory() as root:
            root = pathlib.Path(root)
            start, run, out = root / "start", root / "run", root / "out"
            copy.deepcopy(model).to(dtype).save_pretrained(start, **save)  # a copy: the rotary frequencies, which no file has, would be rounded too
            TOKENIZER.save_pretrained(start)
            (root / "text.txt").write_text(TEXT, encoding="utf-8", newline="\n")
            self.generates(start, model)
            self.evaluates(start, model, root / "text.txt")
            trained = self.trains(start, root / "text.txt", run)
            exported = self.exports(run, out, trained)
            self.exports_small(run, root / "small", exported)
            self.exports_gguf(run, root / "model.gguf", exported)

    def generates(self, folder, model):
        ids = TOKENIZER(PROMPT)["input_ids"]
        written = cli("generate", "--model", folder, "--prompt", PROMPT, "--max-new-tokens", 12, "--temperature", 0, "--threads", 1)
        expected = torch_greedy(model, ids, 12)
        self.assertEqual(written["ids"], expected)
        self.assertEqual(written["text"], TOKENIZER.decode(expected, skip_special_tokens=True))
        batch = [ids, list(reversed(ids))]
        here = library("logits", folder, batch)
        difference = (torch.tensor(here["logits"]).view(2, len(ids), -1) - torch_logits(model, batch)).abs().max().item()
        self.assertLessEqual(difference, TOLERANCE)

    def evaluates(self, folder, model, text):
        found = cli("eval", "--model", folder, "--data", text, "--threads", 1)
        ids = TOKENIZER(TEXT)["input_ids"]
        self.assertEqual(found["tokens"], len(ids) - 1)
        self.assertLessEqual(abs(found["loss"] - torch_loss(model, ids)), LOSS_TOLERANCE * found["loss"])

    def trains(self, folder, text, run):
        """Continues the training; the loss falls, and the run's folder evaluates to less than the start did."""
        before = cli("eval", "--model", folder, "--data", text, "--threads", 1)["loss"]
        steps = ["--max-steps", 12, "--batch-size", 4, "--learning-rate", "3e-3", "--eval-steps", 0, "--threads", 1]
        cli("train", "--init-from", folder, "--data", text, "--out", run, *steps)
        after = cli("eval", "--model", run, "--data", text, "--threads", 1)["loss"]
        self.assertLess(after, before - 0.3)
        return after

    def exports(self, run, out, trained):
        """Transformers reads the export: the loss that our eval said, our logits, our greedy ids, the same tokenizer."""
        cli("export", "--model", run, "--format", "hf", "--out", out)
        theirs = read_strictly(out)
        ids = TOKENIZER(TEXT)["input_ids"]
        self.assertLessEqual(abs(torch_loss(theirs, ids) - trained), LOSS_TOLERANCE * trained)
        prompt = TOKENIZER(PROMPT)["input_ids"]
        here = library("logits", run, [prompt])
        difference = (torch.tensor(here["logits"]).view(1, len(prompt), -1) - torch_logits(theirs, [prompt])).abs().max().item()
        self.assertLessEqual(difference, TOLERANCE)
        written = cli("generate", "--model", out, "--prompt", PROMPT, "--max-new-tokens", 12, "--temperature", 0, "--threads", 1)
        self.assertEqual(written["ids"], torch_greedy(theirs, prompt, 12))
        back = AutoTokenizer.from_pretrained(out)
        for text in (TEXT, PROMPT, " a  b\n\n", "<|endoftext|>x", "naïve é 👋🏽 \t"):
            self.assertEqual(back(text)["input_ids"], TOKENIZER(text)["input_ids"])
            self.assertEqual(back.decode(back(text)["input_ids"]), TOKENIZER.decode(TOKENIZER(text)["input_ids"]))
        return theirs

    def exports_small(self, run, out, exported):
        """BF16 in shards: every tensor is the F32 one rounded to the nearest, ties to even, and transformers reads the index."""
        cli("export", "--model", run, "--format", "hf", "--out", out, "--dtype", "bfloat16", "--max-shard-size", "20KB")
        files = sorted(out.glob("model-*.safetensors"))
        self.assertGreater(len(files), 1)
        expected = exported.state_dict()
        for name, tensor in (pair for file in files for pair in load_file(file).items()):
            self.assertEqual(tensor.dtype, torch.bfloat16)
            self.assertTrue(torch.equal(tensor, expected[name].to(torch.bfloat16)), name)
        read_strictly(out)

    def exports_gguf(self, run, out, exported):
        """The gguf package reads it: as many weights as the model has, the token embedding as it is."""
        cli("export", "--model", run, "--format", "gguf", "--out", out, "--dtype", "float32")
        tensors = {tensor.name: tensor for tensor in gguf.GGUFReader(out).tensors}
        embedding = exported.get_input_embeddings().weight.detach().numpy()
        self.assertTrue(numpy.array_equal(tensors["token_embd.weight"].data.reshape(embedding.shape), embedding))

    def test_gpt2(self):
        self.walk(gpt2())

    def test_gpt2_untied_f16(self):
        self.walk(gpt2(torch.float16, tie_word_embeddings=False), torch.float16)

    def test_gpt2_bf16_in_shards(self):
        self.walk(gpt2(torch.bfloat16), torch.bfloat16, max_shard_size="20KB")

    def test_llama_grouped_heads(self):
        self.walk(llama(num_key_value_heads=2))

    def test_llama_tied_bf16_in_shards(self):
        self.walk(llama(torch.bfloat16, tie_word_embeddings=True, num_key_value_heads=1), torch.bfloat16, max_shard_size="20KB")


class Refusals(unittest.TestCase):
    """What a user may bring by mistake: one line that says why, with a code, and exit code 1."""

    def refused(self, folder, text, *command):
        done = subprocess.run([NODE, str(CLI), *map(str, command or ("generate", "--model", folder, "--prompt", "a"))], capture_output=True, text=True, encoding="utf-8", timeout=120)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn(text, done.stderr)
        self.assertNotIn("    at ", done.stderr)

    def test_pickled_weights(self):
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            model = gpt2()
            model.config.save_pretrained(folder)
            torch.save(model.state_dict(), folder / "pytorch_model.bin")
            self.refused(folder, "PICKLE_REFUSED")

    def test_an_index_that_names_an_absent_shard(self):
        """C9"""
        with tempfile.TemporaryDirectory() as folder:
            gpt2().save_pretrained(folder, max_shard_size="20KB")
            missing = sorted(pathlib.Path(folder).glob("model-*.safetensors"))[1]
            missing.unlink()
            self.refused(folder, missing.name)

    def test_another_architecture(self):
        with tempfile.TemporaryDirectory() as folder:
            gpt2().save_pretrained(folder)
            config = pathlib.Path(folder) / "config.json"
            config.write_text(json.dumps({**json.loads(config.read_text()), "model_type": "mamba"}))
            self.refused(folder, "mamba")


if __name__ == "__main__":
    unittest.main()
