//! Training a byte-level BPE: words are counted while text is fed, then the most frequent pair of neighbours becomes a token, again and again (Sennrich
//! et al. 2016). Deterministic: of equally frequent pairs the one with the smaller ids wins, as in Hugging Face's BpeTrainer.

use crate::hash::Map;
use crate::split::Splitter;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// The byte of each of the first 256 ids: bytes that are printable in Latin-1 first, as in GPT-2's vocabulary, so that the order of ties is that of
/// trainers which sort the printable stand-ins of the bytes.
pub fn byte_order() -> [u8; 256] {
    let printable = |byte: &u8| matches!(byte, 33..=126 | 161..=172 | 174..=255);
    let mut order = [0; 256];
    let all = (0..=255u8).filter(printable).chain((0..=255u8).filter(|byte| !printable(byte)));
    for (slot, byte) in order.iter_mut().zip(all) {
        *slot = byte;
    }
    order
}

/// Counts words, then finds merges.
#[derive(Debug)]
pub struct Trainer {
    splitter: Splitter,
    words: Map<Box<[u8]>, u64>,
}

type Pair = (u32, u32);

/// The words as ids while merges are found.
struct Corpus {
    words: Vec<Vec<u32>>,
    counts: Vec<u64>,
    pairs: Map<Pair, PairInfo>,
    heap: BinaryHeap<(u64, Reverse<Pair>)>,
}

#[derive(Default)]
struct PairInfo {
    count: u64,
    /// Words that may hold the pair; ascending, perhaps more than do.
    words: Vec<u32>,
}

impl Trainer {
    /// A trainer that splits as the pattern says (see [`Splitter::new`]).
    pub fn new(pattern: &str) -> Result<Self, String> {
        Ok(Self { splitter: Splitter::new(pattern)?, words: Map::default() })
    }

    /// Counts the words of a text. Words do not reach over its ends.
    pub fn feed(&mut self, text: &str) -> Result<(), String> {
        let words = &mut self.words;
        self.splitter.split(text.as_bytes(), &mut |word| match words.get_mut(word) {
            Some(count) => *count += 1,
            None => {
                words.insert(word.into(), 1);
            }
        })
    }

    /// Merges as triples left, right, merged until there are `vocab_size` tokens or no pair occurs `min_frequency` times. Ids 0 to 255 are the bytes in
    /// [`byte_order`], and every merge makes the next id: no bytes are made twice. For a stretch of text that becomes one token is parted from what is
    /// around it until then, so equal stretches are merged in the same way at the same time.
    pub fn train(&self, vocab_size: u32, min_frequency: u32) -> Vec<u32> {
        let mut corpus = Corpus::new(&self.words);
        let mut merges = Vec::new();
        for id in 256..vocab_size {
            let Some(pair) = corpus.most_frequent(u64::from(min_frequency.max(1))) else { break };
            merges.extend([pair.0, pair.1, id]);
            corpus.merge(pair, id);
        }
        merges
    }
}

impl Corpus {
    fn new(words: &Map<Box<[u8]>, u64>) -> Self {
        let mut id_of = [0; 256];
        for (id, byte) in byte_order().into_iter().enumerate() {
            id_of[usize::from(byte)] = id as u32;
        }
        // In one order whatever the map's: lists of words are then equal from run to run.
        let mut sorted: Vec<(&Box<[u8]>, u64)> = words.iter().map(|(word, &count)| (word, count)).collect();
        sorted.sort_unstable();
        let mut corpus = Self {
            words: sorted.iter().map(|(word, _)| word.iter().map(|&byte| id_of[usize::from(byte)]).collect()).collect(),
            counts: sorted.iter().map(|&(_, count)| count).collect(),
            pairs: Map::default(),
            heap: BinaryHeap::new(),
        };
        for (at, word) in corpus.words.iter().enumerate() {
            for two in word.windows(2) {
                let info = corpus.pairs.entry((two[0], two[1])).or_default();
                info.count += corpus.counts[at];
                if info.words.last() != Some(&(at as u32)) {
                    info.words.push(at as u32);
                }
            }
        }
        corpus.heap = corpus.pairs.iter().map(|(&pair, info)| (info.count, Reverse(pair))).collect();
        corpus
    }

    /// The most frequent pair, the smaller one of equals. Entries of the heap are brought up to date when they come up.
    fn most_frequent(&mut self, least: u64) -> Option<Pair> {
        while let Some((count, Reverse(pair))) = self.heap.pop() {
            let now = self.pairs.get(&pair).map_or(0, |info| info.count);
            if now == count {
                return (count >= least).then_some(pair);
            }
            if now > 0 {
                self.heap.push((now, Reverse(pair)));
            }
        }
        None
    }

