//! Rotary positions (Su et al., arXiv:2104.09864; opcode 44), with the halves of a head paired as Llama in transformers does, and the
//! table of their cosines and sines.

use crate::lanes::{load, pair, range, rows_per_tile, store, store_pair};
use crate::position::{check, index_at};
use crate::scalar_math;
use crate::tile::{blocks, Fault, TileOp};
use simd::F32x4;

/// Turns the first `heads` heads of every row by the angles of its position: with `a` and `b` the halves of a head,
/// `a·cos − b·sin` and `b·cos + a·sin`; what follows them in a row is copied. Backward is the inverse turn. `out` may be `x`.
/// A position beyond the table is a [`crate::FaultCode::PositionOutOfRange`].
#[derive(Clone, Copy, Debug)]
pub struct Rotary {
    /// `[batch, time, cols]`
    pub x: *const f32,
    /// `[table_rows, head_dim]`: the cosines of a position's angles, then their sines.
    pub table: *const f32,
    /// `[batch]`: the position of each sequence's first step, or null (`position`)
    pub positions: *const i32,
    /// `[batch, time, cols]`
    pub out: *mut f32,
    /// Sequences.
    pub batch: usize,
    /// Steps of a sequence.
    pub time: usize,
    /// Features of a row; at least `heads·head_dim`.
    pub cols: usize,
    /// Position of the first step.
    pub position: usize,
    /// Rows of the table.
    pub table_rows: usize,
    /// Heads that are turned.
    pub heads: usize,
    /// Width of a head; even.
    pub head_dim: usize,
    /// Whether they are turned back.
    pub inverse: bool,
}

impl TileOp for Rotary {
    fn tiles(&self) -> usize {
        blocks(self.batch * self.time, rows_per_tile(self.cols))
    }

    fn scratch_len(&self) -> usize {
        0
    }

    unsafe fn run_tile(&self, tile: usize, _scratch: *mut f32) -> Result<(), Fault> {
        check(self.position, self.time, self.table_rows)?;
        let (first, last) = range(tile, rows_per_tile(self.cols), self.batch * self.time);
        let (limit, turned) = (self.table_rows + 1 - self.time, self.heads * self.head_dim);
        for row in first..last {
            // SAFETY: row < batch·time, the table's row is one of table_rows as checked.
            unsafe {
                let table_row = index_at(self.positions, row / self.time, self.position, limit)? + row % self.time;
                let (x, out) = (self.x.add(row * self.cols), self.out.add(row * self.cols));
                self.turn(x, self.table.add(table_row * self.head_dim), out);
                if !core::ptr::eq(x, out) {
                    core::ptr::copy_nonoverlapping(x.add(turned), out.add(turned), self.cols - turned);
                }
            }
        }
        Ok(())
    }
}

impl Rotary {
    /// One row. Products and sums are rounded one by one, as PyTorch's are.
    ///
    /// # Safety
    /// `x` and `out`, equal or apart, valid for the heads, `table` for one head.
    #[inline(never)]
    unsafe fn turn(&self, x: *const f32, table: *const f32, out: *mut f32) {
        let half = self.head_dim / 2;
        let sign = F32x4::splat(if self.inverse { -1.0 } else { 1.0 });
        for head in 0..self.heads {
            // SAFETY (whole body): i + 8 <= half or partial up to it; both halves of each head, of cosines and sines.
            unsafe {
                let (a, b) = (x.add(head * self.head_dim), x.add(head * self.head_dim + half));
                let (to_a, to_b) = (out.add(head * self.head_dim), out.add(head * self.head_dim + half));
                let (cosines, sines) = (table, table.add(half));
                let mut i = 0;
                while i + 8 <= half {
                    let ((a0, a1), (b0, b1)) = (pair(a.add(i)), pair(b.add(i)));
                    let ((c0, c1), (s0, s1)) = (pair(cosines.add(i)), pair(sines.add(i)));
                    let (s0, s1) = (s0 * sign, s1 * sign);
                    store_pair(a0 * c0 - b0 * s0, a1 * c1 - b1 * s1, to_a.add(i));
                    store_pair(b0 * c0 + a0 * s0, b1 * c1 + a1 * s1, to_b.add(i));
                    i += 8;
                }
                while i < half {
                    let m = (half - i).min(4);
                    let (a, b) = (load(a.add(i), m), load(b.add(i), m));
                    let (c, s) = (load(cosines.add(i), m), load(sines.add(i), m) * sign);
                    store(a * c - b * s, to_a.add(i), m);
                    store(b * c + a * s, to_b.add(i), m);
                    i += m;
                }
            }
        }
    }
}

/// How the frequencies of a table are changed for contexts longer than those of training.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RotaryScaling {
    /// All divided by a factor; 1 leaves them as they are.
    Linear {
        /// The factor.
        factor: f32,
    },
    /// Llama 3.1's: those whose wave is longer than `original ÷ low` are divided by `factor`, those shorter than `original ÷ high` stay,
    /// between the two it goes from one to the other.
    Llama3 {
        /// The factor.
        factor: f32,
        /// Waves in the original context below which a frequency is divided in full.
        low: f32,
        /// Waves above which it stays.
        high: f32,
        /// Positions of the original context.
        original: f32,
    },
}

/// Frequency `i` of a head of `width`: what transformers computes, with its order of roundings to f32 (`1 ÷ x` and `c ÷ x` are the
/// reciprocal, times c).
fn frequency(i: usize, width: usize, base: f64, scaling: RotaryScaling) -> f32 {
    let exponent = f64::from((2 * i) as f32 / width as f32);
    let plain = 1.0 / scalar_math::exp(exponent * scalar_math::ln(f64::from(base as f32))) as f32;
    match scaling {
        RotaryScaling::Linear { factor } => plain / factor,
        RotaryScaling::Llama3 { factor, low, high, original } => {
            let wave = 1.0 / plain * core::f64::consts::TAU as f32;
            if wave > original / low {
                return plain / factor;
            }
            if wave < original / high {
                return plain;
            }
            let smooth = (1.0 / wave * original - low) / (high - low);
            (1.0 - smooth) * plain / factor + smooth * plain
        }
    }
}

/// The table of [`Rotary`], `[out.len() / width, width]`: `out[p, i] = cos(p·f_i)`, `out[p, width/2 + i] = sin(p·f_i)` with
/// `f_i = base^(−2i/width)`, scaled. Frequencies and angles are f32 (as a model was trained with them in PyTorch), their cosines and
/// sines correct to the last digit; the same bits on every engine. # Panics if `width` is odd or does not divide the length.
pub fn fill_rotary(out: &mut [f32], width: usize, base: f64, scaling: RotaryScaling) {
    assert!(width > 0 && width.is_multiple_of(2), "rotary table: the width must be even");
    assert!(out.len().is_multiple_of(width), "rotary table: the length must be rows of the width");
    for i in 0..width / 2 {
        let frequency = frequency(i, width, base, scaling);
        for (p, row) in out.chunks_exact_mut(width).enumerate() {
            let (sine, cosine) = scalar_math::sin_cos(f64::from(p as f32 * frequency));
            (row[i], row[width / 2 + i]) = (cosine as f32, sine as f32);
        }
    }
}

#[cfg(test)]
mod tests;
