//! Hashing for tables that are private to this crate: fast, not hardened. Tables whose keys come from a text are bounded (the cache of words) or grow
//! with the text (training), so a hostile text costs time at most.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// A map with the hash below.
pub type Map<K, V> = HashMap<K, V, BuildHasherDefault<Mix>>;

/// An odd number with bits all over it (2^64 divided by the golden ratio).
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// Multiplies and folds what it is given.
#[derive(Clone, Copy, Default)]
pub struct Mix(u64);

impl Mix {
    #[inline]
    fn add(&mut self, value: u64) {
        self.0 = (self.0.rotate_left(5) ^ value).wrapping_mul(GOLDEN);
    }
}

impl Hasher for Mix {
    fn finish(&self) -> u64 {
        self.0 ^ self.0 >> 32
    }

    fn write(&mut self, bytes: &[u8]) {
        for part in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..part.len()].copy_from_slice(part);
            self.add(u64::from_le_bytes(word));
        }
        self.add(bytes.len() as u64);
    }

    fn write_u32(&mut self, value: u32) {
        self.add(u64::from(value));
    }

    fn write_u64(&mut self, value: u64) {
        self.add(value);
    }

    fn write_usize(&mut self, value: usize) {
        self.add(value as u64);
    }

    fn write_u8(&mut self, value: u8) {
        self.add(u64::from(value));
    }
}

/// Two numbers mixed into one.
#[inline]
pub fn mix(a: u64, b: u64) -> u64 {
    let product = (a ^ b.rotate_left(29)).wrapping_mul(GOLDEN);
    let again = (product ^ product >> 32 ^ b).wrapping_mul(GOLDEN);
    again ^ again >> 29
}