    /// Replaces a pair everywhere and counts its new neighbours.
    fn merge(&mut self, pair: Pair, id: u32) {
        let Some(info) = self.pairs.remove(&pair) else { return };
        let mut grown: Vec<Pair> = Vec::new();
        for at in info.words {
            let count = self.counts[at as usize];
            let word = &mut self.words[at as usize];
            let mut kept = 0; // symbols of the new word so far
            let mut read = 0;
            while read < word.len() {
                let here = read + 1 < word.len() && (word[read], word[read + 1]) == pair;
                if !here {
                    word[kept] = word[read];
                    kept += 1;
                    read += 1;
                    continue;
                }
                if kept > 0 {
                    let before = word[kept - 1];
                    change(&mut self.pairs, (before, pair.0), at, count, false);
                    change(&mut self.pairs, (before, id), at, count, true);
                    grown.push((before, id));
                }
                if read + 2 < word.len() {
                    let after = word[read + 2];
                    // What follows may be merged next: then this pair is taken back there.
                    change(&mut self.pairs, (pair.1, after), at, count, false);
                    change(&mut self.pairs, (id, after), at, count, true);
                    grown.push((id, after));
                }
                word[kept] = id;
                kept += 1;
                read += 2;
            }
            word.truncate(kept);
        }
        grown.sort_unstable();
        grown.dedup();
        for pair in grown {
            if let Some(info) = self.pairs.get(&pair).filter(|info| info.count > 0) {
                self.heap.push((info.count, Reverse(pair)));
            }
        }
    }
}

/// Adds a word's count to a pair or takes it away.
fn change(pairs: &mut Map<Pair, PairInfo>, pair: Pair, word: u32, count: u64, add: bool) {
    if add {
        let info = pairs.entry(pair).or_default();
        info.count += count;
        if info.words.last() != Some(&word) {
            info.words.push(word);
        }
    } else if let Some(info) = pairs.get_mut(&pair) {
        info.count = info.count.saturating_sub(count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition: count all pairs, merge the best everywhere, again.
    fn naive(words: &[(&str, u64)], vocab_size: usize, least: u64) -> Vec<Vec<u8>> {
        let id_of: Map<u8, u32> = byte_order().into_iter().zip(0..).collect();
        let mut corpus: Vec<(Vec<u32>, u64)> =
            words.iter().map(|(word, count)| (word.bytes().map(|byte| id_of[&byte]).collect(), *count)).collect();
        let mut tokens: Vec<Vec<u8>> = byte_order().iter().map(|&byte| vec![byte]).collect();
        while tokens.len() < vocab_size {
            let mut counts: Map<Pair, u64> = Map::default();
            for (word, count) in &corpus {
                for two in word.windows(2) {
                    *counts.entry((two[0], two[1])).or_default() += count;
                }
            }
            let Some((&pair, &count)) = counts.iter().max_by_key(|(&pair, &count)| (count, Reverse(pair))) else {
                break;
            };
            if count < least {
                break;
            }
            let bytes = [&tokens[pair.0 as usize][..], &tokens[pair.1 as usize][..]].concat();
            let id = tokens.iter().position(|known| *known == bytes).unwrap_or_else(|| {
                tokens.push(bytes);
                tokens.len() - 1
            }) as u32;
            for (word, _) in &mut corpus {
                let mut at = 0;
                while at + 1 < word.len() {
                    if (word[at], word[at + 1]) == pair {
                        word.splice(at..at + 2, [id]);
                    }
                    at += 1;
                }
            }
        }
        tokens
    }

    #[test]
    fn equals_the_definition() {
        let mut state = 7u32;
        let mut random = |n: u32| {
            state = state.wrapping_mul(1664525).wrapping_add(1013904223);
            (state >> 8) % n
        };
        for round in 0..40 {
            let mut text = String::new();
            for _ in 0..200 {
                for _ in 0..1 + random(8) {
                    text.push(char::from(b'a' + random(3) as u8));
                }
                text.push(' ');
            }
            let mut trainer = Trainer::new("R: ").unwrap();
            trainer.feed(&text).unwrap();
            let mut counts: Map<&str, u64> = Map::default();
            for word in text.split_whitespace() {
                *counts.entry(word).or_default() += 1;
            }
            let words: Vec<(&str, u64)> = counts.into_iter().collect();
            let least = 1 + u64::from(random(4));
            let merges = trainer.train(256 + 60, least as u32);
            let mut tokens: Vec<Vec<u8>> = byte_order().iter().map(|&byte| vec![byte]).collect();
            for merge in merges.chunks(3) {
                let bytes = [&tokens[merge[0] as usize][..], &tokens[merge[1] as usize][..]].concat();
                if merge[2] as usize == tokens.len() {
                    tokens.push(bytes);
                } else {
                    assert_eq!(tokens[merge[2] as usize], bytes);
                }
            }
            assert_eq!(tokens, naive(&words, 256 + 60, least), "round {round}");
        }
    }

    #[test]
    fn repeated_letters_and_small_frequencies() {
        let mut trainer = Trainer::new("").unwrap();
        trainer.feed("aaaaaaa").unwrap();
        assert_eq!(trainer.train(300, 2).len() / 3, 2); // aa, aaaa; then every pair occurs once
        assert!(trainer.train(256, 1).is_empty() && trainer.train(0, 1).is_empty());
        assert!(Trainer::new("").unwrap().train(1000, 1).is_empty());
    }
}
