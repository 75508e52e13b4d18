//! Training of merges: whatever texts it is fed, the vocabulary it makes is one that the encoder accepts, as large as asked for at most, and encodes the
//! texts and back. Included with `#[path]`.

use crate::input::Input;
use ferroformer_text::bpe::Bpe;
use ferroformer_text::train::{byte_order, Trainer};

const PATTERNS: [&str; 3] = ["", r"I: ?\p{L}+|\s+|.", "C:a"];

/// Options, then texts.
pub fn check(data: &[u8]) {
    let mut input = Input(data);
    let pattern = PATTERNS[usize::from(input.byte()) % PATTERNS.len()];
    let (vocab_size, min_frequency) = (input.word() % 600, u32::from(input.byte() % 4));
    let mut trainer = Trainer::new(pattern).expect("the pattern is a good one");
    let mut texts = Vec::new();
    while !input.0.is_empty() && texts.len() < 16 {
        texts.push(input.text());
        trainer.feed(texts.last().expect("just pushed")).expect("the pattern is quick");
    }
    let merges = trainer.train(vocab_size, min_frequency);
    let mut tokens: Vec<Vec<u8>> = byte_order().iter().map(|&byte| vec![byte]).collect();
    for merge in merges.chunks_exact(3) {
        assert!(merge[2] as usize == tokens.len(), "new ids come in order");
        tokens.push([&tokens[merge[0] as usize][..], &tokens[merge[1] as usize][..]].concat());
    }
    assert!(tokens.len() <= 256.max(vocab_size as usize));
    let lengths: Vec<u32> = tokens.iter().map(|token| token.len() as u32).collect();
    let mut bpe =
        Bpe::new(pattern, false, tokens.concat(), &lengths, &merges).expect("what was trained is a vocabulary");
    for text in &texts {
        let ids: Vec<i32> = bpe.encode(text).expect("all bytes are there").iter().map(|&id| id as i32).collect();
        assert!(bpe.decode(&ids).as_deref() == Ok(text.as_bytes()), "{text:?}");
    }
    assert!(merges == trainer.train(vocab_size, min_frequency), "the second time it is the same");
}
