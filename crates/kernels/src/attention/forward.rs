//! Attention forward, one head and one block of queries at a time.

use super::rows::{factors, factors_len, multiply_row, scale_row, softmax, Visible};
use super::{block_len, block_rows, dot_rows, mix_rows, packing_len, AttentionDims, Head, Rows, Scores};
use crate::matmul::gemv::{along_columns, along_rows};
use crate::matmul::micro::Start;
use crate::matmul::panels::{Left, Steps, Wanted};
use crate::matmul::plan::FEW_ROWS;
use crate::tile::{Fault, TileOp};
use crate::vecmath::{self, Exp};

/// Arguments of attention forward. Layouts: [`AttentionDims`].
#[derive(Clone, Copy, Debug)]
pub struct Attention {
    /// Queries.
    pub q: *const f32,
    /// Keys.
    pub k: *const f32,
    /// Values.
    pub v: *const f32,
    /// `[batch, tk]`, 0 drops the key; or null.
    pub key_mask: *const i32,
    /// `[batch, tq, heads·head_dim]`.
    pub out: *mut f32,
    /// `[batch, heads, tq]`: log-sum-exp of the visible scaled scores, −infinity where none is visible.
    pub lse: *mut f32,
    /// Sizes, strides, settings.
    pub dims: AttentionDims,
}

impl TileOp for Attention {
    fn tiles(&self) -> usize {
        self.dims.batch * self.dims.heads * self.dims.query_blocks()
    }

    fn scratch_len(&self) -> usize {
        let d = &self.dims;
        block_len(d.tq, d.tk) + packing_len(d.tk, d.head_dim) + factors_len(d.tk) + block_rows(0)
    }

    unsafe fn run_tile(&self, tile: usize, scratch: *mut f32) -> Result<(), Fault> {
        let d = &self.dims;
        let (head, block) = d.head(tile, d.query_blocks());
        let block = d.query_blocks() - 1 - block; // late queries see most keys: longest first
        let first = block * block_rows(d.tk);
        let rows = block_rows(d.tk).min(d.tq - first);
        // SAFETY: the block lies inside the operands the caller vouches for.
        unsafe { self.block(head, first, rows, scratch) };
        Ok(())
    }
}

impl Attention {
    unsafe fn block(&self, head: Head, first: usize, rows: usize, scratch: *mut f32) {
        let d = &self.dims;
        let keys = d.end(first + rows - 1);
        let mask = d.mask_of(self.key_mask, head);
        let scores = Scores { ptr: scratch, row: Scores::row_len(d.tk) };
        let packed = scratch.wrapping_add(rows * scores.row);
        let row_factors = packed.wrapping_add(packing_len(d.tk, d.head_dim));
        let sums = row_factors.wrapping_add(factors_len(d.tk));
        let q = Rows { ptr: self.q.wrapping_add(d.q_at(head, first)), stride: d.q_row, count: rows };
        let k = Rows { ptr: self.k.wrapping_add(d.k_at(head, 0)), stride: d.k_row, count: keys };
        let v = Rows { ptr: self.v.wrapping_add(d.v_at(head, 0)), stride: d.v_row, count: keys };
        let out = self.out.wrapping_add(d.out_at(head, first));
        let wanted = if d.causal { Wanted::Below(first as isize + d.shift()) } else { Wanted::All };
        let steps = if d.causal { Steps::Ending(first as isize + d.shift() + 1) } else { Steps::All };
        // SAFETY: scratch is as long as scratch_len says, operands as the caller vouches.
        unsafe {
            if rows < FEW_ROWS {
                let left = Left { ptr: q.ptr, row: q.stride, step: 1 };
                along_columns(rows, left, k.ptr, k.stride, d.head_dim, keys, Start::zero(), scores.ptr, scores.row);
            } else {
                dot_rows(q, k, d.head_dim, wanted, scores, packed);
            }
            let exp = Exp::new();
            for i in 0..rows {
                let visible = Visible { from: 0, to: d.end(first + i), mask };
                let (largest, sum) = softmax(&exp, scores.at(i), visible, d.scale);
                *self.lse.add(d.lse_at(head, first + i)) =
                    if sum == 0.0 { largest } else { largest + vecmath::log(sum) };
                *sums.add(i) = sum;
                if let Some(keep) = &d.dropout {
                    let f = factors(keep, d.element(head, first + i), visible.to, row_factors);
                    multiply_row(scores.at(i), f, visible.to);
                }
            }
            if rows < FEW_ROWS {
                self.mix_few(scores, first, rows, v, mask, out);
            } else {
                mix_rows(scores, rows, v, d.head_dim, mask, steps, (out, d.out_row()), packed);
            }
            for i in 0..rows {
                let sum = *sums.add(i);
                if sum != 0.0 {
                    scale_row(out.wrapping_add(i * d.out_row()), d.head_dim, 1.0 / sum);
                }
            }
        }
    }

    /// Few queries, as in generation: V is read in place, by runs of visible keys.
    unsafe fn mix_few(&self, scores: Scores, first: usize, rows: usize, v: Rows, mask: *const i32, out: *mut f32) {
        let d = &self.dims;
        for i in 0..rows {
            let (end, out) = (d.end(first + i), out.wrapping_add(i * d.out_row()));
            let mut start = Start::zero();
            let mut j = 0;
            // SAFETY: keys below end only; visible ones only.
            unsafe {
                let counts = |j: usize| mask.is_null() || *mask.add(j) != 0;
                // The first call may be empty: it writes the zeros to start from.
                loop {
                    let run = (j..end).take_while(|&j| counts(j)).count();
                    let left = Left { ptr: scores.at(i).wrapping_add(j), row: 0, step: 1 };
                    let values = v.ptr.wrapping_add(j * v.stride);
                    along_rows(1, left, values, v.stride, run, d.head_dim, start, out, d.out_row());
                    start = Start { from: out, row: 0, add: core::ptr::null() };
                    j += run;
                    while j < end && !counts(j) {
                        j += 1;
                    }
                    if j >= end {
                        break;
                    }
                }
            }
        }
    }
}
