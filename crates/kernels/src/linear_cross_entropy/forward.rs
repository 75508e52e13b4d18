//! Loss and log_z by blocks of rows: the log-sum-exp is carried from block to block of words (online: Milakov and Gimelshein,
//! arXiv:1805.02867).

use super::block::{Columns, Head, WORDS};
use crate::scalar_math;
use crate::tile::{Fault, TileOp};
use crate::vecmath::Exp;
use simd::{F32x4, LANES};

/// Arguments of the fused loss. Layouts: [`super::HeadDims`].
#[derive(Clone, Copy, Debug)]
pub struct LinearCrossEntropy {
    /// `[rows, cols]`
    pub x: *const f32,
    /// `[vocab, cols]`
    pub w: *const f32,
    /// `[rows]`
    pub labels: *const i32,
    /// `[rows]`, written
    pub loss: *mut f32,
    /// `[rows]`, written: ln Σ e^logit, 0 for an ignored row
    pub log_z: *mut f32,
    /// Rows of x.
    pub rows: usize,
    /// Rows of w.
    pub vocab: usize,
    /// Width of x and w.
    pub cols: usize,
    /// The label that does not count.
    pub ignore: i32,
}

impl LinearCrossEntropy {
    fn head(&self) -> Head {
        let Self { x, w, labels, rows, vocab, cols, ignore, .. } = *self;
        Head { x, w, labels, rows, vocab, cols, ignore }
    }
}

impl TileOp for LinearCrossEntropy {
    fn tiles(&self) -> usize {
        self.rows.div_ceil(self.head().row_block())
    }

    fn scratch_len(&self) -> usize {
        let most = self.head().row_block();
        Columns::scratch_len(most, self.cols) + WORDS.min(self.vocab) * most + Carried::scratch_len(most)
    }

    unsafe fn run_tile(&self, tile: usize, scratch: *mut f32) -> Result<(), Fault> {
        let head = self.head();
        let most = head.row_block();
        let first = tile * most;
        let n = most.min(self.rows - first);
        // SAFETY: rows of this tile; scratch divided as scratch_len counts.
        unsafe {
            for row in first..first + n {
                (*self.loss.add(row), *self.log_z.add(row)) = (0.0, 0.0);
            }
            let columns = Columns::collect(&head, first, n, most, scratch)?;
            let logits = scratch.add(Columns::scratch_len(most, self.cols));
            let mut carried = Carried::begin(&columns, logits.add(WORDS.min(self.vocab) * most));
            for word in (0..self.vocab).step_by(WORDS) {
                let words = WORDS.min(self.vocab - word);
                columns.logits(&head, word, words, logits);
                carried.add(&columns, words, logits);
                for c in 0..columns.count {
                    let label = *self.labels.add(columns.row(c)) as usize;
                    if (word..word + words).contains(&label) {
                        *carried.at_label.add(c) = *logits.add((label - word) * columns.stride + c);
                    }
                }
            }
            for c in 0..columns.count {
                let row = columns.row(c);
                (*self.loss.add(row), *self.log_z.add(row)) = carried.finish(c);
            }
        }
        Ok(())
    }
}

/// Per column: the largest logit so far, the sum of `e^(logit − largest)` in two halves of an f64, and the label's logit.
struct Carried {
    largest: *mut f32,
    at_label: *mut f32,
    /// One f64 per column, stored as two words because scratch is only 4-byte aligned.
    sum: *mut f32,
}

impl Carried {
    fn scratch_len(most: usize) -> usize {
        4 * most.next_multiple_of(LANES)
    }

    unsafe fn begin(columns: &Columns, scratch: *mut f32) -> Self {
        let part = |i: usize| scratch.wrapping_add(i * columns.stride);
        let own = Self { largest: part(0), at_label: part(1), sum: part(2) };
        for c in 0..columns.stride {
            // SAFETY: columns below the stride, the length of each part.
            unsafe {
                *own.largest.add(c) = f32::NEG_INFINITY;
                own.set_sum(c, 0.0);
            }
        }
        own
    }

    unsafe fn sum(&self, c: usize) -> f64 {
        // SAFETY: two words per column.
        unsafe { self.sum.add(2 * c).cast::<f64>().read_unaligned() }
    }

    unsafe fn set_sum(&self, c: usize, sum: f64) {
        // SAFETY: two words per column.
        unsafe { self.sum.add(2 * c).cast::<f64>().write_unaligned(sum) }
    }

    /// Takes in a block of logits.
    unsafe fn add(&mut self, columns: &Columns, words: usize, logits: *const f32) {
        for c in (0..columns.count).step_by(LANES) {
            // SAFETY: whole vectors of rows of `stride`; lanes beyond the count are computed and never used.
            unsafe {
                let (largest, sums) =
                    self.add_vector(logits.add(c), columns.stride, words, F32x4::load(self.largest.add(c)));
                let before = F32x4::load(self.largest.add(c)).to_array();
                largest.store(self.largest.add(c));
                let (largest, sums) = (largest.to_array(), sums.to_array());
                for lane in 0..LANES.min(columns.count - c) {
                    let mut sum = self.sum(c + lane);
                    if before[lane] != largest[lane] {
                        sum *= scalar_math::exp(before[lane] as f64 - largest[lane] as f64);
                    }
                    self.set_sum(c + lane, sum + sums[lane] as f64);
                }
            }
        }
    }

    /// Four columns of a block: the largest logit including `largest` before, and the block's sum relative to it.
    #[inline(always)]
    unsafe fn add_vector(&self, logits: *const f32, stride: usize, words: usize, before: F32x4) -> (F32x4, F32x4) {
        let at = |v: usize| -> F32x4 {
            // SAFETY: v < words.
            unsafe { F32x4::load(logits.add(v * stride)) }
        };
        let mut largest = before;
        for v in 0..words {
            largest = largest.max(at(v));
        }
        // Nothing above −infinity yet: subtract 0, so that −infinity gives 0 and NaN stays NaN.
        let none = largest.eq(F32x4::splat(f32::NEG_INFINITY));
        let shift = F32x4::select(none, F32x4::zero(), largest);
        let exp = Exp::new();
        let mut sums = [F32x4::zero(); 2];
        for v in 0..words {
            sums[v % 2] = sums[v % 2] + exp.eval(at(v) - shift);
        }
        (largest, sums[0] + sums[1])
    }

    /// `(loss, log_z)` of a column.
    unsafe fn finish(&self, c: usize) -> (f32, f32) {
        // SAFETY: c below the count; the label's word was in one of the blocks.
        let (largest, at_label, sum) =
            unsafe { (*self.largest.add(c) as f64, *self.at_label.add(c) as f64, self.sum(c)) };
        let log_sum = scalar_math::ln(sum);
        // Differences before sums: a common offset of the logits costs no digits of the loss.
        ((log_sum + (largest - at_label)) as f32, (largest + log_sum) as f32)
    }
}
