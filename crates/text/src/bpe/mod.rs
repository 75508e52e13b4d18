//! Byte-level byte-pair encoding with a given vocabulary: text to ids and back. It reads no files and knows no names of special tokens.

mod cache;
mod merge;
pub mod pairs;

use crate::hash::Map;
use crate::split::Splitter;
use cache::{Cache, Key};
use pairs::Pairs;

const NO_TOKEN: u32 = u32::MAX;

/// An encoder. It remembers words between texts, which changes no result.
#[derive(Debug)]
pub struct Bpe {
    splitter: Splitter,
    words: Words,
    /// All tokens' bytes, one after the other; token i is `bytes[starts[i]..starts[i + 1]]`.
    bytes: Vec<u8>,
    starts: Vec<u32>,
}

/// What turns one word into ids.
#[derive(Debug)]
struct Words {
    pairs: Pairs,
    byte_ids: [u32; 256],
    /// With `ignore_merges`: words that are tokens are taken whole.
    whole: Option<Map<Box<[u8]>, u32>>,
    cache: Cache,
    /// A byte met that no token stands for.
    missing: Option<u8>,
}

impl Bpe {
    /// An encoder for a vocabulary.
    ///
    /// - `pattern`: the splitter's steps (see [`Splitter::new`])
    /// - `ignore_merges`: a word that is a token is that token
    /// - `token_bytes`, `token_lengths`: the tokens by id
    /// - `merges`: triples left, right, merged in rank order
    ///
    /// The error starts with `UNSUPPORTED_PATTERN` or `INVALID_VOCABULARY`.
    pub fn new(
        pattern: &str,
        ignore_merges: bool,
        token_bytes: Vec<u8>,
        token_lengths: &[u32],
        merges: &[u32],
    ) -> Result<Self, String> {
        let splitter = Splitter::new(pattern)?;
        let wrong = |rule: String| format!("INVALID_VOCABULARY: bpe: {rule}");
        let mut starts = Vec::with_capacity(token_lengths.len() + 1);
        let mut end = 0u64;
        starts.push(0);
        for &length in token_lengths {
            end += u64::from(length);
            starts.push(
                u32::try_from(end).map_err(|_| wrong("tokens must have less than 4 GiB in all, got more".into()))?,
            );
        }
        if end != token_bytes.len() as u64 {
            return Err(wrong(format!(
                "the lengths must sum to the {} bytes of the tokens, got {end}",
                token_bytes.len()
            )));
        }
        if !merges.len().is_multiple_of(3) {
            return Err(wrong(format!("merges must be triples, got {} numbers", merges.len())));
        }
        let token =
            |id: u32| token_bytes.get(*starts.get(id as usize)? as usize..*starts.get(id as usize + 1)? as usize);
        for (rank, merge) in merges.chunks_exact(3).enumerate() {
            let parts = (token(merge[0]), token(merge[1]), token(merge[2]));
            let (Some(left), Some(right), Some(merged)) = parts else {
                return Err(wrong(format!(
                    "merge {rank} must name tokens below {}, got {merge:?}",
                    token_lengths.len()
                )));
            };
            if merged.len() != left.len() + right.len() || !merged.starts_with(left) || !merged.ends_with(right) {
                return Err(wrong(format!("merge {rank} must make the two tokens together, got {merge:?}")));
            }
        }
        let mut byte_ids = [NO_TOKEN; 256];
        let mut whole = Map::default();
        for id in 0..token_lengths.len() as u32 {
            match token(id) {
                Some(&[byte]) if byte_ids[usize::from(byte)] == NO_TOKEN => byte_ids[usize::from(byte)] = id,
                _ => {}
            }
            if ignore_merges {
                whole.entry(token(id).unwrap_or_default().into()).or_insert(id);
            }
        }
        let words = Words {
            pairs: Pairs::new(merges),
            byte_ids,
            whole: ignore_merges.then_some(whole),
            cache: Cache::new(),
            missing: None,
        };
        Ok(Self { splitter, words, bytes: token_bytes, starts })
    }

    /// Number of ids that decode.
    pub fn vocab_size(&self) -> usize {
        self.starts.len() - 1
    }

    /// Ids of a text; added tokens have been cut out of it. The error starts with `PATTERN_TOO_SLOW` or `MISSING_BYTE`.
    pub fn encode(&mut self, text: &str) -> Result<Vec<u32>, String> {
        let mut out = Vec::with_capacity(text.len() / 3 + 8);
        let Self { splitter, words, .. } = self;
        words.missing = None;
        words.cache.make_room(text.len());
        splitter.split(text.as_bytes(), &mut |word| words.encode(word, &mut out))?;
        match words.missing {
            None => Ok(out),
            Some(byte) => {
                Err(format!("MISSING_BYTE: encode: the vocabulary must have every byte of the text, got 0x{byte:02x}"))
            }
        }
    }

    /// Bytes of ids. The error starts with `TOKEN_OUT_OF_RANGE`.
    pub fn decode(&self, ids: &[i32]) -> Result<Vec<u8>, String> {
        let mut out = Vec::with_capacity(ids.len() * 4);
        for (position, &id) in ids.iter().enumerate() {
            let Some(&[start, end]) = usize::try_from(id).ok().and_then(|id| self.starts.get(id..id + 2)) else {
                let last = self.vocab_size() as i64 - 1;
                return Err(format!("TOKEN_OUT_OF_RANGE: decode: ids must be integers from 0 to {last}, got {id} at position {position}"));
            };
            out.extend_from_slice(&self.bytes[start as usize..end as usize]);
        }
        Ok(out)
    }
}

impl Words {
    #[inline]
    fn encode(&mut self, word: &[u8], out: &mut Vec<u32>) {
        match Key::new(word) {
            Some(key) => {
                if !self.cache.get(&key, out) {
                    let start = out.len();
                    self.merge(word, out);
                    self.cache.put(&key, &out[start..]);
                }
            }
            None => self.merge(word, out),
        }
    }

    #[inline(never)]
    fn merge(&mut self, word: &[u8], out: &mut Vec<u32>) {
        if let Some(&id) = self.whole.as_ref().and_then(|whole| whole.get(word)) {
            out.push(id);
            return;
        }
        let start = out.len();
        for &byte in word {
            let id = self.byte_ids[usize::from(byte)];
            if id == NO_TOKEN {
                self.missing = self.missing.or(Some(byte));
            }
            out.push(id);
        }
        merge::merge(&self.pairs, out, start);
    }
}

#[cfg(test)]
mod tests;
