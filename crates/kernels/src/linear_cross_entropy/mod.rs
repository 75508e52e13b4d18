//! The language-model head fused with its loss (opcodes 24 to 26): `logits = x·Wᵀ`, cross-entropy per row, and the gradients
//! of x and W, without ever holding the logits: they are made block by block and, backward, made again from the stored
//! `log_z`.
//!
//! With `l = x[r]·W[v]`: `log_z[r] = ln Σ_v e^l`, `loss[r] = log_z[r] − l[label]`, and with upstream gradients g (of the loss)
//! and gz (of log_z) `dl = (g + gz)·softmax(l) − g·onehot(label)`, `dx[r] = Σ_v dl·W[v]`, `dW[v] = Σ_r dl·x[r]`.
//!
//! A row whose label is `ignore` has loss 0, log_z 0 and no gradient, and its x is never read: rows are skipped, not
//! weighted by zero. Any other label outside `0..vocab` is a [`FaultCode::LabelOutOfRange`].
//!
//! - `block.rs`   a block of logits, transposed: one row per word, one column per counted row of x
//! - `forward.rs`, `backward.rs` the three operations
//! - `one_pass/` the form that keeps a block of logits, where the upstream gradient is known beforehand
//!
//! Blocks are transposed because then W, the large operand, is read in place in its own order and never packed, and the
//! log-sum-exp of four rows of x is one vector operation.
//!
//! Numerics: logits and gradients f32, one chain each over ascending columns, words or rows; sums of exponentials f32 over
//! at most 128 words, then f64. Errors against f64 are tested: loss 2e-6·|ref| + 1e-6.

mod backward;
mod block;
mod forward;
pub mod one_pass;

pub use backward::{LinearCrossEntropyBackwardW, LinearCrossEntropyBackwardX};
pub use forward::LinearCrossEntropy;

use crate::stored::Storage;
use crate::tile::{run_all, Fault};
#[cfg(doc)]
use crate::FaultCode;

/// Sizes of the fused loss: x `[rows, cols]`, W `[vocab, cols]`; labels, loss, log_z, g and gz `[rows]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadDims {
    /// Rows of x.
    pub rows: usize,
    /// Rows of W.
    pub vocab: usize,
    /// Width of x and W.
    pub cols: usize,
    /// The label that does not count.
    pub ignore: i32,
}

fn pointer(slice: Option<&[f32]>, len: usize, what: &str) -> *const f32 {
    slice.map_or(core::ptr::null(), |s| {
        assert_eq!(s.len(), len, "linear_cross_entropy: {what} has the wrong length");
        s.as_ptr()
    })
}

impl HeadDims {
    fn check(&self, x: &[f32], w: &[f32], labels: &[i32]) {
        assert_eq!(x.len(), self.rows * self.cols, "linear_cross_entropy: x must be [rows, cols]");
        assert_eq!(w.len(), self.vocab * self.cols, "linear_cross_entropy: w must be [vocab, cols]");
        assert_eq!(labels.len(), self.rows, "linear_cross_entropy: labels must be [rows]");
    }
}

/// Writes `loss` and `log_z` of every row. See the head of this module.
///
/// # Panics
/// If a slice has not the length that `dims` say.
pub fn linear_cross_entropy_forward(
    dims: HeadDims,
    x: &[f32],
    w: &[f32],
    labels: &[i32],
    loss: &mut [f32],
    log_z: &mut [f32],
) -> Result<(), Fault> {
    dims.check(x, w, labels);
    pointer(Some(loss), dims.rows, "loss");
    pointer(Some(log_z), dims.rows, "log_z");
    let HeadDims { rows, vocab, cols, ignore } = dims;
    let (x, w, labels) = (x.as_ptr(), w.as_ptr(), labels.as_ptr());
    let (loss, log_z) = (loss.as_mut_ptr(), log_z.as_mut_ptr());
    // SAFETY: lengths checked above.
    unsafe {
        run_all(&LinearCrossEntropy { x, w, labels, loss, log_z, rows, vocab, cols, ignore, storage: Storage::F32 })
    }
}

/// Writes `dx`, the gradient of x, from the upstream gradients `g` of the loss and `gz` of log_z.
///
/// # Panics
/// If a slice has not the length that `dims` say.
pub fn linear_cross_entropy_backward_x(
    dims: HeadDims,
    x: &[f32],
    w: &[f32],
    labels: &[i32],
    log_z: &[f32],
    g: &[f32],
    gz: Option<&[f32]>,
    dx: &mut [f32],
) -> Result<(), Fault> {
    dims.check(x, w, labels);
    let HeadDims { rows, vocab, cols, ignore } = dims;
    let (log_z, g) = (pointer(Some(log_z), rows, "log_z"), pointer(Some(g), rows, "g"));
    let gz = pointer(gz, rows, "gz");
    pointer(Some(dx), rows * cols, "dx");
    let (x, w, labels, dx) = (x.as_ptr(), w.as_ptr(), labels.as_ptr(), dx.as_mut_ptr());
    let storage = Storage::F32;
    // SAFETY: lengths checked above.
    unsafe {
        run_all(&LinearCrossEntropyBackwardX { x, w, labels, log_z, g, gz, dx, rows, vocab, cols, ignore, storage })
    }
}

/// Writes `dw = init + ` the gradient of W (`accumulate`: `dw` itself holds the initial values, otherwise zeros).
///
/// # Panics
/// If a slice has not the length that `dims` say.
pub fn linear_cross_entropy_backward_w(
    dims: HeadDims,
    x: &[f32],
    w: &[f32],
    labels: &[i32],
    log_z: &[f32],
    g: &[f32],
    gz: Option<&[f32]>,
    accumulate: bool,
    dw: &mut [f32],
) -> Result<(), Fault> {
    dims.check(x, w, labels);
    let HeadDims { rows, vocab, cols, ignore } = dims;
    let (log_z, g) = (pointer(Some(log_z), rows, "log_z"), pointer(Some(g), rows, "g"));
    let gz = pointer(gz, rows, "gz");
    pointer(Some(dw), vocab * cols, "dw");
    let (x, w, labels, dw) = (x.as_ptr(), w.as_ptr(), labels.as_ptr(), dw.as_mut_ptr());
    let init = if accumulate { dw.cast_const() } else { core::ptr::null() };
    // SAFETY: lengths checked above; init is dw or absent.
    unsafe { run_all(&LinearCrossEntropyBackwardW { x, w, labels, log_z, g, gz, init, dw, rows, vocab, cols, ignore }) }
}

#[cfg(test)]
mod tests;
