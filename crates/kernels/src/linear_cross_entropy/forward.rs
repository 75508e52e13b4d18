//! Loss and log_z by blocks of rows: the log-sum-exp is carried from block to block of words (online: Milakov and Gimelshein,
//! arXiv:1805.02867).

use super::block::{Columns, Head, PAIR, WORDS};
use crate::lanes::{pair, store_pair};
use crate::scalar_math;
use crate::stored::{Storage, Stored};
use crate::tile::{Fault, TileOp};
use crate::vecmath::Exp;
use simd::F32x4;

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
    /// How `w` is stored.
    pub storage: Storage,
}

impl LinearCrossEntropy {
    fn head(&self) -> Head {
        let Self { x, w: base, labels, rows, vocab, cols, ignore, .. } = *self;
        let w = Stored { base, columns: cols, storage: self.storage };
        Head { x, w, labels, rows, vocab, cols, ignore }
    }
}

impl TileOp for LinearCrossEntropy {
    fn tiles(&self) -> usize {
        self.rows.div_ceil(self.head().row_block())
    }

    fn scratch_len(&self) -> usize {
        let most = self.head().row_block();
        Columns::scratch_len(most, self.cols)
            + WORDS.min(self.vocab) * most
            + Carried::scratch_len(most)
            + self.head().room()
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
            let carried = logits.add(WORDS.min(self.vocab) * most);
            let room = carried.add(Carried::scratch_len(most));
            let mut carried = Carried::begin(&columns, carried);
            for word in (0..self.vocab).step_by(WORDS) {
                let words = WORDS.min(self.vocab - word);
                columns.logits(&head, word, words, logits, room);
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
pub(super) struct Carried {
    largest: *mut f32,
    at_label: *mut f32,
    /// One f64 per column, stored as two words because scratch is only 4-byte aligned.
    sum: *mut f32,
}

impl Carried {
    /// Floats of scratch for at most `most` columns.
    pub fn scratch_len(most: usize) -> usize {
        4 * most.next_multiple_of(PAIR)
    }

    /// Nothing seen yet.
    ///
    /// # Safety
    /// Scratch for [`Carried::scratch_len`] of `columns.width`.
    pub unsafe fn begin(columns: &Columns, scratch: *mut f32) -> Self {
        let part = |i: usize| scratch.wrapping_add(i * columns.width);
        let own = Self { largest: part(0), at_label: part(1), sum: part(2) };
        for c in 0..columns.width {
            // SAFETY: columns below the width, the length of each part.
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
    ///
    /// # Safety
    /// `logits` as [`Columns::logits`] left them, readable for whole vectors.
    #[inline(never)]
    pub unsafe fn add(&mut self, columns: &Columns, words: usize, logits: *const f32) {
        let mut sums = [0.0f32; PAIR];
        for c in (0..columns.count).step_by(PAIR) {
            // SAFETY: whole pairs of rows of `stride`; lanes beyond the count are computed and never used.
            unsafe {
                let largest = self.largest.add(c);
                let before: [f32; PAIR] = core::array::from_fn(|lane| *largest.add(lane));
                add_pair(logits.add(c), columns.stride, words, largest, sums.as_mut_ptr());
                for lane in 0..PAIR.min(columns.count - c) {
                    let (mut sum, now) = (self.sum(c + lane), *largest.add(lane));
                    if before[lane] != now {
                        sum *= scalar_math::exp(before[lane] as f64 - now as f64);
                    }
                    self.set_sum(c + lane, sum + sums[lane] as f64);
                }
            }
        }
    }

    /// The largest logit of a column and the sum relative to it.
    ///
    /// # Safety
    /// `c` below the count.
    pub unsafe fn partial(&self, c: usize) -> (f32, f32) {
        // SAFETY: c below the count.
        unsafe { (*self.largest.add(c), self.sum(c) as f32) }
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

/// Eight columns of a block: raises `largest` to the largest logit and writes the block's sums relative to it.
///
/// # Safety
/// `logits` readable for eight floats in each of `words` rows of `stride`; `largest` and `sums` hold eight.
#[inline(always)]
unsafe fn add_pair(logits: *const f32, stride: usize, words: usize, largest: *mut f32, sums: *mut f32) {
    // SAFETY (whole body): v < words.
    unsafe {
        let (mut m0, mut m1) = pair(largest);
        for v in 0..words {
            let (x0, x1) = pair(logits.add(v * stride));
            (m0, m1) = (m0.max(x0), m1.max(x1));
        }
        store_pair(m0, m1, largest);
        // Nothing above −infinity yet: subtract 0, so that −infinity gives 0 and NaN stays NaN.
        let shift = |m: F32x4| F32x4::select(m.eq(F32x4::splat(f32::NEG_INFINITY)), F32x4::zero(), m);
        let (shift0, shift1) = (shift(m0), shift(m1));
        let exp = Exp::new();
        let mut total = [[F32x4::zero(); 2]; 2];
        for v in 0..words {
            let (x0, x1) = pair(logits.add(v * stride));
            let (y0, y1) = (exp.eval_below(x0 - shift0), exp.eval_below(x1 - shift1));
            total[v % 2] = [total[v % 2][0] + y0, total[v % 2][1] + y1];
        }
        store_pair(total[0][0] + total[1][0], total[0][1] + total[1][1], sums);
    }
}
