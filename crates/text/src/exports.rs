//! What JavaScript sees. Numbers, text and bytes in and out; a refused call throws an `Error` whose message starts with a code.

use crate::bpe;
use crate::safetensors;
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

    /// Ids of a text.
    pub fn encode(&mut self, text: &str) -> Result<Vec<i32>> {
        // The same bits, in place: ids are below 2^31.
        let ids = self.0.encode(text).map_err(refused)?;
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

/// A checked header for JavaScript. Numbers are exact: all are below 2^53.
#[wasm_bindgen]
pub struct SafetensorsHeader(safetensors::Header);

#[wasm_bindgen]
impl SafetensorsHeader {
    /// How many tensors there are.
    #[wasm_bindgen(getter)]
    pub fn tensors(&self) -> usize {
        self.0.tensors.len()
    }

    /// Name of tensor i.
    pub fn name(&self, i: usize) -> String {
        self.0.tensors[i].name.clone()
    }

    /// Dtype of tensor i.
    pub fn dtype(&self, i: usize) -> String {
        self.0.tensors[i].dtype.to_string()
    }

    /// Shape of tensor i.
    pub fn shape(&self, i: usize) -> Vec<f64> {
        self.0.tensors[i].shape.iter().map(|&size| size as f64).collect()
    }

    /// First byte of tensor i in the data.
    pub fn begin(&self, i: usize) -> f64 {
        self.0.tensors[i].begin as f64
    }

    /// The byte after the last one of tensor i in the data.
    pub fn end(&self, i: usize) -> f64 {
        self.0.tensors[i].end as f64
    }

    /// How many entries `__metadata__` has.
    #[wasm_bindgen(getter)]
    pub fn metadata(&self) -> usize {
        self.0.metadata.len()
    }

    /// Key of metadata entry i.
    #[wasm_bindgen(js_name = metadataKey)]
    pub fn metadata_key(&self, i: usize) -> String {
        self.0.metadata[i].0.clone()
    }

    /// Value of metadata entry i.
    #[wasm_bindgen(js_name = metadataValue)]
    pub fn metadata_value(&self, i: usize) -> String {
        self.0.metadata[i].1.clone()
    }
}

/// Length of the header of a file of `file_bytes` bytes that begins with the 8 bytes `first`. Throws `rule, got value`: the caller knows the file.
#[wasm_bindgen]
pub fn safetensors_header_length(first: &[u8], file_bytes: f64) -> Result<f64> {
    safetensors::header_length(first, file_bytes as u64).map(|length| length as f64).map_err(refused)
}

/// Parses and checks a header (the bytes after its length) of a file of `file_bytes` bytes. Throws `rule, got value`.
#[wasm_bindgen]
pub fn parse_safetensors_header(header: &[u8], file_bytes: f64) -> Result<SafetensorsHeader> {
    safetensors::parse_header(header, file_bytes as u64).map(SafetensorsHeader).map_err(refused)
}
