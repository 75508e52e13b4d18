//! Attention backward. With `P` the probabilities, `F` dropout's factors, `dP = dout·Vᵀ`: `delta = rowsum(dout∘out)`,
//! `dS = P∘(F∘dP − delta)·scale`, `dQ = dS·K`, `dK = dSᵀ·Q`, `dV = (P∘F)ᵀ·dout`. P is made again from the scores and the
//! stored log-sum-exp, so nothing of size Tq x Tk is kept (Dao et al., arXiv:2205.14135).
//!
//! A head of k and v that several heads of q share has the sum of their gradients, head by head in ascending order.
//!
//! Two cuts with the same bits: [`AttentionBackward`] takes a whole head of k and v per work item and makes every rectangle of scores once
//! (five products); [`AttentionBackwardQ`] and [`AttentionBackwardKv`] make it twice (seven products) and so have work for many
//! threads when heads are few.

use super::rectangle::{scratch_len, BackwardInputs, Gradients};
use super::{AttentionDims, Head};
use crate::lanes::load;
use crate::tile::{Fault, TileOp};
use simd::{F32x4, LANES};

/// Keys of a rectangle.
const KEYS: usize = 64;
/// Queries of a rectangle of a whole head. With 64 keys: 2 x 64 KiB of scores beside 256 KiB of packed queries and dout at
/// width 64, together half of a 1 MiB second-level cache.
const QUERIES: usize = 256;
/// The same where queries have first keys: rectangles that none of the queries sees are left out, and smaller ones are more often.
const STARTED_QUERIES: usize = 64;
/// Queries of a work item of [`AttentionBackwardQ`].
const FEW_QUERIES: usize = 64;

/// Arguments of backward in one go, a head of k and v (with the heads of q that share it) per work item. Layouts: [`AttentionDims`].
#[derive(Clone, Copy, Debug)]
pub struct AttentionBackward {
    /// What it reads.
    pub inputs: BackwardInputs,
    /// The forward result.
    pub out: *const f32,
    /// Gradient of `q`, laid out as it.
    pub dq: *mut f32,
    /// Gradient of `k`, laid out as it.
    pub dk: *mut f32,
    /// Gradient of `v`, laid out as it.
    pub dv: *mut f32,
}

impl TileOp for AttentionBackward {
    fn tiles(&self) -> usize {
        self.inputs.dims.batch * self.inputs.dims.kv_heads
    }

    fn scratch_len(&self) -> usize {
        scratch_len(&self.inputs.dims, KEYS.min(self.inputs.dims.tk), QUERIES.min(self.inputs.dims.tq))
    }

    unsafe fn run_tile(&self, tile: usize, scratch: *mut f32) -> Result<(), Fault> {
        let d = &self.inputs.dims;
        let head = d.group_head(tile);
        // SAFETY: operands and scratch as the caller vouches.
        unsafe {
            if d.tq == 0 {
                d.clear_keys(head, (0, d.tk), self.dk, self.dv);
            }
            for shared in 0..d.group() {
                self.head(Head { h: head.h + shared, ..head }, shared == 0, scratch);
            }
        }
        Ok(())
    }
}

impl AttentionBackward {
    /// One head of q; `first_of_group`: whether dK and dV begin with it.
    ///
    /// # Safety
    /// As `run_tile`.
    unsafe fn head(&self, head: Head, first_of_group: bool, scratch: *mut f32) {
        let d = &self.inputs.dims;
        let most = (KEYS.min(d.tk), QUERIES.min(d.tq));
        // SAFETY (whole body): as in run_tile.
        unsafe {
            let rows = self.inputs.queries();
            for first in (0..d.tq).step_by(rows) {
                let count = rows.min(d.tq - first);
                let queries = self.inputs.pack(head, (first, count), true, most, scratch);
                d.deltas(self.inputs.dout, self.out, head, (first, count), queries.delta());
                let keys = d.end(first + count - 1);
                let begin = self.inputs.begin(head, (first, count));
                if keys <= begin {
                    d.clear_queries(head, (first, count), self.dq);
                }
                for key in (0..keys).step_by(KEYS) {
                    // All keys of the block, though the last queries of another rectangle may be the first to see some.
                    let count = KEYS.min(d.tk - key);
                    let dkv_begin = first_of_group && d.first(key) >= first;
                    if key < begin {
                        if dkv_begin {
                            d.clear_keys(head, (key, count), self.dk, self.dv);
                        }
                        continue;
                    }
                    let to = Gradients { dq: self.dq, dq_begins: key == begin, dk: self.dk, dv: self.dv, dkv_begin };
                    self.inputs.rectangle(&queries, (key, count), &to);
                }
            }
        }
    }
}

