//! Attention backward: dQ (and delta) by blocks of queries, dK and dV by blocks of keys. Both recompute the probabilities
//! from the scores and the stored log-sum-exp, so nothing of size Tq x Tk is kept (Dao et al., arXiv:2205.14135).
//!
//! With `P` the probabilities, `F` dropout's factors, `dP = dout·Vᵀ`: `delta = rowsum(dout∘out)`,
//! `dS = P∘(F∘dP − delta)·scale`, `dQ = dS·K`, `dK = dSᵀ·Q`, `dV = (P∘F)ᵀ·dout`.

use super::rows::{dot, factors, factors_len, score_gradients, Queries, Visible};
use super::{block_len, block_rows, dot_rows, mix_rows, packing_len, AttentionDims, Head, Rows, Scores};
use crate::matmul::panels::{Steps, Wanted};
use crate::tile::{Fault, TileOp};
use crate::vecmath::Exp;

/// Arguments of the gradient of the queries. Layouts: [`AttentionDims`].
#[derive(Clone, Copy, Debug)]
pub struct AttentionBackwardQ {
    /// Queries.
    pub q: *const f32,
    /// Keys.
    pub k: *const f32,
    /// Values.
    pub v: *const f32,
    /// `[batch, tk]`, 0 drops the key; or null.
    pub key_mask: *const i32,
    /// The forward result.
    pub out: *const f32,
    /// The forward log-sum-exp.
    pub lse: *const f32,
    /// Gradient of `out`, laid out as it.
    pub dout: *const f32,
    /// Gradient of `q`, laid out as it.
    pub dq: *mut f32,
    /// `[batch, heads, tq]`: `Σ dout·out` of each row, for [`AttentionBackwardKv`].
    pub delta: *mut f32,
    /// Sizes, strides, settings.
    pub dims: AttentionDims,
}

impl TileOp for AttentionBackwardQ {
    fn tiles(&self) -> usize {
        self.dims.batch * self.dims.heads * self.dims.query_blocks()
    }

    fn scratch_len(&self) -> usize {
        let d = &self.dims;
        2 * block_len(d.tq, d.tk) + packing_len(d.tk, d.head_dim) + factors_len(d.tk)
    }

    unsafe fn run_tile(&self, tile: usize, scratch: *mut f32) -> Result<(), Fault> {
        let d = &self.dims;
        let (head, block) = d.head(tile, d.query_blocks());
        let block = d.query_blocks() - 1 - block; // longest first
        let first = block * block_rows(d.tk);
        let rows = block_rows(d.tk).min(d.tq - first);
        // SAFETY: the block lies inside the operands the caller vouches for.
        unsafe { self.block(head, first, rows, scratch) };
        Ok(())
    }
}

impl AttentionBackwardQ {
    unsafe fn block(&self, head: Head, first: usize, rows: usize, scratch: *mut f32) {
        let d = &self.dims;
        let keys = d.end(first + rows - 1);
        let mask = d.mask_of(self.key_mask, head);
        let row = Scores::row_len(d.tk);
        let s = Scores { ptr: scratch, row };
        let dp = Scores { ptr: scratch.wrapping_add(rows * row), row };
        let packed = scratch.wrapping_add(2 * rows * row);
        let buffer = packed.wrapping_add(packing_len(d.tk, d.head_dim));
        let q = Rows { ptr: self.q.wrapping_add(d.q_at(head, first)), stride: d.q_row, count: rows };
        let k = Rows { ptr: self.k.wrapping_add(d.k_at(head, 0)), stride: d.k_row, count: keys };
        let v = Rows { ptr: self.v.wrapping_add(d.v_at(head, 0)), stride: d.v_row, count: keys };
        let at = d.out_at(head, first);
        let dout = Rows { ptr: self.dout.wrapping_add(at), stride: d.out_row(), count: rows };
        let wanted = if d.causal { Wanted::Below(first as isize + d.shift()) } else { Wanted::All };
        let steps = if d.causal { Steps::Ending(first as isize + d.shift() + 1) } else { Steps::All };
        // SAFETY: scratch is as long as scratch_len says, operands as the caller vouches.
        unsafe {
            dot_rows(q, k, d.head_dim, wanted, s, packed);
            dot_rows(dout, v, d.head_dim, wanted, dp, packed);
            let exp = Exp::new();
            for i in 0..rows {
                let out = self.out.add(at + i * d.out_row());
                let delta = self.delta.add(d.lse_at(head, first + i));
                *delta = dot(dout.ptr.add(i * d.out_row()), out, d.head_dim);
                let visible = Visible { from: 0, to: d.end(first + i), mask };
                let factors = match &d.dropout {
                    None => core::ptr::null_mut(),
                    Some(keep) => factors(keep, d.element(head, first + i), visible.to, buffer),
                };
                let lse = self.lse.add(d.lse_at(head, first + i));
                score_gradients(&exp, s.at(i), dp.at(i), factors, visible, Queries { lse, delta, step: 0 }, d.scale);
            }
            let dq = (self.dq.wrapping_add(d.q_at(head, first)), d.q_row);
            mix_rows(dp, rows, k, d.head_dim, mask, steps, dq, packed);
        }
    }
}

