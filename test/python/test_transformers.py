"""Both directions with transformers: a folder this library saved is read by GPT2LMHeadModel without a warning and gives the same logits, and a folder
that transformers saved gives the same logits here. Tokenizers round-trip through the same folders."""

import json
import logging
import os
import pathlib
import subprocess
import tempfile
import unittest
import warnings

import torch
import transformers
from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel

HERE = pathlib.Path(__file__).resolve().parent
NODE = os.environ.get("FERRO_NODE", "node")
TOLERANCE = 2e-5  # docs/measurements.md: tiny models' logits against PyTorch


def ours(what, folder, argument):
    command = [NODE, str(HERE / "ours.mjs"), what, str(folder), json.dumps(argument)]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=120)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr}")
    return json.loads(done.stdout)


def strict_load(folder):
    """Loads a model and fails on any warning or on any key that is missing, unexpected or of another shape."""
    records = []
    handler = logging.Handler(level=logging.WARNING)
    handler.emit = lambda record: records.append(record.getMessage())
    logger = transformers.utils.logging.get_logger("transformers")
    logger.addHandler(handler)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            model, info = GPT2LMHeadModel.from_pretrained(folder, output_loading_info=True)
    finally:
        logger.removeHandler(handler)
    assert not records, records
    assert not any(info.values()), info
    return model.eval()


def torch_logits(model, ids):
    with torch.no_grad():
        return model(torch.tensor(ids)).logits


class OursInTransformers(unittest.TestCase):
    def check(self, options):
        with tempfile.TemporaryDirectory() as folder:
            made = ours("create", folder, options)
            model = strict_load(folder)
            ids = [made["ids"][0:20], made["ids"][20:40]]
            here = ours("logits", folder, ids)
            theirs = torch_logits(model, ids)
            self.assertEqual(here["shape"], list(theirs.shape))
            difference = (torch.tensor(here["logits"]).view_as(theirs) - theirs).abs().max().item()
            self.assertLessEqual(difference, TOLERANCE)

            tokenizer = AutoTokenizer.from_pretrained(folder)
            self.assertEqual(tokenizer(made["text"])["input_ids"], made["ids"])
            self.assertEqual(tokenizer.decode(made["ids"], clean_up_tokenization_spaces=False), made["text"])

            prompt = torch.tensor(ids[:1])
            written = model.generate(prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=4, do_sample=False, pad_token_id=0)
            self.assertEqual(written[0, prompt.shape[1]:].tolist(), here["greedy"][:4])

    def test_with_biases(self):
        self.check({})

    def test_without_biases(self):
        self.check({"bias": False})

    def test_sinusoidal_positions(self):
        self.check({"positionEmbedding": "sinusoidal", "positionNoise": 0.01})


class TransformersInOurs(unittest.TestCase):
    def check(self, **changes):
        torch.manual_seed(5)
        config = GPT2Config(vocab_size=50, n_positions=24, n_embd=32, n_layer=2, n_head=4, bos_token_id=None, eos_token_id=None, **changes)
        model = GPT2LMHeadModel(config).eval()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter) * 0.1)
        ids = torch.randint(0, 50, (3, 17)).tolist()
        with tempfile.TemporaryDirectory() as folder:
            model.save_pretrained(folder)
            here = ours("logits", folder, ids)
        theirs = torch_logits(model, ids)
        difference = (torch.tensor(here["logits"]).view_as(theirs) - theirs).abs().max().item()
        self.assertLessEqual(difference, TOLERANCE)
        for name, start in here["parameters"].items():
            self.assertEqual(model.state_dict()[name].flatten()[:4].tolist(), start, name)

    def test_plain(self):
        self.check()

    def test_other_dropouts_change_nothing(self):
        self.check(resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0)


if __name__ == "__main__":
    unittest.main()