/// Arguments of the gradient of the queries. Layouts: [`AttentionDims`].
#[derive(Clone, Copy, Debug)]
pub struct AttentionBackwardQ {
    /// What it reads.
    pub inputs: BackwardInputs,
    /// The forward result.
    pub out: *const f32,
    /// Gradient of `q`, laid out as it.
    pub dq: *mut f32,
    /// `[batch, heads, tq]`: `Σ dout·out` of each row, for [`AttentionBackwardKv`].
    pub delta: *mut f32,
}

impl TileOp for AttentionBackwardQ {
    fn tiles(&self) -> usize {
        self.inputs.dims.batch * self.inputs.dims.heads * self.inputs.dims.tq.div_ceil(FEW_QUERIES)
    }

    fn scratch_len(&self) -> usize {
        scratch_len(&self.inputs.dims, KEYS.min(self.inputs.dims.tk), FEW_QUERIES.min(self.inputs.dims.tq))
    }

    unsafe fn run_tile(&self, tile: usize, scratch: *mut f32) -> Result<(), Fault> {
        let d = &self.inputs.dims;
        let heads = d.batch * d.heads;
        let head = d.head(tile % heads);
        let first = (d.tq.div_ceil(FEW_QUERIES) - 1 - tile / heads) * FEW_QUERIES; // longest first
        let count = FEW_QUERIES.min(d.tq - first);
        let most = (KEYS.min(d.tk), FEW_QUERIES.min(d.tq));
        // SAFETY (whole body): operands and scratch as the caller vouches.
        unsafe {
            let delta = self.delta.add(d.lse_at(head, first));
            d.deltas(self.inputs.dout, self.out, head, (first, count), delta);
            let queries = self.inputs.pack(head, (first, count), false, most, scratch);
            core::ptr::copy_nonoverlapping(delta, queries.delta(), count);
            let keys = d.end(first + count - 1);
            let begin = self.inputs.begin(head, (first, count));
            if keys <= begin {
                d.clear_queries(head, (first, count), self.dq);
            }
            let none = core::ptr::null_mut();
            for key in (begin..keys).step_by(KEYS) {
                let to = Gradients { dq: self.dq, dq_begins: key == begin, dk: none, dv: none, dkv_begin: false };
                self.inputs.rectangle(&queries, (key, KEYS.min(keys - key)), &to);
            }
        }
        Ok(())
    }
}

/// Arguments of the gradients of keys and values. Layouts: [`AttentionDims`].
#[derive(Clone, Copy, Debug)]
pub struct AttentionBackwardKv {
    /// What it reads.
    pub inputs: BackwardInputs,
    /// As [`AttentionBackwardQ`] wrote it.
    pub delta: *const f32,
    /// Gradient of `k`, laid out as it.
    pub dk: *mut f32,
    /// Gradient of `v`, laid out as it.
    pub dv: *mut f32,
}

impl TileOp for AttentionBackwardKv {
    fn tiles(&self) -> usize {
        self.inputs.dims.batch * self.inputs.dims.kv_heads * self.inputs.dims.tk.div_ceil(KEYS)
    }

    fn scratch_len(&self) -> usize {
        scratch_len(&self.inputs.dims, KEYS.min(self.inputs.dims.tk), QUERIES.min(self.inputs.dims.tq))
    }

