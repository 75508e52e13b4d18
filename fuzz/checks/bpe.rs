//! The constructor of the encoder (tokens, merges) with its encoder and decoder: whatever vocabulary it accepts gives ids of that vocabulary,
//! and what was encoded decodes to the text. Included with `#[path]`.

use crate::input::Input;
use ferroformer_text::bpe::Bpe;

const GPT2: &str = r"I:'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
const PATTERNS: [&str; 4] = ["", GPT2, "I:.", "N: "];

/// Options, tokens, merges, text.
pub fn check(data: &[u8]) {
    let mut input = Input(data);
    let options = input.byte();
    let all_bytes = options & 1 != 0;
    let mut tokens: Vec<Vec<u8>> = if all_bytes { (0..=255).map(|byte| vec![byte]).collect() } else { vec![] };
    for _ in 0..input.byte() {
        let length = usize::from(input.byte() & 15);
        tokens.push(input.bytes(length).to_vec());
    }
    let mut merges = Vec::new();
    for _ in 0..input.byte() {
        let (left, right) = (input.word(), input.word());
        merges.extend([left, right]);
        // Mostly the token that the two make, so that merges are accepted; otherwise what the input says.
        let both = || Some([&tokens.get(left as usize)?[..], &tokens.get(right as usize)?[..]].concat());
        let merged = both().and_then(|both| tokens.iter().position(|token| *token == both)).map(|id| id as u32);
        let said = input.byte();
        merges.push(if said == 0 { u32::MAX } else { merged.unwrap_or(u32::from(said)) });
    }
    if options & 2 != 0 {
        merges.pop();
    }
    let mut lengths: Vec<u32> = tokens.iter().map(|token| token.len() as u32).collect();
    if options & 4 != 0 {
        lengths.push(input.word() * 0xFFFF);
    }
    let pattern = PATTERNS[usize::from(options >> 3 & 3)];
    let mut bpe = match Bpe::new(pattern, options & 32 != 0, tokens.concat(), &lengths, &merges) {
        Ok(bpe) => bpe,
        Err(message) => return assert!(message.starts_with("INVALID_VOCABULARY: "), "{message}"),
    };
    encode(&mut bpe, &input.rest(), lengths.len());
}

fn encode(bpe: &mut Bpe, text: &str, tokens: usize) {
    let ids = match bpe.encode(text) {
        Ok(ids) => ids,
        Err(message) => return assert!(message.starts_with("MISSING_BYTE: "), "{message}"),
    };
    assert!(ids.iter().all(|&id| (id as usize) < tokens), "ids are those of tokens");
    assert!(bpe.encode(text).as_deref() == Ok(&ids[..]), "the second time it is the same");
    let signed: Vec<i32> = ids.iter().map(|&id| id as i32).collect();
    let bytes = bpe.decode(&signed).expect("all ids are those of tokens");
    assert!(bytes == text.as_bytes(), "{text:?} decodes to {bytes:?}");
    assert!(bpe.decode(&[-1]).is_err() && bpe.decode(&[i32::MAX]).is_err());
}