/// Arguments of the gradients of keys and values. Layouts: [`AttentionDims`].
#[derive(Clone, Copy, Debug)]
pub struct AttentionBackwardKv {
    /// Queries.
    pub q: *const f32,
    /// Keys.
    pub k: *const f32,
    /// Values.
    pub v: *const f32,
    /// `[batch, tk]`, 0 drops the key; or null.
    pub key_mask: *const i32,
    /// The forward log-sum-exp.
    pub lse: *const f32,
    /// Gradient of `out`, laid out as it.
    pub dout: *const f32,
    /// As [`AttentionBackwardQ`] wrote it.
    pub delta: *const f32,
    /// Gradient of `k`, laid out as it.
    pub dk: *mut f32,
    /// Gradient of `v`, laid out as it.
    pub dv: *mut f32,
    /// Sizes, strides, settings.
    pub dims: AttentionDims,
}

impl TileOp for AttentionBackwardKv {
    fn tiles(&self) -> usize {
        self.dims.batch * self.dims.heads * self.dims.key_blocks()
    }

    fn scratch_len(&self) -> usize {
        let d = &self.dims;
        let blocks = if d.dropout.is_some() { 3 } else { 2 };
        blocks * block_len(d.tk, d.tq)
            + packing_len(d.tq, d.head_dim)
            + factors_len(block_rows(0))
            + 2 * Scores::row_len(d.tq)
    }

    unsafe fn run_tile(&self, tile: usize, scratch: *mut f32) -> Result<(), Fault> {
        let d = &self.dims;
        let (head, block) = d.head(tile, d.key_blocks()); // early keys are seen by most queries: longest first already
        let first = block * block_rows(d.tq);
        let rows = block_rows(d.tq).min(d.tk - first);
        // SAFETY: the block lies inside the operands the caller vouches for.
        unsafe { self.block(head, first, rows, scratch) };
        Ok(())
    }
}

impl AttentionBackwardKv {
    /// Keys `first .. first + rows`: a block of the transposed scores, one row per key, one column per query from `begin`.
    unsafe fn block(&self, head: Head, first: usize, rows: usize, scratch: *mut f32) {
        let d = &self.dims;
        let begin = d.first(first);
        let queries = d.tq - begin;
        let row = Scores::row_len(d.tq);
        let s = Scores { ptr: scratch, row };
        let dp = Scores { ptr: scratch.wrapping_add(rows * row), row };
        let f = Scores { ptr: scratch.wrapping_add(2 * rows * row), row };
        let packed = if d.dropout.is_some() { f.at(rows) } else { f.ptr };
        let buffer = packed.wrapping_add(packing_len(d.tq, d.head_dim));
        let own = buffer.wrapping_add(factors_len(block_rows(0))); // the queries' log-sum-exp and delta, padded
        let q = Rows { ptr: self.q.wrapping_add(d.q_at(head, begin)), stride: d.q_row, count: queries };
        let k = Rows { ptr: self.k.wrapping_add(d.k_at(head, first)), stride: d.k_row, count: rows };
        let v = Rows { ptr: self.v.wrapping_add(d.v_at(head, first)), stride: d.v_row, count: rows };
        let dout = Rows { ptr: self.dout.wrapping_add(d.out_at(head, begin)), stride: d.out_row(), count: queries };
        // Key first + r is seen from query first + r − shift on, which is column r + late.
        let late = first as isize - d.shift() - begin as isize;
        let wanted = if d.causal { Wanted::Above(-late) } else { Wanted::All };
        let steps = if d.causal { Steps::Starting(late) } else { Steps::All };
        // SAFETY: scratch is as long as scratch_len says, operands as the caller vouches.
        unsafe {
            dot_rows(k, q, d.head_dim, wanted, s, packed);
            dot_rows(v, dout, d.head_dim, wanted, dp, packed);
            if let Some(keep) = &d.dropout {
                for c in 0..queries {
                    let keys = d.end(begin + c).saturating_sub(first).min(rows);
                    let drawn = factors(keep, d.element(head, begin + c) + first as u64, keys, buffer);
                    for r in 0..keys {
                        *f.at(r).add(c) = *drawn.add(r);
                    }
                }
            }
            let at = d.lse_at(head, begin);
            core::ptr::copy_nonoverlapping(self.lse.wrapping_add(at), own, queries);
            core::ptr::copy_nonoverlapping(self.delta.wrapping_add(at), own.add(row), queries);
            let seen_by = Queries { lse: own, delta: own.add(row), step: 1 };
            let mask = d.mask_of(self.key_mask, head);
            let exp = Exp::new();
            for r in 0..rows {
                let all = core::ptr::null();
                let visible = Visible { from: d.first(first + r) - begin, to: queries, mask: all };
                if !mask.is_null() && *mask.add(first + r) == 0 {
                    core::slice::from_raw_parts_mut(s.at(r), queries).fill(0.0);
                    core::slice::from_raw_parts_mut(dp.at(r), queries).fill(0.0);
                    continue;
                }
                let factors = if d.dropout.is_some() { f.at(r).cast_const() } else { all.cast() };
                score_gradients(&exp, s.at(r), dp.at(r), factors, visible, seen_by, d.scale);
            }
            let none = core::ptr::null();
            let dv = (self.dv.wrapping_add(d.v_at(head, first)), d.v_row);
            mix_rows(s, rows, dout, d.head_dim, none, steps, dv, packed);
            let dk = (self.dk.wrapping_add(d.k_at(head, first)), d.k_row);
            mix_rows(dp, rows, q, d.head_dim, none, steps, dk, packed);
        }
    }
}
