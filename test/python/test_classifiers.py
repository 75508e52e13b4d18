"""Sequence classifiers in both directions with transformers, and language models whose vocabulary has grown: folders of each side are read by the other without a warning and
give the same logits; tokens have the same ids."""

import json
import os
import pathlib
import subprocess
import tempfile
import unittest

import torch
from test_transformers import TOLERANCE, strict_load
from transformers import (
    AutoTokenizer,
    GPT2Config,
    GPT2ForSequenceClassification,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    LlamaForSequenceClassification,
)

HERE = pathlib.Path(__file__).resolve().parent
NODE = os.environ.get("FERRO_NODE", "node")


def ours(what, folder, argument):
    command = [NODE, str(HERE / "classifiers.mjs"), what, str(folder), json.dumps(argument)]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=120)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr}")
    return json.loads(done.stdout)


def padded(sequences, pad):
    time = max(len(ids) for ids in sequences)
    ids = torch.tensor([s + [pad] * (time - len(s)) for s in sequences])
    mask = torch.tensor([[1] * len(s) + [0] * (time - len(s)) for s in sequences])
    return ids, mask


def torch_logits(model, sequences, pad):
    ids, mask = padded(sequences, pad)
    with torch.no_grad():
        return model(ids, attention_mask=mask).logits


class OursInTransformers(unittest.TestCase):
    def check(self, kind, options):
        with tempfile.TemporaryDirectory() as folder:
            made = ours("create", folder, options)
            model = strict_load(folder, kind)
            self.assertEqual(model.config.id2label, {0: "odd", 1: "even", 2: "zero"})
            self.assertEqual(model.config.pad_token_id, made["padId"])
            theirs = torch_logits(model, made["ids"], made["padId"])
            here = ours("logits", folder, made["ids"])
            self.assertEqual(here["shape"], list(theirs.shape))
            self.assertLessEqual((torch.tensor(here["logits"]).view_as(theirs) - theirs).abs().max().item(), TOLERANCE)
            for row, result in zip(theirs.softmax(-1).tolist(), made["results"]):
                self.assertEqual(result["label"], model.config.id2label[row.index(max(row))])
                for label, probability in zip(("odd", "even", "zero"), row):
                    self.assertLessEqual(abs(result["probabilities"][label] - probability), TOLERANCE)
            tokenizer = AutoTokenizer.from_pretrained(folder)
            self.assertEqual(tokenizer(made["texts"], padding=True)["input_ids"], padded(made["ids"], made["padId"])[0].tolist())

    def test_gpt2(self):
        self.check(GPT2ForSequenceClassification, {})

    def test_without_biases_and_in_shards(self):
        self.check(GPT2ForSequenceClassification, {"bias": False, "save": {"maxShardSize": "20KB"}})

    def test_llama(self):
        self.check(LlamaForSequenceClassification, {"modelType": "llama", "nKvHead": 1})


class TransformersInOurs(unittest.TestCase):
    def check(self, model):
        torch.manual_seed(5)
        model = model.eval()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter) * 0.1)
        sequences = [torch.randint(0, 49, (n,)).tolist() for n in (17, 3, 9)]
        theirs = torch_logits(model, sequences, 49)
        with tempfile.TemporaryDirectory() as folder:
            model.save_pretrained(folder)
            here = ours("logits", folder, sequences)
        self.assertEqual(here["labels"], [model.config.id2label[i] for i in range(model.config.num_labels)])
        self.assertLessEqual((torch.tensor(here["logits"]).view_as(theirs) - theirs).abs().max().item(), TOLERANCE)

    def test_gpt2(self):
        config = {"vocab_size": 50, "n_positions": 24, "n_embd": 32, "n_layer": 2, "n_head": 4, "pad_token_id": 49}
        self.check(GPT2ForSequenceClassification(GPT2Config(**config, bos_token_id=None, eos_token_id=None)))
        named = {"id2label": {0: "bad", 1: "fair", 2: "good"}, "label2id": {"bad": 0, "fair": 1, "good": 2}}
        self.check(GPT2ForSequenceClassification(GPT2Config(**config, **named, bos_token_id=None, eos_token_id=None)))

    def test_llama(self):
        sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}
        config = LlamaConfig(vocab_size=50, max_position_embeddings=24, pad_token_id=49, num_labels=4, bos_token_id=None, eos_token_id=None, **sizes)
        self.check(LlamaForSequenceClassification(config))


class AddedTokens(unittest.TestCase):
    def check(self, model, kind):
        torch.manual_seed(6)
        with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as out:
            model.eval().save_pretrained(folder)
            made = ours("tokens", folder, out + "/model")
            self.assertEqual(made["vocabSize"], 258)
            grown = strict_load(out + "/model", kind)
            self.assertEqual(grown.config.vocab_size, 258)
            tokenizer = AutoTokenizer.from_pretrained(out + "/model")
            self.assertEqual(len(tokenizer), 258)
            self.assertEqual(tokenizer(made["text"])["input_ids"], made["ids"])
            self.assertEqual([tokenizer.pad_token_id, tokenizer.convert_tokens_to_ids("<|task:summary|>")], [made["added"][1], made["added"][0]])
            with torch.no_grad():
                theirs = grown(torch.tensor([made["ids"]])).logits
            self.assertLessEqual((torch.tensor(made["logits"]).view_as(theirs) - theirs).abs().max().item(), TOLERANCE)
            for name, parameter in model.state_dict().items():
                self.assertTrue(torch.equal(grown.state_dict()[name][: parameter.shape[0]], parameter), name)

    def test_gpt2(self):
        config = GPT2Config(vocab_size=256, n_positions=32, n_embd=32, n_layer=2, n_head=4, bos_token_id=None, eos_token_id=None)
        self.check(GPT2LMHeadModel(config), GPT2LMHeadModel)

    def test_llama_with_a_head_of_its_own(self):
        sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}
        config = LlamaConfig(vocab_size=256, max_position_embeddings=32, tie_word_embeddings=False, bos_token_id=None, eos_token_id=None, pad_token_id=None, **sizes)
        self.check(LlamaForCausalLM(config), LlamaForCausalLM)


if __name__ == "__main__":
    unittest.main()
