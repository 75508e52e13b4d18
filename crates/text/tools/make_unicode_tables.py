"""Makes ../src/unicode/ranges.rs: the general category of every scalar, and whether it is a word character, as Hugging Face tokenizers sees them.

The tables are frozen: ids must not depend on the Unicode version of the JavaScript engine (cases.md: 4,659 scalars split differently in Node 20). The
source is the regular-expression library inside `tokenizers` 0.23.3, asked for each category over all scalars, so that what it splits we split.
Run: python make_unicode_tables.py   (pip install tokenizers==0.23.3)
"""
from pathlib import Path

from tokenizers import Regex, __version__, pre_tokenizers

CATEGORIES = "Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So Zs Zl Zp Cc Cf Co Cn".split()
SCALARS = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
TEXT = "".join(map(chr, SCALARS))


def matching(pattern: str) -> list[int]:
    """Indices of the scalars that the class matches."""
    left = [False] * len(SCALARS)
    for _, (start, end) in pre_tokenizers.Split(Regex(pattern + "+"), "removed").pre_tokenize_str(TEXT):
        left[start:end] = [True] * (end - start)
    return [i for i, unmatched in enumerate(left) if not unmatched]


def varint(value: int) -> list[int]:
    out = []
    while value >= 128:
        out.append(value & 127 | 128)
        value >>= 7
    return out + [value]


def main() -> None:
    values = [None] * 0x110000
    for number, category in enumerate(CATEGORIES):
        for i in matching(rf"\p{{{category}}}"):
            assert values[SCALARS[i]] is None
            values[SCALARS[i]] = number
    for i in matching(r"\w"):
        values[SCALARS[i]] |= 32
    for surrogate in range(0xD800, 0xE000):
        values[surrogate] = CATEGORIES.index("Cn")
    runs = []
    for value in values:
        if runs and runs[-1][0] == value:
            runs[-1][1] += 1
        else:
            runs.append([value, 1])
    data = [byte for value, length in runs for byte in varint(length << 6 | value)]
    lines = [", ".join(map(str, data[i : i + 32])) for i in range(0, len(data), 32)]
    text = "//! Made by tools/make_unicode_tables.py with tokenizers %s. Do not edit.\n\n" % __version__
    text += "/// Runs of equal scalars from U+0000 on: variable-length numbers `length << 6 | word << 5 | category`.\n"
    text += "#[rustfmt::skip]\npub static RUNS: [u8; %d] = [\n    %s,\n];\n" % (len(data), ",\n    ".join(lines))
    (Path(__file__).parent / "../src/unicode/ranges.rs").write_text(text, encoding="utf-8", newline="\n")
    print(f"{len(runs)} runs, {len(data)} bytes")


if __name__ == "__main__":
    main()
