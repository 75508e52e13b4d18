//! Random bits that depend on nothing but their names: Philox4x32-10, a counter-based generator (Salmon, Moraes, Dror, Shaw,
//! "Parallel random numbers: as easy as 1, 2, 3", SC 2011). Any element can be drawn by any thread in any order.
//!
//! A [`Stream`] is the sequence of one place in one step: its sub-key is the first two words of
//! `philox(key = seed, counter = [step, micro, path_lo, path_hi])`, and element `i` owns word `i % 4` of
//! `philox(key = sub-key, counter = [i / 4, 0, 0, 0])`. [`Keep`] turns words into dropout's decisions.
//! What it is not: a cryptographic generator, and not a source of seeds.

use simd::{F32x4, I32x4};

const MULTIPLIERS: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
static SPLAT_MULTIPLIERS: [i32; 8] = {
    let [a, b] = [MULTIPLIERS[0] as i32, MULTIPLIERS[1] as i32];
    [a, a, a, a, b, b, b, b]
};
const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85]; // the key grows by these each round: golden ratio, sqrt(3) − 1
const ROUNDS: usize = 10;

/// The key of every round.
type Schedule = [[u32; 2]; ROUNDS];

fn schedule(key: [u32; 2]) -> Schedule {
    core::array::from_fn(|i| [0, 1].map(|w| key[w].wrapping_add((i as u32).wrapping_mul(WEYL[w]))))
}

/// The four words of one counter under one key.
pub fn philox4x32(key: [u32; 2], counter: [u32; 4]) -> [u32; 4] {
    rounds(&schedule(key), counter)
}

#[inline]
fn rounds(keys: &Schedule, counter: [u32; 4]) -> [u32; 4] {
    let [mut c0, mut c1, mut c2, mut c3] = counter;
    for key in keys {
        let a = MULTIPLIERS[0] as u64 * c0 as u64;
        let b = MULTIPLIERS[1] as u64 * c2 as u64;
        (c0, c2) = ((b >> 32) as u32 ^ c1 ^ key[0], (a >> 32) as u32 ^ c3 ^ key[1]);
        (c1, c3) = (b as u32, a as u32);
    }
    [c0, c1, c2, c3]
}

/// Uniform in `[0, 1)` from the upper 24 bits of a word; every value is exact in f32.
#[inline(always)]
pub fn uniform24(word: u32) -> f32 {
    (word >> 8) as f32 * (1.0 / 16_777_216.0)
}

/// The words of one place: see the head of this file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stream {
    keys: Schedule,
}

impl Stream {
    /// The stream of a module (`path`: FNV-1a 64 of its name, low word first) in one optimizer step and micro-batch.
    /// `seed` is low word first.
    pub fn new(seed: [u32; 2], step: u32, micro: u32, path: [u32; 2]) -> Self {
        let [a, b, _, _] = philox4x32(seed, [step, micro, path[0], path[1]]);
        Self { keys: schedule([a, b]) }
    }

    /// The words of elements `4·block .. 4·block + 4`.
    #[inline]
    pub fn block(&self, block: u64) -> [u32; 4] {
        rounds(&self.keys, [block as u32, (block >> 32) as u32, 0, 0])
    }

    /// The word of element `i`. Draw whole blocks where more than one word of a block is needed.
    #[inline]
    pub fn word(&self, i: u64) -> u32 {
        self.block(i / 4)[(i % 4) as usize]
    }

    /// The words of elements `4·first .. 4·first + 16·G`, four per vector, in order. Each round waits for the one before, so two groups
    /// of four counters at a time take little longer than one.
    #[inline(always)]
    pub fn blocks<const G: usize>(&self, first: u64) -> [[I32x4; 4]; G] {
        // Lane j of words 0..3 of group g belongs to block first + 4g + j.
        let mut state: [[I32x4; 4]; G] = core::array::from_fn(|g| {
            let lane = [0, 1, 2, 3].map(|j| first.wrapping_add(4 * g as u64 + j));
            let words = [lane.map(|l| l as i32), lane.map(|l| (l >> 32) as i32), [0; 4], [0; 4]];
            words.map(I32x4::from_array)
        });
        for key in &self.keys {
            // Through an opaque pointer: LLVM would widen constant multipliers ahead of the loop, and the plain 64-bit product that
            // remains costs three times the widening one.
            let multipliers = core::hint::black_box(SPLAT_MULTIPLIERS.as_ptr());
            // SAFETY: the table holds two vectors.
            let (m0, m1) = unsafe { (I32x4::load(multipliers), I32x4::load(multipliers.add(4))) };
            let (k0, k1) = (I32x4::splat(key[0] as i32), I32x4::splat(key[1] as i32));
            for words in &mut state {
                let [c0, c1, c2, c3] = *words;
                let (a_hi, a_lo) = c0.mul_wide_u(m0);
                let (b_hi, b_lo) = c2.mul_wide_u(m1);
                *words = [b_hi ^ c1 ^ k0, b_lo, a_hi ^ c3 ^ k1, a_lo];
            }
        }
        state.map(|words| F32x4::transpose4(words.map(F32x4::from_bits)).map(F32x4::to_bits))
    }
}

/// Dropout's decisions: element `i` is kept when `(word >> 8)·2⁻²⁴ >= p`, and is then worth `1 / (1 − p)`.
#[derive(Clone, Copy, Debug)]
pub struct Keep {
    stream: Stream,
    threshold: i32, // smallest kept value of word >> 8; 0..=2^24
    scale: f32,
}

