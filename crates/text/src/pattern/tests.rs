//! The matcher next to its definition, on the patterns in use and on small random ones.

use super::*;

/// Patterns that byte-level tokenizer.json files carry.
const IN_USE: [&str; 9] = [
    // GPT-2
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    // cl100k, Llama 3
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    // Qwen 2
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    // o200k
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    // DeepSeek 3
    r##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"##,
    // BLOOM: a class within a class
    r" ?[^(\s|[.,!?…。，、।۔،])]+",
    // tiktoken's spelling of cl100k, with possessive quantifiers
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++(?=\S)|\s*[\r\n]|\s+(?!\S)|\s",
    // DeepSeek's first steps
    r"[一-龥぀-ゟ゠-ヿ]+|\p{N}{1,3}",
    // DeepSeek Coder and LLM; digits in threes from the right
    r"\s+$|(?=(?:\d{3})+(?!\d))",
];

struct Random(u32);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(1664525).wrapping_add(1013904223);
        (self.0 >> 8) as usize % n
    }
    fn of<'a>(&mut self, list: &[&'a str]) -> &'a str {
        list[self.below(list.len())]
    }
    fn text(&mut self, parts: &[&str], most: usize) -> String {
        (0..self.below(most)).map(|_| self.of(parts)).collect()
    }
}

fn ends(pattern: &str, text: &str) -> Vec<Option<usize>> {
    let mut compiled = Pattern::new(pattern).unwrap();
    let mut budget = budget_for(text.len()) * 100;
    text.char_indices().map(|(at, _)| compiled.match_at(text.as_bytes(), at, &mut budget).unwrap()).collect()
}

fn agree(pattern: &str, text: &str) {
    let expected: Vec<Option<usize>> = text.char_indices().map(|(at, _)| naive::match_at(pattern, text, at)).collect();
    assert_eq!(ends(pattern, text), expected, "{pattern} on {text:?}");
}

#[test]
fn patterns_in_use_equal_the_definition() {
    let parts = [
        " ", " ", "\n", "\r\n", "\t", "\u{85}", "\u{a0}", "a", "B", "ab", "é", "É", "ǅ", "ʰ", "中", "ア", "\u{301}",
        "1", "٣", "½", "'s", "'S", "'ſ", "'ll", "'", "!", "/", "—", "+", "…", "👋", "\u{feff}", "\u{200d}", "|", "(",
        "।",
    ];
    let mut random = Random(3);
    for pattern in IN_USE {
        for _ in 0..50 {
            agree(pattern, &random.text(&parts, 14));
        }
    }
}

#[test]
fn small_random_patterns_equal_the_definition() {
    let mut random = Random(5);
    for _ in 0..600 {
        let pattern = alternatives(&mut random, 3);
        if Pattern::new(&pattern).is_err() {
            continue; // an endless repetition of what can be empty
        }
        for _ in 0..6 {
            agree(&pattern, &random.text(&["a", "b", "c", "é", "\n"], 9));
        }
    }
}

fn alternatives(random: &mut Random, depth: usize) -> String {
    (0..1 + random.below(3)).map(|_| sequence(random, depth)).collect::<Vec<_>>().join("|")
}

fn sequence(random: &mut Random, depth: usize) -> String {
    (0..1 + random.below(3))
        .map(|_| {
            let atom = match random.below(if depth == 0 { 4 } else { 8 }) {
                0..=3 => random.of(&["a", "b", ".", "[ab]", "[^a]", "é", "\\p{L}", "^", "$", "\n"]).to_string(),
                4 | 5 => format!("(?:{})", alternatives(random, depth - 1)),
                6 => return format!("({}{})", random.of(&["?=", "?!"]), alternatives(random, depth - 1)),
                _ => format!("(?>{})", alternatives(random, depth - 1)),
            };
            atom + random.of(&["", "", "", "?", "*", "+", "{2}", "{1,2}", "{0,2}", "??", "*?", "+?", "?+", "*+", "++"])
        })
        .collect()
}

#[test]
fn refuses_other_syntax() {
    for pattern in [
        "(",
        ")",
        "[",
        "[a",
        "a{2",
        "a{3,2}",
        "a{2000}",
        "(?<a>b)",
        "(?<=a)b",
        "\\1",
        "\\q",
        "\\p{Han}",
        "\\p{",
        "^*",
        "(?:$)+",
        "*",
        "[b-a]",
        "[[:alpha:]]",
        "\\x{110000}",
        "\\",
        "(?:a*)*",
        "\\u12",
    ] {
        let error = Pattern::new(pattern).unwrap_err();
        assert!(error.starts_with("UNSUPPORTED_PATTERN: pattern: "), "{pattern}: {error}");
    }
    assert!(Pattern::new(&"(".repeat(10_000)).is_err() && Pattern::new(&"[".repeat(10_000)).is_err());
    assert!(Pattern::new(&format!("{}a{}", "(?:".repeat(20), "{1000}){1000}".repeat(20))).is_err());
}

#[test]
fn case_is_ignored_as_unicode_folds() {
    assert_eq!(ends("(?i:'s|k)", "'S"), [Some(2), None]);
    assert_eq!(ends("(?i:'s|k)", "'ſ"), [Some(3), None]);
    assert_eq!(ends("(?i)k", "\u{212A}"), [Some(3)]);
    assert_eq!(ends("(?:(?i)a)a|a", "AA"), [None, None]);
}

#[test]
fn classes_hold_what_their_sets_hold_and_first_bytes_begin_it() {
    use crate::unicode::{category, white_space, Set};
    let letters = category("L").unwrap();
    for set in [letters.clone(), letters.complement(), white_space(), white_space().complement(), Set::range(63, 64)] {
        let class = class::Class::new(&set);
        let mut expected = [false; 256];
        for c in '\0'..=char::MAX {
            let held = set.contains(c as u32);
            assert_eq!(class.contains(c as u32), held, "{c:?}");
            expected[usize::from(c.encode_utf8(&mut [0; 4]).as_bytes()[0])] |= held;
        }
        let first = compile::first_bytes(&parse::Node::One(set));
        for lead in (0..0x80).chain(0xC2..0xF5) {
            assert_eq!(first[lead], expected[lead], "{lead:#x}");
        }
    }
}
