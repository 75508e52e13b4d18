//! Draws one token per row of logits (opcode 33), with everything that decides it inside: penalties, bans and biases (`rules.rs`), then
//! temperature, top-k, top-p, min-p in Hugging Face's order, then one uniform number from Philox(key = seed + row, counter =
//! [draw, 0, 0, 0]). So row r of a batch draws what a single row does under seed + r.
//!
//! - Temperature 0 (or below 1e-30) and `top_k = 1` take the largest logit, the lowest id among equals.
//! - `top_k` 0, or at least the vocabulary, is off; equals of the k-th largest are all kept.
//! - `top_p` 1 is off; otherwise the smallest set of the most probable tokens whose probability reaches p is kept, at least one token;
//!   among equals at its edge the lowest ids.
//! - `min_p` 0 is off; otherwise tokens less than `min_p` times as probable as the likeliest are left out.
//! - What is filtered out, and what is −infinity, is never drawn. NaN, +infinity and rows without a finite logit are a
//!   [`FaultCode::NonFiniteLogits`] that names row and token.
//! - A row that has drawn an end id is finished: it gives that id again, and nothing of it changes.
//! - The report of a row is `[id, log-probability]` and then `top_n` pairs `[id, log-probability]`, likeliest first. These come from
//!   the logits as they are given, before rules and temperature; numbers are stored as their bits.
//!
//! Thresholds are found by counting (`select.rs`) among the candidates that a bound leaves, not by sorting.

pub mod beam;
mod rules;
mod select;

use crate::lanes::{load, map1, sums};
use crate::philox::philox4x32;
use crate::softmax::log_sum_exp;
use crate::tile::{Fault, FaultCode, TileOp};
use crate::vecmath::Exp;
pub use rules::{Rules, HISTORY, IN_PROMPT, STATE};
use select::{block_maxima, collect, key, kth_largest, largest, nucleus, top_bound, Edge, BLOCK};
use simd::F32x4;

/// One token per row.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// `[rows, stride]`, of which the first `vocab` of each row can be drawn.
    pub logits: *const f32,
    /// `[rows]`; null: the rows have no positions.
    pub positions: *mut i32,
    /// `[rows]`
    pub out: *mut i32,
    /// `[rows, columns]`; null: nobody wants one.
    pub report: *mut i32,
    /// Rows.
    pub rows: usize,
    /// Elements from one row of logits to the next.
    pub stride: usize,
    /// Words of a row's report, at least 2.
    pub columns: usize,
    /// What changes the logits first.
    pub rules: Rules,
    /// Divides the logits; 0 is greedy.
    pub temperature: f64,
    /// How many of the largest logits are kept; 0 for all.
    pub top_k: u32,
    /// Probability that the kept tokens reach, in `[0, 1]`.
    pub top_p: f64,
    /// Least probability relative to the likeliest token's, in `[0, 1]`.
    pub min_p: f64,
    /// Pairs of the report.
    pub top_n: u32,
    /// Low word of the seed.
    pub seed_lo: u32,
    /// High word of the seed.
    pub seed_hi: u32,
}

impl TileOp for Sample {
    fn tiles(&self) -> usize {
        self.rows
    }

    fn scratch_len(&self) -> usize {
        scratch_len(self.rules.vocab)
    }

    unsafe fn run_tile(&self, tile: usize, scratch: *mut f32) -> Result<(), Fault> {
        // SAFETY: tile < rows; scratch is ours and as long as asked.
        unsafe {
            if let Some(id) = self.rules.finished(tile) {
                *self.out.add(tile) = id;
                self.tell(tile, id, 0.0);
                return Ok(());
            }
            let logits = core::slice::from_raw_parts(self.logits.add(tile * self.stride), self.rules.vocab);
            let mut room = Room::new(scratch, self.rules.vocab);
            check(logits, tile)?;
            self.rules.apply(logits, room.x, tile);
            let token = self.choose(&mut room, tile)?;
            *self.out.add(tile) = token as i32;
            if !self.report.is_null() {
                let (max, rest) = log_sum_exp(logits.as_ptr(), logits.len());
                let log_z = f64::from(max) + rest;
                self.tell(tile, token as i32, (f64::from(logits[token]) - log_z) as f32);
                let pairs = (self.columns - 2) / 2;
                let report = self.report.add(tile * self.columns + 2);
                best_of(logits, &mut room, (self.top_n as usize).min(pairs), -log_z, report);
            }
            self.rules.push(tile, token as i32);
            self.rules.finish(tile, token as i32);
            if !self.positions.is_null() {
                let position = self.positions.add(tile);
                *position = (*position).wrapping_add(1);
            }
        }
        Ok(())
    }
}