impl Keep {
    /// Decisions for probability `p` in `[0, 1]` of dropping. With `p = 1` nothing is kept.
    pub fn new(p: f32, stream: Stream) -> Self {
        // p·2^24 is exact in f64; an integer reaches p exactly from the next whole number up.
        let threshold = (p as f64 * 16_777_216.0).ceil() as i32;
        let scale = if p < 1.0 { (1.0 / (1.0 - p as f64)) as f32 } else { 0.0 };
        Self { stream, threshold, scale }
    }

    /// What a kept element is multiplied by: `1 / (1 − p)`, rounded once.
    #[inline(always)]
    pub fn scale(&self) -> f32 {
        self.scale
    }

    /// The factor, 0 or [`Keep::scale`], of element `i`.
    #[inline]
    pub fn factor(&self, i: u64) -> f32 {
        if ((self.stream.word(i) >> 8) as i32) < self.threshold {
            0.0
        } else {
            self.scale
        }
    }

    /// The factors of elements `4·block .. 4·block + 4`.
    #[inline]
    pub fn factors4(&self, block: u64) -> F32x4 {
        let [a, b, c, d] = self.stream.block(block);
        self.decide(I32x4::from_array([a as i32, b as i32, c as i32, d as i32]))
    }

    /// The factors of elements `4·first .. 4·first + 16`.
    #[inline(always)]
    pub fn factors16(&self, first: u64) -> [F32x4; 4] {
        let [words] = self.stream.blocks::<1>(first);
        words.map(|words| self.decide(words))
    }

    /// The factors of elements `4·first .. 4·first + 32`.
    #[inline(always)]
    pub fn factors32(&self, first: u64) -> [[F32x4; 4]; 2] {
        self.stream.blocks::<2>(first).map(|group| group.map(|words| self.decide(words)))
    }

    #[inline(always)]
    fn decide(&self, words: I32x4) -> F32x4 {
        let dropped = words.shr_u(8).lt(I32x4::splat(self.threshold));
        F32x4::from_bits(F32x4::splat(self.scale).to_bits() & !dropped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::Cases;

    #[test]
    fn known_answers_of_the_paper() {
        // kat_vectors of Random123: zeros, ones, and the digits of pi.
        let mut cases = Cases::new();
        let all = u32::MAX;
        let pi = [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344];
        for (key, counter, want) in [
            ([0, 0], [0; 4], [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]),
            ([all, all], [all; 4], [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]),
            ([0xa409_3822, 0x299f_31d0], pi, [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]),
        ] {
            let got = philox4x32(key, counter);
            let result = if got == want { Ok(()) } else { Err(format!("got {got:x?}, want {want:x?}")) };
            cases.check(|| format!("key {key:x?} counter {counter:x?}"), result);
        }
        cases.finish();
    }

    #[test]
    fn blocks_at_once_equal_single_blocks_and_single_words() {
        let stream = Stream::new([42, 7], 3, 1, [0xDEAD_BEEF, 0x0123_4567]);
        let mut cases = Cases::new();
        for first in [0u64, 1, 5, 1 << 20, 0xFFFF_FFFE, (7 << 32) + 3] {
            let groups = stream.blocks::<2>(first);
            for j in 0..8 {
                let want = stream.block(first + j as u64);
                let got = groups[j / 4][j % 4].to_array().map(|x| x as u32);
                let single = [0, 1, 2, 3].map(|l| stream.word((first + j as u64) * 4 + l));
                let ok = got == want && single == want;
                let result = if ok { Ok(()) } else { Err(format!("{got:x?} {single:x?} want {want:x?}")) };
                cases.check(|| format!("block {first} + {j}"), result);
            }
        }
        cases.finish();
    }

    #[test]
    fn every_part_of_the_name_changes_the_stream() {
        let base = Stream::new([1, 2], 3, 4, [5, 6]);
        for other in [
            Stream::new([2, 2], 3, 4, [5, 6]),
            Stream::new([1, 3], 3, 4, [5, 6]),
            Stream::new([1, 2], 4, 4, [5, 6]),
            Stream::new([1, 2], 3, 5, [5, 6]),
            Stream::new([1, 2], 3, 4, [6, 6]),
            Stream::new([1, 2], 3, 4, [5, 7]),
        ] {
            assert_ne!(base, other);
            assert_ne!(base.block(0), other.block(0));
        }
        assert_eq!(base, Stream::new([1, 2], 3, 4, [5, 6]));
    }

    #[test]
    fn decisions_follow_the_rule_at_the_edges_of_p() {
        let stream = Stream::new([9, 9], 0, 0, [1, 1]);
        for p in [0.0f32, 1e-9, 0.1, 0.5, 0.9, 1.0 - f32::EPSILON / 2.0, 1.0] {
            let keep = Keep::new(p, stream);
            let wide = keep.factors16(10);
            for i in 0..16u64 {
                let kept = uniform24(stream.word(40 + i)) >= p;
                let want = if kept { (1.0 / (1.0 - p as f64)) as f32 } else { 0.0 };
                assert_eq!(keep.factor(40 + i), want, "p {p} element {i}");
                assert_eq!(wide[i as usize / 4].to_array()[i as usize % 4], want, "p {p} element {i}");
                assert_eq!(keep.factors4(10 + i / 4).to_array()[i as usize % 4], want);
            }
        }
    }
}
