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
    bpe.encode(text).unwrap().into_iter().map(|id| id as i32).collect()
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
    assert!(bpe.encode("ab").unwrap_err().starts_with("MISSING_BYTE: encode: "));
    assert_eq!(bpe.encode("aa").unwrap(), [0, 0]);
    for id in [-1, 1, i32::MAX, i32::MIN] {
        assert!(bpe.decode(&[0, id]).unwrap_err().starts_with("TOKEN_OUT_OF_RANGE: decode: "));
    }
}