/// What one row needs beside its operands.
pub(crate) struct Room<'a> {
    /// `[vocab]`: the logits after the rules; later those of the candidates.
    pub x: &'a mut [f32],
    /// `[vocab]`: e^((x − max) / temperature).
    weights: &'a mut [f32],
    /// `[vocab]`: ids of the candidates, ascending.
    list: &'a mut [u32],
    /// `[⌈vocab / 64⌉]`
    maxima: &'a mut [f32],
}

/// Floats of a [`Room`].
pub(crate) fn scratch_len(vocab: usize) -> usize {
    3 * vocab + vocab.div_ceil(BLOCK)
}

impl<'a> Room<'a> {
    /// # Safety
    /// `scratch` is valid for `scratch_len(vocab)` floats, of any contents, that nobody else uses while the room lives.
    pub unsafe fn new(scratch: *mut f32, vocab: usize) -> Self {
        // SAFETY: the parts follow each other; each is written before it is read.
        unsafe {
            let part = |at: usize, n: usize| core::slice::from_raw_parts_mut(scratch.add(at), n);
            Self {
                x: part(0, vocab),
                weights: part(vocab, vocab),
                list: core::slice::from_raw_parts_mut(scratch.add(2 * vocab).cast(), vocab),
                maxima: part(3 * vocab, vocab.div_ceil(BLOCK)),
            }
        }
    }

    /// Keeps, of the first `n` candidates, those that `keep(x, weight)` wants; gives their number. Without a list yet, candidate i is id i.
    fn retain(&mut self, n: usize, listed: bool, mut keep: impl FnMut(f32, f32) -> bool) -> usize {
        let mut kept = 0;
        for i in 0..n {
            let (x, weight) = (self.x[i], self.weights[i]);
            if keep(x, weight) {
                (self.x[kept], self.weights[kept]) = (x, weight);
                self.list[kept] = if listed { self.list[i] } else { i as u32 };
                kept += 1;
            }
        }
        kept
    }

    /// Moves what the list names to the front.
    fn compact(&mut self, n: usize) {
        for i in 0..n {
            let id = self.list[i] as usize; // at least i
            (self.x[i], self.weights[i]) = (self.x[id], self.weights[id]);
        }
    }

    /// `weights[i] = e^((x[i] − max) / temperature)` for the first `n`.
    fn weigh(&mut self, n: usize, max: f32, temperature: f64) {
        let (f, shift, factor) = (Exp::new(), F32x4::splat(max), F32x4::splat((1.0 / temperature) as f32));
        // SAFETY: both slices hold n floats and do not overlap.
        unsafe {
            map1(self.x[..n].as_ptr(), self.weights[..n].as_mut_ptr(), n, |x| f.eval_below((x - shift) * factor))
        };
    }

    /// Sum of the weights `from .. to`.
    #[inline(never)]
    fn sum(&self, from: usize, to: usize) -> f64 {
        let part = &self.weights[from..to];
        // SAFETY: i + m <= part.len().
        let [sum] = sums(part.len(), |i, m| [unsafe { load(part.as_ptr().add(i), m) }]);
        sum
    }
}

/// A fault unless all logits are below +infinity and numbers.
pub(crate) fn check(logits: &[f32], row: usize) -> Result<(), Fault> {
    let infinity = F32x4::splat(f32::INFINITY);
    let whole = logits.len() & !3;
    // SAFETY: i + 4 <= len.
    let vectors = (0..whole)
        .step_by(4)
        .fold(infinity.eq(infinity), |good, i| unsafe { good & F32x4::load(logits.as_ptr().add(i)).lt(infinity) });
    let good = |v: &f32| *v < f32::INFINITY;
    if vectors.all() && logits[whole..].iter().all(good) {
        return Ok(());
    }
    let value = logits.iter().position(|v| !good(v)).unwrap_or(0) as i32;
    Err(Fault { code: FaultCode::NonFiniteLogits, at: row as u32, value })
}

/// Writes the `n` largest of `x` as pairs `[id, bits of x + shift]`, the lowest ids first among equals.
///
/// # Safety
/// `pairs` is valid for `2 n` words.
#[inline(never)]
pub(crate) unsafe fn best_of(x: &[f32], room: &mut Room<'_>, n: usize, shift: f64, pairs: *mut i32) {
    if n == 0 {
        return;
    }
    block_maxima(x, room.maxima);
    let candidates = collect(x, room.maxima, top_bound(room.maxima, n), room.list);
    // SAFETY: as the caller says.
    let pairs = unsafe { core::slice::from_raw_parts_mut(pairs, 2 * n) };
    let mut found = 0;
    for &id in &room.list[..candidates] {
        let value = x[id as usize];
        let mut at = found;
        while at > 0 && x[pairs[2 * at - 2] as usize] < value {
            at -= 1;
        }
        if at < n {
            found = (found + 1).min(n);
            pairs.copy_within(2 * at..2 * found - 2, 2 * at + 2);
            pairs[2 * at] = id as i32;
        }
    }
    for pair in pairs[..2 * found].chunks_exact_mut(2) {
        pair[1] = ((f64::from(x[pair[0] as usize]) + shift) as f32).to_bits() as i32;
    }
    for pair in pairs[2 * found..].chunks_exact_mut(2) {
        pair.copy_from_slice(&[-1, f32::NEG_INFINITY.to_bits() as i32]);
    }
}