    unsafe fn run_tile(&self, tile: usize, scratch: *mut f32) -> Result<(), Fault> {
        let d = &self.inputs.dims;
        let heads = d.batch * d.kv_heads;
        let head = d.group_head(tile % heads);
        let key = tile / heads * KEYS; // early keys are seen by most queries: longest first
        let keys = KEYS.min(d.tk - key);
        let most = (KEYS.min(d.tk), QUERIES.min(d.tq));
        let begin = d.first(key);
        // SAFETY (whole body): operands and scratch as the caller vouches.
        unsafe {
            if begin >= d.tq {
                d.clear_keys(head, (key, keys), self.dk, self.dv);
            }
            let dq = core::ptr::null_mut();
            for shared in 0..d.group() {
                let head = Head { h: head.h + shared, ..head };
                for first in (begin..d.tq).step_by(self.inputs.queries()) {
                    let count = self.inputs.queries().min(d.tq - first);
                    let dkv_begin = shared == 0 && first == begin;
                    if self.inputs.begin(head, (first, count)) > key {
                        if dkv_begin {
                            d.clear_keys(head, (key, keys), self.dk, self.dv);
                        }
                        continue;
                    }
                    let delta = self.delta.add(d.lse_at(head, first));
                    let queries = self.inputs.pack(head, (first, count), true, most, scratch);
                    core::ptr::copy_nonoverlapping(delta, queries.delta(), count);
                    let to = Gradients { dq, dq_begins: false, dk: self.dk, dv: self.dv, dkv_begin };
                    self.inputs.rectangle(&queries, (key, keys), &to);
                }
            }
        }
        Ok(())
    }
}

impl BackwardInputs {
    /// Queries of a rectangle.
    fn queries(&self) -> usize {
        if self.visibility.starts.is_null() {
            QUERIES
        } else {
            STARTED_QUERIES
        }
    }

    /// The first key of the first rectangle that one of these queries sees.
    ///
    /// # Safety
    /// Operands as `run_tile` wants them.
    unsafe fn begin(&self, head: Head, queries: (usize, usize)) -> usize {
        // SAFETY: passed on.
        unsafe { self.visibility.range(&self.dims, head.b, queries).0 / KEYS * KEYS }
    }
}

impl AttentionDims {
    /// `to[i] = Σ dout·out` of query first + i. Each is four sums of every fourth product, added in pairs.
    ///
    /// # Safety
    /// Both readable as [`AttentionDims`] says, `to` writable for `count` floats.
    #[inline(never)]
    unsafe fn deltas(
        &self,
        dout: *const f32,
        out: *const f32,
        head: Head,
        (first, count): (usize, usize),
        to: *mut f32,
    ) {
        for i in (0..count).step_by(LANES) {
            // A row beyond the last repeats it.
            let at = [0, 1, 2, 3].map(|lane| self.out_at(head, first + (i + lane).min(count - 1)));
            let mut sums = [F32x4::zero(); LANES];
            for d in (0..self.head_dim).step_by(LANES) {
                let m = LANES.min(self.head_dim - d);
                for lane in 0..LANES {
                    // SAFETY: entries below head_dim.
                    let (x, y) = unsafe { (load(dout.add(at[lane] + d), m), load(out.add(at[lane] + d), m)) };
                    sums[lane] = x.madd(y, sums[lane]);
                }
            }
            let [a, b, c, d] = F32x4::transpose4(sums);
            // SAFETY: i + lanes <= count.
            unsafe { ((a + b) + (c + d)).store_partial(to.add(i), LANES.min(count - i)) };
        }
    }

    unsafe fn clear_queries(&self, head: Head, (first, count): (usize, usize), dq: *mut f32) {
        for i in first..first + count {
            // SAFETY: query i of this head.
            unsafe { core::slice::from_raw_parts_mut(dq.add(self.q_at(head, i)), self.head_dim).fill(0.0) };
        }
    }

    unsafe fn clear_keys(&self, head: Head, (key, keys): (usize, usize), dk: *mut f32, dv: *mut f32) {
        for j in key..key + keys {
            // SAFETY: key j of this head.
            unsafe {
                core::slice::from_raw_parts_mut(dk.add(self.k_at(head, j)), self.head_dim).fill(0.0);
                core::slice::from_raw_parts_mut(dv.add(self.v_at(head, j)), self.head_dim).fill(0.0);
            }
        }
    }
}
