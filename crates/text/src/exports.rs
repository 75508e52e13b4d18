//! What JavaScript sees. Numbers, text and bytes in and out; a refused call throws an `Error` whose message starts with a code.

use crate::bpe::{self, Flags};
use crate::train::{self, Trainer};
use wasm_bindgen::prelude::*;

type Result<T> = std::result::Result<T, JsError>;

fn refused(message: String) -> JsError {
    JsError::new(&message)
}

/// A byte-level BPE encoder and decoder.
#[wasm_bindgen]
pub struct Bpe(bpe::Bpe);

#[wasm_bindgen]
impl Bpe {
    /// `pattern`: the splitter's steps; `merges`: left, right, merged id in rank order.
    #[wasm_bindgen(constructor)]
    pub fn new(
        pattern: &str,
        ignore_merges: bool,
        token_bytes: Vec<u8>,
        token_lengths: &[u32],
        merges: &[u32],
    ) -> Result<Bpe> {
        bpe::Bpe::new(pattern, ignore_merges, token_bytes, token_lengths, merges).map(Bpe).map_err(refused)
    }

    /// A token to be found in texts before they are split. `flags`: 1 lstrip, 2 rstrip, 4 single word, 8 special.
    pub fn add_token(&mut self, content: &str, id: u32, flags: u32) {
        self.0.add_token(content, id, Flags::from_bits(flags));
    }

    /// Ids of a text. Special tokens in it are text, but for those in `special`, or none of them with `all_special`.
    pub fn encode(&mut self, text: &str, all_special: bool, special: &[u32]) -> Result<Vec<i32>> {
        // The same bits, in place: ids are below 2^31.
        let ids = self.0.encode(text, all_special, special).map_err(refused)?;
        Ok(ids.into_iter().map(|id| id as i32).collect())
    }

    /// Bytes of ids.
    pub fn decode(&self, ids: &[i32]) -> Result<Vec<u8>> {
        self.0.decode(ids).map_err(refused)
    }
}

/// Finds the merges of a new vocabulary.
#[wasm_bindgen]
pub struct BpeTrainer(Trainer);

#[wasm_bindgen]
impl BpeTrainer {
    /// `pattern`: the splitter's steps.
    #[wasm_bindgen(constructor)]
    pub fn new(pattern: &str) -> Result<BpeTrainer> {
        Trainer::new(pattern).map(BpeTrainer).map_err(refused)
    }

    /// Counts the words of a text.
    pub fn feed(&mut self, text: &str) -> Result<()> {
        self.0.feed(text).map_err(refused)
    }

    /// Merges as left, right, merged; the first 256 ids are the bytes in `byte_order`.
    pub fn train(&self, vocab_size: u32, min_frequency: u32) -> Vec<u32> {
        self.0.train(vocab_size, min_frequency)
    }
}

/// The bytes of a trainer's first 256 ids.
#[wasm_bindgen]
pub fn byte_order() -> Vec<u8> {
    train::byte_order().to_vec()
}
