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
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

HERE = pathlib.Path(__file__).resolve().parent
NODE = os.environ.get("FERRO_NODE", "node")
TOLERANCE = 2e-5  # docs/measurements.md: tiny models' logits against PyTorch


def ours(what, folder, argument):
    command = [NODE, str(HERE / "ours.mjs"), what, str(folder), json.dumps(argument)]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=120)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr}")
    return json.loads(done.stdout)


def strict_load(folder, kind=GPT2LMHeadModel, **loading):
    """Loads a model and fails on any warning or on any key that is missing, unexpected or of another shape."""
    records = []
    handler = logging.Handler(level=logging.WARNING)
    handler.emit = lambda record: records.append(record.getMessage())
    logger = transformers.utils.logging.get_logger("transformers")
    logger.addHandler(handler)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            model, info = kind.from_pretrained(folder, output_loading_info=True, **loading)
    finally:
        logger.removeHandler(handler)
    assert not records, records
    assert not any(info.values()), info
    return model.eval()


def torch_logits(model, ids):
    with torch.no_grad():
        return model(torch.tensor(ids)).logits


class OursInTransformers(unittest.TestCase):
    def check(self, options, **loading):
        with tempfile.TemporaryDirectory() as folder:
            made = ours("create", folder, options)
            model = strict_load(folder, **loading)
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

    def test_untied_head(self):
        self.check({"tieWordEmbeddings": False})

    def test_other_sizes_and_activations(self):
        self.check({"nInner": 40, "activationFunction": "gelu", "layerNormEpsilon": 1e-3, "embdPdrop": 0.1, "attnPdrop": 0.2})
        self.check({"activationFunction": "relu"})

    def test_shards(self):
        self.check({"save": {"maxShardSize": "20KB"}})

    def test_bfloat16(self):
        # Both sides read the same rounded weights; transformers is asked to compute in float32.
        self.check({"save": {"dtype": "bfloat16"}}, dtype=torch.float32)
        self.check({"tieWordEmbeddings": False, "save": {"dtype": "bfloat16", "maxShardSize": 9000}}, dtype=torch.float32)

    def test_sinusoidal_positions(self):
        self.check({"positionEmbedding": "sinusoidal", "positionNoise": 0.01})


class TransformersInOurs(unittest.TestCase):
    def check(self, half=None, saving=None, **changes):
        torch.manual_seed(5)
        config = GPT2Config(vocab_size=50, n_positions=24, n_embd=32, n_layer=2, n_head=4, bos_token_id=None, eos_token_id=None, **changes)
        model = GPT2LMHeadModel(config).eval()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter) * 0.1)
        if half is not None:
            model = model.to(half)
        ids = torch.randint(0, 50, (3, 17)).tolist()
        with tempfile.TemporaryDirectory() as folder:
            model.save_pretrained(folder, **(saving or {}))
            here = ours("logits", folder, ids)
        model = model.float()  # the numbers are those of the 16 bits
        theirs = torch_logits(model, ids)
        difference = (torch.tensor(here["logits"]).view_as(theirs) - theirs).abs().max().item()
        self.assertLessEqual(difference, TOLERANCE)
        for name, start in here["parameters"].items():
            self.assertEqual(model.state_dict()[name].flatten()[:4].tolist(), start, name)

    def test_plain(self):
        self.check()

    def test_untied_in_shards(self):
        self.check(saving={"max_shard_size": "20KB"}, tie_word_embeddings=False)

    def test_sixteen_bits(self):
        for half in (torch.float16, torch.bfloat16):
            self.check(half=half)
            self.check(half=half, tie_word_embeddings=False, saving={"max_shard_size": "9KB"})

    def test_other_sizes_and_activations(self):
        self.check(n_inner=40, activation_function="gelu", layer_norm_epsilon=1e-6)
        self.check(activation_function="relu", embd_pdrop=0.3)

    def test_other_dropouts_change_nothing(self):
        self.check(resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0)


class ContinuedPretraining(unittest.TestCase):
    def test_init_from_a_folder_of_transformers_and_back(self):
        """BF16, untied, in shards, with a tokenizer: trained here on the command line, then read by transformers."""
        torch.manual_seed(6)
        text = "the sea has waves and whales\n" * 80
        words = sorted(set(text))
        raw = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token=None))
        raw.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
        raw.decoder = decoders.Fuse()
        config = GPT2Config(
            vocab_size=len(words), n_positions=16, n_embd=16, n_layer=2, n_head=2, bos_token_id=None, eos_token_id=None, tie_word_embeddings=False
        )
        with tempfile.TemporaryDirectory() as scratch:
            folder = pathlib.Path(scratch)
            GPT2LMHeadModel(config).to(torch.bfloat16).save_pretrained(folder / "start", max_shard_size="9KB")
            PreTrainedTokenizerFast(tokenizer_object=raw).save_pretrained(folder / "start")
            (folder / "sea.txt").write_text(text, encoding="utf-8")
            cli = str(HERE.parent.parent / "dist" / "cli.js")
            command = [NODE, cli, "train", "--init-from", "start", "--data", "sea.txt", "--out", "run", "--max-steps", "5", "--threads", "1", "--json"]
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, encoding="utf-8", timeout=120)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual(json.loads((folder / "run" / "run.json").read_text("utf-8"))["training"]["learning_rate"], 5e-5)
            model = strict_load(folder / "run" / "final")
            self.assertFalse(model.config.tie_word_embeddings)
            self.assertNotEqual(model.lm_head.weight.data_ptr(), model.transformer.wte.weight.data_ptr())
            ids = [raw.encode(text[:16]).ids]
            here = ours("logits", folder / "run" / "final", ids)
            theirs = torch_logits(model, ids)
            self.assertLessEqual((torch.tensor(here["logits"]).view_as(theirs) - theirs).abs().max().item(), TOLERANCE)
            start = GPT2LMHeadModel.from_pretrained(folder / "start", dtype=torch.float32)
            for (name, was), (_, now) in zip(start.named_parameters(), model.named_parameters()):
                self.assertLess((was - now).abs().max().item(), 1e-3, name)
            self.assertFalse(torch.equal(start.lm_head.weight, model.lm_head.weight))


if __name__ == "__main__":
    unittest.main()
