//! The one-pass form of the fused loss (opcodes 36 to 39): where the gradient of the loss is known before the loss, as in a sum
//! or mean over rows, the logits of a block of counted rows are made once and kept: three products instead of five.
//!
//! A block is `most` counted rows of x, numbers `first ..` among them; a program runs the blocks one after the other on the
//! same memory. Per block, with a barrier between:
//! 1. [`HeadLogits`]: logits (transposed: a row per word, a column per counted row), and of every 480 words the largest logit and
//!    the sum of exponentials, while they are in the cache;
//! 2. [`HeadLoss`]: loss and log_z from those;
//! 3. [`HeadBackwardW`]: logits into their gradient, in place, and at once dW, whose chain continues from block to block;
//! 4. [`HeadBackwardX`]: dx.
//!
//! Ignored rows never become columns: they cost nothing, their x is not read, their loss, log_z and dx are zeros. Every
//! operation finds the counted rows from the labels itself, so nothing is trusted that another instruction wrote. Numerics are
//! those of the three-kernel form; a dW, dx or logit has the very same bits as there, if log_z has.

mod backward;
mod forward;

pub use backward::{HeadBackwardW, HeadBackwardX};
pub use forward::{HeadLogits, HeadLoss};

use super::block::Head;
use super::HeadDims;
use crate::stored::{Storage, Stored};
use crate::tile::{run_all, Fault};

/// Words whose largest logit and sum of exponentials are one pair of rows of `stats`.
pub const STATS_WORDS: usize = 480;

/// Sizes of one block: x `[rows, cols]`, W `[vocab, cols]`, logits `[vocab, stride]`, of which the first `most` columns are used
/// at most, and stats `[ceil(vocab / 480), 2, stride]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadBlock {
    /// Rows of x, counted or not.
    pub rows: usize,
    /// Rows of W.
    pub vocab: usize,
    /// Width of x and W.
    pub cols: usize,
    /// Columns of the block at most; at most `stride`.
    pub most: usize,
    /// Elements from word to word of logits; a multiple of 16.
    pub stride: usize,
    /// The label that does not count.
    pub ignore: i32,
    /// How many counted rows are in the blocks before.
    pub first: usize,
}

/// The stride for blocks of `most` columns: whole cache lines, and an odd number of them, so that words do not fall on the same
/// few sets of a cache.
pub const fn head_stride(most: usize) -> usize {
    (most.div_ceil(16) | 1) * 16
}

/// Floats of stats.
pub const fn stats_len(vocab: usize, stride: usize) -> usize {
    vocab.div_ceil(STATS_WORDS) * 2 * stride
}

/// Where W is not looked at.
const NONE: (*const f32, Storage) = (core::ptr::null(), Storage::F32);

impl HeadBlock {
    fn head(&self, x: *const f32, w: (*const f32, Storage), labels: *const i32) -> Head {
        let Self { rows, vocab, cols, ignore, .. } = *self;
        let w = Stored { base: w.0, columns: cols, storage: w.1 };
        Head { x, w, labels, rows, vocab, cols, ignore }
    }

    /// Lists the rows of the block's columns `from .. from + most`, as far as there are that many. Looks at the labels from the
    /// first one on until the list is full, and finds fault with any of them that is out of range.
    ///
    /// # Safety
    /// `labels` readable for `rows`, `list` writable for `most`.
    unsafe fn list(&self, labels: *const i32, from: usize, most: usize, list: *mut u32) -> Result<usize, Fault> {
        let head = self.head(core::ptr::null(), NONE, labels);
        let (mut skip, mut count) = (self.first + from, 0);
        for row in 0..self.rows {
            if count == most {
                break;
            }
            // SAFETY: row < rows, count < most.
            unsafe {
                if head.label(row)?.is_none() {
                    continue;
                }
                if skip > 0 {
                    skip -= 1;
                    continue;
                }
                *list.add(count) = row as u32;
                count += 1;
            }
        }
        Ok(count)
    }

    /// Calls `f` with every ignored row.
    ///
    /// # Safety
    /// `labels` readable for `rows`.
    unsafe fn each_ignored(&self, labels: *const i32, mut f: impl FnMut(usize)) -> Result<(), Fault> {
        let head = self.head(core::ptr::null(), NONE, labels);
        for row in 0..self.rows {
            // SAFETY: row < rows.
            if unsafe { head.label(row)? }.is_none() {
                f(row);
            }
        }
        Ok(())
    }
}

/// Loss, log_z and both gradients in one pass, by blocks of `most` counted rows: what the three functions of the parent module
/// give one after the other, for an upstream gradient `g` of the loss and none of log_z. `dw` is added to if `accumulate`.
///
/// # Panics
/// If a slice has not the length that `dims` say, or `most` is 0.
pub fn linear_cross_entropy_one_pass(
    dims: HeadDims,
    most: usize,
    x: &[f32],
    w: &[f32],
    labels: &[i32],
    g: &[f32],
    loss: &mut [f32],
    log_z: &mut [f32],
    dx: &mut [f32],
    dw: &mut [f32],
    accumulate: bool,
) -> Result<(), Fault> {
    dims.check(x, w, labels);
    let HeadDims { rows, vocab, cols, ignore } = dims;
    assert!(most > 0, "linear_cross_entropy: most must be at least 1");
    assert!(
        g.len() == rows && loss.len() == rows && log_z.len() == rows,
        "linear_cross_entropy: g, loss, log_z [rows]"
    );
    assert!(dx.len() == x.len() && dw.len() == w.len(), "linear_cross_entropy: gradients must be as their operands");
    let stride = head_stride(most);
    let mut logits = vec![0.0f32; vocab * stride];
    let mut stats = vec![0.0f32; stats_len(vocab, stride)];
    let (x, w, labels, g) = (x.as_ptr(), w.as_ptr(), labels.as_ptr(), g.as_ptr());
    let (loss, log_z, dx, dw) = (loss.as_mut_ptr(), log_z.as_mut_ptr(), dx.as_mut_ptr(), dw.as_mut_ptr());
    let (logits, stats) = (logits.as_mut_ptr(), stats.as_mut_ptr());
    let (storage, threads) = (Storage::F32, crate::matmul::threads());
    for first in (0..rows.max(1)).step_by(most) {
        let dims = HeadBlock { rows, vocab, cols, most, stride, ignore, first };
        let init = if accumulate || first > 0 { dw.cast_const() } else { core::ptr::null() };
        // SAFETY: lengths checked above; init is dw or absent.
        unsafe {
            run_all(&HeadLogits { x, w, storage, labels, logits, stats, dims })?;
            run_all(&HeadLoss { labels, logits, stats, loss, log_z, dims })?;
            run_all(&HeadBackwardW { x, labels, log_z, g, init, dw, logits, dims })?;
            run_all(&HeadBackwardX { w, storage, labels, dlogits: logits, dx, dims, threads })?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
