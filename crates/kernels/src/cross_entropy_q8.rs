//! Cross-entropy of `x·Wᵀ` with W stored as int8 blocks (opcode 66), for evaluation: logits of a few rows at a time, made by
//! `matmul/q8.rs` and judged by `cross_entropy.rs`, so the loss has the bits that the two instructions give.

use crate::cross_entropy::CrossEntropy;
use crate::matmul::q8;
use crate::matmul::{micro::Start, panels::Left};
use crate::tile::{blocks, run_tiles, Fault, TileOp};

/// Rows whose logits are made together: each reading of W serves them all.
const ROWS: usize = 8;

/// Arguments of the loss.
#[derive(Clone, Copy, Debug)]
pub struct LinearCrossEntropyQ8 {
    /// `[rows, cols]`
    pub x: *const f32,
    /// The cells of `[vocab, cols]`.
    pub w: *const i32,
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

impl TileOp for LinearCrossEntropyQ8 {
    fn tiles(&self) -> usize {
        blocks(self.rows, ROWS)
    }

    fn scratch_len(&self) -> usize {
        q8::scratch_words(ROWS, self.cols) + ROWS * self.vocab
    }

    unsafe fn run_tile(&self, tile: usize, scratch: *mut f32) -> Result<(), Fault> {
        let first = tile * ROWS;
        let rows = ROWS.min(self.rows - first);
        let logits = scratch.wrapping_add(q8::scratch_words(ROWS, self.cols));
        let left = Left { ptr: self.x.wrapping_add(first * self.cols), row: self.cols, step: 1 };
        let losses = CrossEntropy {
            logits,
            labels: self.labels.wrapping_add(first),
            loss: self.loss.wrapping_add(first),
            log_z: self.log_z.wrapping_add(first),
            rows,
            vocab: self.vocab,
            ignore: self.ignore,
        };
        // SAFETY: rows of this tile; the scratch holds what the product needs and then the logits.
        unsafe {
            let (depth, vocab) = (self.cols, self.vocab);
            q8::product(rows, left, self.w, depth, vocab, Start::zero(), logits, vocab, scratch);
            run_tiles(&losses, core::ptr::null_mut())
        }
        .map_err(|fault| Fault { at: fault.at + first as u32, ..fault })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matmul::q8::tests::{run, Weights};
    use crate::testkit::{run_reversed, same_bits, Rng};
    use crate::tile::FaultCode;

    #[test]
    fn losses_have_the_bits_of_logits_and_cross_entropy() {
        let mut rng = Rng::new(5);
        for (rows, vocab, cols) in [(0, 5, 3), (1, 1, 1), (7, 9, 33), (8, 40, 64), (19, 101, 70)] {
            let w = Weights::random(&mut rng, vocab, cols);
            let x = rng.normals(rows * cols);
            let labels: Vec<i32> = (0..rows).map(|r| if r % 3 == 2 { -100 } else { rng.below(vocab) as i32 }).collect();
            let logits = run(&w, rows, &x, 1);
            let (mut loss, mut log_z) = (vec![f32::NAN; rows], vec![f32::NAN; rows]);
            let (mut want, mut want_z) = (loss.clone(), loss.clone());
            crate::cross_entropy::cross_entropy_forward(&logits, &labels, &mut want, &mut want_z, vocab, -100).unwrap();
            let op = LinearCrossEntropyQ8 {
                x: x.as_ptr(),
                w: w.cells.as_ptr(),
                labels: labels.as_ptr(),
                loss: loss.as_mut_ptr(),
                log_z: log_z.as_mut_ptr(),
                rows,
                vocab,
                cols,
                ignore: -100,
            };
            // SAFETY: buffers of these sizes.
            unsafe { run_reversed(&op) }.unwrap();
            same_bits(&loss, &want).unwrap();
            same_bits(&log_z, &want_z).unwrap();
            if rows == 19 {
                let mut bad = labels.clone();
                bad[12] = vocab as i32;
                let op = LinearCrossEntropyQ8 { labels: bad.as_ptr(), ..op };
                let fault = Fault { code: FaultCode::LabelOutOfRange, at: 12, value: vocab as i32 };
                // SAFETY: as above.
                assert_eq!(unsafe { run_reversed(&op) }, Err(fault));
            }
        }
    }
}
