//! Encoding and decoding with small vocabularies made by training.

use super::*;
use crate::train::{byte_order, Trainer};

pub const GPT2: &str = r"I:'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";

fn trained(text: &str, size: u32, ignore_merges: bool) -> Bpe {
    let mut trainer = Trainer::new(GPT2).unwrap();
    trainer.feed(text).unwrap();
    let merges = trainer.train(size, 1);
    let mut tokens: Vec<Vec<u8>> = byte_order().iter().map(|&byte| vec![byte]).collect();
    for merge in merges.chunks(3) {
        if merge[2] as usize == tokens.len() {
            tokens.push([&tokens[merge[0] as usize][..], &tokens[merge[1] as usize][..]].concat());
        }
    }
    let lengths: Vec<u32> = tokens.iter().map(|token| token.len() as u32).collect();
    Bpe::new(GPT2, ignore_merges, tokens.concat(), &lengths, &merges).unwrap()
}

const TEXT: &str = "Call me Ishmael. Some years ago—never mind how long precisely—having little or no money in my purse, 1851!\n\n  It's";

fn ids(bpe: &mut Bpe, text: &str) -> Vec<i32> {
    bpe.encode(text, false, &[]).unwrap().into_iter().map(|id| id as i32).collect()
}

#[test]
fn round_trips_everything() {
    for ignore_merges in [false, true] {
        let mut bpe = trained(TEXT, 320, ignore_merges);
        for text in [TEXT, "", " ", "\0", "héllo wörld 👋🌍", "＿ \u{85}\u{feff}x", "'S 't 'll'l l", "a\r\n\r\nb   c"]
        {
            let encoded = ids(&mut bpe, text);
            assert_eq!(bpe.decode(&encoded).unwrap(), text.as_bytes(), "{text:?}");
            assert_eq!(ids(&mut bpe, text), encoded, "the cache changes nothing");
        }
    }
}

#[test]
fn added_tokens_by_their_conditions() {
    let mut bpe = trained("abc", 256, false);
    let token = |name: &str| match name {
        "lr" => Flags { lstrip: true, rstrip: true, ..Flags::default() },
        "word" => Flags { single_word: true, ..Flags::default() },
        "special" => Flags { special: true, ..Flags::default() },
        _ => Flags::default(),
    };
    bpe.add_token("<m>", 1000, token("lr"));
    bpe.add_token("cat", 1001, token("word"));
    bpe.add_token("<|end|>", 1002, token("special"));
    bpe.add_token("<m>>", 1003, token("plain"));
    let space = ids(&mut bpe, " ")[0];
    let a = ids(&mut bpe, "a")[0];
    assert_eq!(ids(&mut bpe, "a  <m> \n a"), [a, 1000, a]);
    assert_eq!(ids(&mut bpe, "<m>>a"), [1003, a]);
    assert_eq!(ids(&mut bpe, "cat cat"), [1001, space, 1001]);
    assert_eq!(ids(&mut bpe, "cats").len(), 4);
    assert_eq!(ids(&mut bpe, "écat").len(), 5);
    assert_eq!(ids(&mut bpe, "<|end|>").len(), 7);
    assert_eq!(bpe.encode("<|end|>a", true, &[]).unwrap(), [1002, a as u32]);
    assert_eq!(bpe.encode("<|end|>", false, &[1002]).unwrap(), [1002]);
    assert_eq!(bpe.encode("<|end|>", false, &[1001]).unwrap().len(), 7);
}

#[test]
fn a_million_equal_characters_are_one_word() {
    let mut bpe = trained(&"a".repeat(64), 300, false);
    for unit in ["^", "0", "a", "'s", " ", "\n"] {
        let text = unit.repeat(200_000);
        let encoded = ids(&mut bpe, &text);
        assert_eq!(bpe.decode(&encoded).unwrap(), text.as_bytes());
    }
}

#[test]
fn refuses_what_is_no_vocabulary() {
    let refuse = |pattern: &str, bytes: &[u8], lengths: &[u32], merges: &[u32]| {
        Bpe::new(pattern, false, bytes.to_vec(), lengths, merges).unwrap_err()
    };
    assert!(refuse("", b"ab", &[1], &[]).starts_with("INVALID_VOCABULARY: bpe: the lengths must sum"));
    assert!(refuse("", b"ab", &[1, 1], &[0, 1, 2]).contains("merge 0 must name tokens below 2"));
    assert!(refuse("", b"abc", &[1, 1, 1], &[0, 1, 2]).contains("must make the two tokens together"));
    assert!(refuse("", b"ab", &[1, 1], &[0]).contains("triples"));
    assert!(refuse("I:(", b"", &[], &[]).starts_with("UNSUPPORTED_PATTERN"));
    assert!(refuse("X:a", b"", &[], &[]).starts_with("UNSUPPORTED_PATTERN"));
    let mut bpe = Bpe::new("", false, b"a".to_vec(), &[1], &[]).unwrap();
    assert!(bpe.encode("ab", false, &[]).unwrap_err().starts_with("MISSING_BYTE: encode: "));
    assert_eq!(bpe.encode("aa", false, &[]).unwrap(), [0, 0]);
    for id in [-1, 1, i32::MAX, i32::MIN] {
        assert!(bpe.decode(&[0, id]).unwrap_err().starts_with("TOKEN_OUT_OF_RANGE: decode: "));
    }
}
