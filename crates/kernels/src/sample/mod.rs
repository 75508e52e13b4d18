//! Draws one token per row of logits (opcode 33): temperature, then top-k, then top-p, as Hugging Face's warpers do, then one uniform
//! number from Philox(key = seed, counter = [draw, row, 0, 0]).
//!
//! - Temperature 0 (or below 1e-30) and `top_k = 1` take the largest logit, the lowest id among equals.
//! - `top_k` 0, or at least the vocabulary, is off; equals of the k-th largest are all kept.
//! - `top_p` 1 is off; otherwise the smallest set of the most probable tokens whose probability reaches p is kept, at least one token;
//!   among equals at its edge the lowest ids.
//! - What is filtered out, and what is −infinity, is never drawn. NaN, +infinity and rows without a finite logit are a
//!   [`FaultCode::NonFiniteLogits`] that names row and token.
//!
//! Thresholds are found by counting (`select.rs`), not by sorting: a few passes over the row and no memory beside the weights.

mod select;

use crate::lanes::{map1, maximum};
use crate::philox::philox4x32;
use crate::tile::{Fault, FaultCode, TileOp};
use crate::vecmath::Exp;
use select::{key, kth_largest, nucleus, Edge};
use simd::F32x4;

/// One token per row.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// `[rows, vocab]`
    pub logits: *const f32,
    /// `[rows]`
    pub out: *mut i32,
    /// Rows.
    pub rows: usize,
    /// Logits of a row.
    pub vocab: usize,
    /// Divides the logits; 0 is greedy.
    pub temperature: f64,
    /// How many of the largest logits are kept; 0 for all.
    pub top_k: u32,
    /// Probability that the kept tokens reach, in `[0, 1]`.
    pub top_p: f64,
    /// Low word of the seed.
    pub seed_lo: u32,
    /// High word of the seed.
    pub seed_hi: u32,
    /// Number of the draw.
    pub draw: u32,
}

impl TileOp for Sample {
    fn tiles(&self) -> usize {
        self.rows
    }

    fn scratch_len(&self) -> usize {
        self.vocab
    }

    unsafe fn run_tile(&self, tile: usize, scratch: *mut f32) -> Result<(), Fault> {
        // SAFETY: tile < rows; scratch holds vocab floats of our own.
        unsafe {
            let logits = core::slice::from_raw_parts(self.logits.add(tile * self.vocab), self.vocab);
            let weights = core::slice::from_raw_parts_mut(scratch, self.vocab);
            *self.out.add(tile) = self.row(logits, weights, tile)? as i32;
        }
        Ok(())
    }
}

impl Sample {
    fn row(&self, logits: &[f32], weights: &mut [f32], row: usize) -> Result<usize, Fault> {
        let fault = |value: usize| Fault { code: FaultCode::NonFiniteLogits, at: row as u32, value: value as i32 };
        if let Some(bad) = logits.iter().position(|v| v.is_nan() || *v == f32::INFINITY) {
            return Err(fault(bad));
        }
        // SAFETY: the slice holds that many floats.
        let max = unsafe { maximum(logits.as_ptr(), logits.len()) };
        if max == f32::NEG_INFINITY {
            return Err(fault(0));
        }
        let best = logits.iter().position(|&v| v == max).expect("the maximum is one of them");
        // Below 1e-30 the reciprocal would overflow f32, and any difference of logits would decide anyway.
        if self.temperature < 1e-30 || self.top_k == 1 {
            return Ok(best);
        }
        self.weigh(logits, weights, max);
        let edge = self.edge(logits, weights);
        Ok(self.draw(logits, weights, edge, row).unwrap_or(best))
    }

    /// `weights[i] = e^((logits[i] − max) / temperature)`.
    fn weigh(&self, logits: &[f32], weights: &mut [f32], max: f32) {
        weights.fill(0.0); // scratch may hold anything; a slice must not
        let (f, shift, factor) = (Exp::new(), F32x4::splat(max), F32x4::splat((1.0 / self.temperature) as f32));
        // SAFETY: both slices hold vocab floats and do not overlap.
        unsafe { map1(logits.as_ptr(), weights.as_mut_ptr(), logits.len(), |x| f.eval((x - shift) * factor)) };
    }

    /// Where the kept tokens end.
    fn edge(&self, logits: &[f32], weights: &[f32]) -> Edge {
        let mut edge = Edge::everything();
        let k = self.top_k as usize;
        if k > 0 && k < logits.len() {
            edge.key = kth_largest(logits, k);
        }
        if self.top_p < 1.0 {
            edge = nucleus(logits, weights, edge.key, self.top_p);
        }
        edge
    }

    /// Walks the kept tokens in order of id until their weight exceeds the drawn share of the total.
    fn draw(&self, logits: &[f32], weights: &[f32], mut edge: Edge, row: usize) -> Option<usize> {
        let kept = |edge: &mut Edge, i: usize| edge.keeps(key(logits[i])) && weights[i] > 0.0;
        let mut counting = edge;
        let total: f64 = (0..logits.len()).filter(|&i| kept(&mut counting, i)).map(|i| f64::from(weights[i])).sum();
        let target = self.uniform(row) * total;
        let (mut sum, mut last) = (0.0, None);
        for i in 0..logits.len() {
            if kept(&mut edge, i) {
                sum += f64::from(weights[i]);
                last = Some(i);
                if sum > target {
                    break;
                }
            }
        }
        last
    }

    /// Uniform in `[0, 1)` with 53 bits.
    fn uniform(&self, row: usize) -> f64 {
        let [a, b, _, _] = philox4x32([self.seed_lo, self.seed_hi], [self.draw, row as u32, 0, 0]);
        (f64::from(a >> 5) * 67_108_864.0 + f64::from(b >> 6)) * (1.0 / 9_007_199_254_740_992.0)
    }
}

#[cfg(test)]
mod tests;
