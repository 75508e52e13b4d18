"""Python's tokenizers and transformers read the folders of make_tokenizers.mjs: same ids, same text back, no warning.

    node test/python/make_tokenizers.mjs OUT_FOLDER
    python test/python/check_tokenizers.py OUT_FOLDER
    node test/python/make_tokenizers.mjs OUT_FOLDER --read-back
"""
import json
import sys
import warnings
from pathlib import Path

from tokenizers import Tokenizer
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from quiet import collect_warnings


def check(folder: Path) -> list[str]:
    """What differs between our ids and Python's, one line each."""
    expected = json.loads((folder / "cases.json").read_text(encoding="utf-8"))
    failures: list[str] = []
    with collect_warnings() as heard:
        raw = Tokenizer.from_file(str(folder / "tokenizer.json"))
        readers = {
            "tokenizers": (lambda text: raw.encode(text).ids, raw.decode, raw.get_vocab_size()),
        }
        for name, kind in (("AutoTokenizer", AutoTokenizer), ("PreTrainedTokenizerFast", PreTrainedTokenizerFast)):
            fast = kind.from_pretrained(folder)
            readers[name] = (lambda text, t=fast: t(text)["input_ids"], lambda ids, t=fast: t.decode(ids), len(fast))
            for token in ("bos_token_id", "eos_token_id", "pad_token_id"):
                if getattr(fast, token) is not None:
                    failures.append(f"{folder.name} {name}: {token} is {getattr(fast, token)}")
            if fast.model_max_length != 1024:
                failures.append(f"{folder.name} {name}: model_max_length is {fast.model_max_length}")
        for name, (encode, decode, size) in readers.items():
            if size != expected["vocab_size"]:
                failures.append(f"{folder.name} {name}: {size} tokens, not {expected['vocab_size']}")
            for case in expected["cases"]:
                ids = list(encode(case["text"]))
                if ids != case["ids"]:
                    failures.append(f"{folder.name} {name}: {case['text']!r} gives {ids}, not {case['ids']}")
                elif decode(ids) != case["text"]:
                    failures.append(f"{folder.name} {name}: {case['text']!r} comes back as {decode(ids)!r}")
        raw.save(str(folder / "resaved.json"))
        fast.save_pretrained(folder / "resaved")
    failures += [f"{folder.name}: warning: {line}" for line in heard]
    return failures


def main() -> int:
    out = Path(sys.argv[1])
    folders = sorted(path.parent for path in out.glob("*/cases.json"))
    failures = [failure for folder in folders for failure in check(folder)]
    for failure in failures:
        print(failure, file=sys.stderr)
    print(f"check_tokenizers: {len(folders)} tokenizers, {len(failures)} failures")
    return 1 if failures or not folders else 0


if __name__ == "__main__":
    warnings.simplefilter("always")
    sys.exit(main())
