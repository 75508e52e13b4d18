//! The table of merges: which pair of neighbours becomes which token, and how early.

use crate::hash::mix;

/// A merge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Merge {
    /// Lower is earlier.
    pub rank: u32,
    /// The token it makes.
    pub id: u32,
}

const EMPTY: u64 = u64::MAX;

/// Pairs of tokens to merges, with open addressing: one probe finds most pairs that are not there.
#[derive(Debug)]
pub struct Pairs {
    entries: Vec<(u64, Merge)>,
    mask: usize,
}

fn key(left: u32, right: u32) -> u64 {
    u64::from(left) << 32 | u64::from(right)
}

impl Pairs {
    /// The table of triples left, right, merged in rank order. Of a pair named twice the earlier rank counts.
    pub fn new(triples: &[u32]) -> Self {
        let capacity = (triples.len() / 3 * 4).next_power_of_two().max(16);
        let mut pairs = Self { entries: vec![(EMPTY, Merge { rank: 0, id: 0 }); capacity], mask: capacity - 1 };
        for (rank, triple) in triples.chunks_exact(3).enumerate() {
            pairs.insert(key(triple[0], triple[1]), Merge { rank: rank as u32, id: triple[2] });
        }
        pairs
    }

    fn insert(&mut self, key: u64, merge: Merge) {
        let mut at = mix(key, 0) as usize & self.mask;
        while self.entries[at].0 != EMPTY && self.entries[at].0 != key {
            at = (at + 1) & self.mask;
        }
        if self.entries[at].0 == EMPTY {
            self.entries[at] = (key, merge);
        }
    }

    /// The merge of two neighbours.
    #[inline]
    pub fn get(&self, left: u32, right: u32) -> Option<Merge> {
        let key = key(left, right);
        let mut at = mix(key, 0) as usize & self.mask;
        loop {
            let (found, merge) = self.entries[at];
            if found == key {
                return Some(merge);
            }
            if found == EMPTY {
                return None;
            }
            at = (at + 1) & self.mask;
        }
    }
}
