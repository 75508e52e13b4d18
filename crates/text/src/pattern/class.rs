//! A set of scalars made for asking quickly about the characters of UTF-8 text.

use crate::unicode::Set;

/// A set in two stages: blocks of 256 scalars, equal blocks stored once.
#[derive(Debug)]
pub struct Class {
    ascii: [u64; 2],
    block_of: Vec<u16>,
    blocks: Vec<[u64; 4]>,
}

impl Class {
    /// The set as a class.
    pub fn new(set: &Set) -> Self {
        let mut block_of = Vec::with_capacity(0x1100);
        let mut blocks: Vec<[u64; 4]> = vec![[0; 4], [u64::MAX; 4]];
        let mut at = 0;
        for block in 0..0x1100u32 {
            let (start, end) = (block << 8, block << 8 | 255);
            while at < set.0.len() && set.0[at].1 < start {
                at += 1;
            }
            let mut bits = [0u64; 4];
            for &(first, last) in set.0[at..].iter().take_while(|range| range.0 <= end) {
                for (word, base) in bits.iter_mut().zip((start..).step_by(64)) {
                    let (low, high) = (first.max(base), last.min(base | 63));
                    if low <= high {
                        *word |= u64::MAX >> (63 - (high - low)) << (low & 63);
                    }
                }
            }
            let known = blocks.iter().position(|other| *other == bits).unwrap_or_else(|| {
                blocks.push(bits);
                blocks.len() - 1
            });
            block_of.push(known as u16);
        }
        let first = blocks[block_of[0] as usize];
        Self { ascii: [first[0], first[1]], block_of, blocks }
    }

    /// Whether it holds a scalar.
    #[inline]
    pub fn contains(&self, scalar: u32) -> bool {
        let block = &self.blocks[self.block_of[(scalar >> 8) as usize] as usize];
        block[(scalar >> 6 & 3) as usize] >> (scalar & 63) & 1 != 0
    }

    /// The length in bytes of the character at `at` if the class holds it, else 0 (also at the end).
    #[inline(always)]
    pub fn step(&self, text: &[u8], at: usize) -> usize {
        match text.get(at) {
            None => 0,
            Some(&byte) if byte < 128 => (self.ascii[usize::from(byte >> 6)] >> (byte & 63) & 1) as usize,
            Some(_) => {
                let (scalar, length) = decode(text, at);
                if self.contains(scalar) {
                    length
                } else {
                    0
                }
            }
        }
    }
}

/// The scalar at `at` and its length. The text is UTF-8 and `at` a boundary within it.
#[inline]
pub fn decode(text: &[u8], at: usize) -> (u32, usize) {
    let byte = |i: usize| u32::from(*text.get(at + i).unwrap_or(&0)) & 63;
    match text[at] {
        lead @ 0..0x80 => (u32::from(lead), 1),
        lead @ 0x80..0xE0 => (u32::from(lead & 31) << 6 | byte(1), 2),
        lead @ 0xE0..0xF0 => (u32::from(lead & 15) << 12 | byte(1) << 6 | byte(2), 3),
        lead => ((u32::from(lead & 7) << 18 | byte(1) << 12 | byte(2) << 6 | byte(3)) & 0x1FFFFF, 4),
    }
}

/// Where the character before `at` begins.
#[inline]
pub fn previous(text: &[u8], at: usize) -> usize {
    let mut at = at - 1;
    while at > 0 && text[at] & 0xC0 == 0x80 {
        at -= 1;
    }
    at
}
