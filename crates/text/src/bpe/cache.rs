//! The tokens of words met before. Bounded: a word takes the place of another with the same hash. Only words of at most 16 bytes and at most three
//! tokens are kept, which most are; they are told apart by their bytes, not by a hash.

use crate::hash::mix;

/// Slots at most: 1.2 MB.
const MOST_SLOTS: usize = 1 << 15;
/// Slots at least.
const LEAST_SLOTS: usize = 1 << 6;
/// Tokens kept with a word.
const MOST_TOKENS: usize = 3;

#[derive(Clone, Copy, Default)]
struct Entry {
    low: u64,
    high: u64,
    /// 0: nothing here.
    length: u8,
    count: u8,
    ids: [u32; MOST_TOKENS],
}

/// A word's bytes as numbers: with the length they are the word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    low: u64,
    high: u64,
    length: u8,
}

/// The cache.
pub struct Cache {
    entries: Vec<Entry>,
}

impl std::fmt::Debug for Cache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Cache")
    }
}

#[inline(always)]
fn eight(word: &[u8], at: usize) -> u64 {
    word.get(at..at + 8).map_or(0, |bytes| {
        u64::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3], bytes[4], bytes[5], bytes[6], bytes[7]])
    })
}

#[inline(always)]
fn four(word: &[u8], at: usize) -> u64 {
    word.get(at..at + 4).map_or(0, |bytes| u64::from(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])))
}

impl Key {
    /// The key of a word of 1 to 16 bytes: its first and its last bytes, which overlap in short words.
    #[inline(always)]
    pub fn new(word: &[u8]) -> Option<Self> {
        let length = word.len();
        let (low, high) = match length {
            1 => (u64::from(word[0]), 0),
            2 | 3 => (u64::from(word[0]) | u64::from(word[1]) << 8, u64::from(word[length - 1])),
            4..=8 => (four(word, 0), four(word, length - 4)),
            9..=16 => (eight(word, 0), eight(word, length - 8)),
            _ => return None,
        };
        Some(Self { low, high, length: length as u8 })
    }

    #[inline(always)]
    fn hash(&self) -> usize {
        mix(self.low, self.high ^ u64::from(self.length)) as usize
    }
}

impl Cache {
    /// An empty one, small until a long text comes.
    pub fn new() -> Self {
        Self { entries: vec![Entry::default(); LEAST_SLOTS] }
    }

    /// Makes room for the words of a text of this length. Growing forgets what is there.
    pub fn make_room(&mut self, length_bytes: usize) {
        let wanted = (length_bytes / 4).next_power_of_two().clamp(LEAST_SLOTS, MOST_SLOTS);
        if wanted > self.entries.len() {
            self.entries = vec![Entry::default(); wanted];
        }
    }

    /// Appends the tokens of a word if they are here.
    #[inline(always)]
    pub fn get(&self, key: &Key, out: &mut Vec<u32>) -> bool {
        let entry = &self.entries[key.hash() & (self.entries.len() - 1)];
        let found = entry.length == key.length && entry.low == key.low && entry.high == key.high;
        if found {
            if entry.count == 1 {
                out.push(entry.ids[0]);
            } else {
                out.extend_from_slice(&entry.ids[..usize::from(entry.count).min(MOST_TOKENS)]);
            }
        }
        found
    }

    /// Keeps a word's tokens, if they are few.
    pub fn put(&mut self, key: &Key, tokens: &[u32]) {
        if tokens.len() > MOST_TOKENS {
            return;
        }
        let mut ids = [0; MOST_TOKENS];
        ids[..tokens.len()].copy_from_slice(tokens);
        let slot = key.hash() & (self.entries.len() - 1);
        self.entries[slot] = Entry { low: key.low, high: key.high, length: key.length, count: tokens.len() as u8, ids };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_equal_for_equal_words_only() {
        let text: Vec<u8> = (0..40u8).map(|i| b'a' + i % 3).collect();
        let words: Vec<&[u8]> =
            (0..20).flat_map(|start| (1..=16).map(move |n| (start, n))).map(|(s, n)| &text[s..s + n]).collect();
        for a in &words {
            for b in &words {
                assert_eq!(Key::new(a) == Key::new(b), a == b);
            }
        }
        assert!(Key::new(b"").is_none() && Key::new(&text[..17]).is_none());
    }

    #[test]
    fn keeps_short_words_of_few_tokens() {
        let mut cache = Cache::new();
        let key = Key::new(b"whale").unwrap();
        let mut out = vec![9];
        assert!(!cache.get(&key, &mut out));
        cache.put(&key, &[1, 2, 3, 4]);
        assert!(!cache.get(&key, &mut out));
        cache.put(&key, &[1, 2, 3]);
        assert!(cache.get(&key, &mut out) && out == [9, 1, 2, 3]);
        assert!(!cache.get(&Key::new(b"whales").unwrap(), &mut out));
    }
}