impl Sample {
    /// Begins a row's report; all its pairs are empty.
    ///
    /// # Safety
    /// `row < rows`.
    unsafe fn tell(&self, row: usize, id: i32, log_probability: f32) {
        if !self.report.is_null() {
            // SAFETY: the row has that many words.
            let report = unsafe { core::slice::from_raw_parts_mut(self.report.add(row * self.columns), self.columns) };
            report.fill(-1);
            (report[0], report[1]) = (id, log_probability.to_bits() as i32);
        }
    }

    fn choose(&self, room: &mut Room<'_>, row: usize) -> Result<usize, Fault> {
        let max = block_maxima(room.x, room.maxima);
        if !max.is_finite() {
            return Err(Fault { code: FaultCode::NonFiniteLogits, at: row as u32, value: 0 });
        }
        // Below 1e-30 the reciprocal would overflow f32, and any difference of logits would decide anyway.
        if self.temperature < 1e-30 || self.top_k == 1 {
            return Ok(largest(room.x, room.maxima, max));
        }
        let best = largest(room.x, room.maxima, max);
        let (n, listed) = self.filter(room, max);
        let target = self.uniform(row) * room.sum(0, n);
        Ok(walk(room, n, target).map_or(best, |i| if listed { room.list[i] as usize } else { i }))
    }

    /// Leaves the tokens that may be drawn as the first candidates: how many, and whether the list names them.
    fn filter(&self, room: &mut Room<'_>, max: f32) -> (usize, bool) {
        let (mut n, mut listed) = (room.x.len(), false);
        let k = self.top_k as usize;
        if k > 0 && k < n {
            n = collect(room.x, room.maxima, top_bound(room.maxima, k), room.list);
            room.compact(n);
            listed = true;
            if n > k {
                let least = kth_largest(&room.x[..n], k);
                n = room.retain(n, true, |x, _| key(x) >= least);
            }
        }
        room.weigh(n, max, self.temperature);
        if self.top_p < 1.0 {
            let target = self.top_p * room.sum(0, n);
            if !listed {
                n = self.heavy(room, max, target);
                listed = true;
            }
            let mut edge: Edge = nucleus(&room.x[..n], &room.weights[..n], target);
            n = room.retain(n, true, |x, _| edge.keeps(key(x)));
        }
        if self.min_p > 0.0 {
            let least = self.min_p as f32;
            n = room.retain(n, listed, |_, weight| weight >= least);
            listed = true;
        }
        (n, listed)
    }

    /// Lists the heaviest tokens, by guessing a bound, until they weigh at least `target` together.
    fn heavy(&self, room: &mut Room<'_>, max: f32, target: f64) -> usize {
        for reach in [8.0, 16.0, f64::INFINITY] {
            let bound = (f64::from(max) - reach * self.temperature) as f32;
            let n = collect(room.x, room.maxima, bound.max(f32::MIN), room.list);
            let mass: f64 = room.list[..n].iter().map(|&id| f64::from(room.weights[id as usize])).sum();
            // A little more than the target, so that rounding cannot push the edge beyond the list.
            if mass > target * (1.0 + 1e-6) || reach == f64::INFINITY {
                room.compact(n);
                return n;
            }
        }
        0
    }

    /// Uniform in `[0, 1)` with 53 bits.
    fn uniform(&self, row: usize) -> f64 {
        let (seed_lo, carry) = self.seed_lo.overflowing_add(row as u32);
        let seed = [seed_lo, self.seed_hi.wrapping_add(u32::from(carry))];
        let [a, b, _, _] = philox4x32(seed, [self.rules.draw, 0, 0, 0]);
        (f64::from(a >> 5) * 67_108_864.0 + f64::from(b >> 6)) * (1.0 / 9_007_199_254_740_992.0)
    }
}

/// Walks the candidates in order until their weight exceeds the target; the last one with any weight where rounding keeps it out of reach.
fn walk(room: &Room<'_>, n: usize, target: f64) -> Option<usize> {
    let (mut sum, mut last, mut from) = (0.0, None, 0);
    while from < n {
        let to = (from + BLOCK).min(n);
        let part = room.sum(from, to);
        if part > 0.0 {
            let over = sum + part > target;
            // Beyond this block nothing may have weight: its last weighty candidate is remembered.
            let mut inside = sum;
            for i in from..to {
                let weight = room.weights[i];
                if weight > 0.0 {
                    last = Some(i);
                    inside += f64::from(weight);
                    if over && inside > target {
                        return last;
                    }
                }
            }
            if over {
                return last;
            }
            sum += part;
        }
        from = to;
    }
    last
}

#[cfg(test)]
mod tests;
