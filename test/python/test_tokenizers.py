"""Tokenizers in both directions: Python's tokenizers and transformers read the folders that tokenizers.mjs writes (same ids, same text back, no
warning), and this library reads what Python saves of them."""

import json
import os
import pathlib
import subprocess
import tempfile
import unittest

from tokenizers import Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from quiet import collect_warnings

SCRIPT = pathlib.Path(__file__).resolve().parent / "tokenizers.mjs"
NODE = os.environ.get("FERRO_NODE", "node")


def run_ours(*arguments):
    done = subprocess.run([NODE, str(SCRIPT), *map(str, arguments)], capture_output=True, text=True, encoding="utf-8", timeout=120)
    if done.returncode != 0:
        raise AssertionError(f"tokenizers.mjs {' '.join(map(str, arguments))} ended with {done.returncode}:\n{done.stderr}")


class Tokenizers(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        cls.out = pathlib.Path(cls.folder.name)
        run_ours(cls.out)

    def check(self, kind):
        folder = self.out / kind
        expected = json.loads((folder / "cases.json").read_text(encoding="utf-8"))
        self.assertGreater(len(expected["cases"]), 5)
        with collect_warnings() as heard:
            raw = Tokenizer.from_file(str(folder / "tokenizer.json"))
            self.compare(expected, "special", lambda text: raw.encode(text).ids, raw)
            raw.encode_special_tokens = True
            self.compare(expected, "ids", lambda text: raw.encode(text).ids, raw)
            raw.encode_special_tokens = False
            for reader in (AutoTokenizer, PreTrainedTokenizerFast):
                fast = reader.from_pretrained(folder)
                self.assertEqual([fast.bos_token_id, fast.eos_token_id, fast.pad_token_id], expected["roles"])
                self.assertEqual(fast.model_max_length, 1024)
                self.assertEqual(len(fast), expected["vocab_size"])
                self.compare(expected, "special", lambda text: fast(text)["input_ids"], fast)
            raw.save(str(folder / "resaved.json"))
            fast.save_pretrained(folder / "resaved")
        self.assertEqual(heard, [])

    def compare(self, expected, key, encode, tokenizer):
        if isinstance(tokenizer, Tokenizer):
            self.assertEqual(tokenizer.get_vocab_size(), expected["vocab_size"])
        for case in expected["cases"]:
            with self.subTest(text=case["text"], key=key):
                self.assertEqual(list(encode(case["text"])), case[key])
                self.assertEqual(tokenizer.decode(case[key], skip_special_tokens=False), case["decoded"])

    def test_python_reads_ours_and_we_read_what_it_saves(self):
        for kind in ("char", "byte", "bpe", "bpe-prefix", "bpe-cl100k"):
            with self.subTest(kind=kind):
                self.check(kind)
        run_ours(self.out, "--read-back")

    def test_python_reads_our_vocab_json_and_merges_txt(self):
        folder = self.out / "bpe"
        expected = json.loads((folder / "cases.json").read_text(encoding="utf-8"))
        tokenizer = Tokenizer(BPE.from_file(str(folder / "vocab.json"), str(folder / "merges.txt")))
        tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False)
        tokenizer.decoder = ByteLevelDecoder()
        self.compare(expected, "ids", lambda text: tokenizer.encode(text).ids, tokenizer)


if __name__ == "__main__":
    unittest.main()
