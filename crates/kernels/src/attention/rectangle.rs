//! The heart of backward: some keys by some queries of one head. Scores, probabilities and their gradients exist for one such
//! rectangle at a time, transposed: one row per key, one column per query. From them come the keys' dK and dV (sums along the
//! rows), the queries' dQ (sums along the columns), or all three.
//!
//! Sums go on from what dQ, dK and dV hold, unless told to begin, so that whoever visits queries (or keys) in ascending order
//! gets each element as one chain, whatever the rectangles.

use super::drop::{transposed, transposed_len};
use super::strip::{apart, Strip, EIGHT};
use super::{pack_scaled_columns, AttentionDims, Head, Visibility};
use crate::lanes::{pair, store_pair};
use crate::matmul::micro::{register_tile, RegisterTile, Start, MAX_NR};
use crate::matmul::pack::{clear_steps, pack_columns, pack_rows, packed_len};
use crate::matmul::panels::{Left, Product, Steps, Wanted};
use crate::vecmath::Exp;
use simd::F32x4;

/// What every form of backward reads. Layouts: [`AttentionDims`].
#[derive(Clone, Copy, Debug)]
pub struct BackwardInputs {
    /// Queries.
    pub q: *const f32,
    /// Keys.
    pub k: *const f32,
    /// Values.
    pub v: *const f32,
    /// What queries see.
    pub visibility: Visibility,
    /// The forward log-sum-exp.
    pub lse: *const f32,
    /// Gradient of the forward result, laid out as it.
    pub dout: *const f32,
    /// Sizes, strides, settings.
    pub dims: AttentionDims,
}

/// Which gradients a rectangle adds to, each with whether it begins there.
#[derive(Clone, Copy)]
pub(super) struct Gradients {
    /// dQ and whether these are the first keys; null for none.
    pub dq: *mut f32,
    pub dq_begins: bool,
    /// dK, dV and whether these are the first queries; null for none.
    pub dk: *mut f32,
    pub dv: *mut f32,
    pub dkv_begin: bool,
}

/// Queries `first ..` of a head, packed in scratch for any number of rectangles.
#[derive(Clone, Copy)]
pub(super) struct Queries {
    pub head: Head,
    pub first: usize,
    pub count: usize,
    /// The register tile they are packed for, and all their products use.
    tile: RegisterTile,
    scratch: Scratch,
}

impl Queries {
    /// Where `Σ dout·out` of each query belongs.
    pub fn delta(&self) -> *mut f32 {
        self.scratch.delta
    }
}

/// Where things lie in scratch. `rows`, `columns`: the most keys and queries of a rectangle.
#[derive(Clone, Copy)]
struct Scratch {
    /// Packed scaled queries and dout, along the head's width.
    q_columns: *mut f32,
    dout_columns: *mut f32,
    /// Packed queries and dout, along time.
    q_rows: *mut f32,
    dout_rows: *mut f32,
    lse: *mut f32,
    delta: *mut f32,
    keys: *mut f32,
    s: *mut f32,
    dp: *mut f32,
    drawn: *mut f32,
    buffer: *mut f32,
}

const fn row_len(columns: usize) -> usize {
    columns.next_multiple_of(2 * MAX_NR) + MAX_NR
}

/// Floats of scratch for rectangles of at most `rows` keys by `columns` queries.
pub(super) fn scratch_len(d: &AttentionDims, rows: usize, columns: usize) -> usize {
    let (_, len) = Scratch::new(d, rows, columns, core::ptr::null_mut());
    len
}

impl Scratch {
    fn new(d: &AttentionDims, rows: usize, columns: usize, scratch: *mut f32) -> (Self, usize) {
        let mut len = 0;
        let mut take = |n: usize| {
            let at = scratch.wrapping_add(len);
            len += n.next_multiple_of(MAX_NR);
            at
        };
        let along_width = packed_len(d.head_dim, columns, MAX_NR);
        let along_time = packed_len(columns, d.head_dim, MAX_NR);
        let block = rows * row_len(columns);
        let drawn = if d.dropout.is_some() { block } else { 0 };
        let scratch = Self {
            q_columns: take(along_width),
            dout_columns: take(along_width),
            q_rows: take(along_time),
            dout_rows: take(along_time),
            lse: take(columns),
            delta: take(columns),
            keys: take(packed_len(rows, d.head_dim, MAX_NR)),
            s: take(block),
            dp: take(block),
            drawn: take(drawn),
            buffer: take(if d.dropout.is_some() { transposed_len(rows) } else { 0 }),
        };
        (scratch, len)
    }
}

impl BackwardInputs {
    /// Packs the queries `first .. first + count`. `along_time`: whether dK and dV will be asked for. The caller then writes
    /// [`Queries::delta`].
    ///
    /// # Safety
    /// Operands as `run_tile` wants them, scratch for [`scratch_len`] of `rows` and `columns`, `count <= columns`.
    #[inline(never)]
    pub(super) unsafe fn pack(
        &self,
        head: Head,
        (first, count): (usize, usize),
        along_time: bool,
        (rows, columns): (usize, usize),
        scratch: *mut f32,
    ) -> Queries {
        let d = &self.dims;
        let (scratch, _) = Scratch::new(d, rows, columns, scratch);
        let (q, dout) = (self.q.wrapping_add(d.q_at(head, first)), self.dout.wrapping_add(d.out_at(head, first)));
        let tile = register_tile();
        let (nr, width) = (tile.nr(), d.head_dim);
        // SAFETY (whole body): promised by the caller.
        unsafe {
            pack_scaled_columns(q, d.q_row, width, count, d.scale, nr, scratch.q_columns);
            pack_columns(dout, d.out_row(), width, count, nr, scratch.dout_columns);
            if along_time {
                pack_rows(q, d.q_row, count, width, nr, scratch.q_rows);
                pack_rows(dout, d.out_row(), count, width, nr, scratch.dout_rows);
            }
            core::ptr::copy_nonoverlapping(self.lse.add(d.lse_at(head, first)), scratch.lse, count);
            // A query without a key: minus infinity minus this must stay minus infinity.
            for i in (0..count).filter(|&i| *scratch.lse.add(i) == f32::NEG_INFINITY) {
                *scratch.lse.add(i) = 0.0;
            }
            for i in count..count.next_multiple_of(EIGHT) {
                (*scratch.lse.add(i), *scratch.delta.add(i)) = (0.0, 0.0);
            }
        }
        Queries { head, first, count, tile, scratch }
    }

    /// The rectangle of keys `key .. key + keys` and the packed queries.
    ///
    /// # Safety
    /// As [`BackwardInputs::pack`]; the gradients writable where asked for.
    #[inline(never)]
    pub(super) unsafe fn rectangle(&self, queries: &Queries, (key, keys): (usize, usize), to: &Gradients) {
        let d = &self.dims;
        let Queries { head, first, count, tile, scratch } = *queries;
        let row = row_len(count);
        let (s, dp) = (Strip { ptr: scratch.s, row }, Strip { ptr: scratch.dp, row });
        // Key `key + r` is seen from query column r − late on.
        let late = first as isize + d.shift() - key as isize;
        let dots = |left: *const f32, left_row: usize, packed: *const f32, out: Strip| Product {
            left: Left { ptr: left, row: left_row, step: 1 },
            rows: keys,
            packed,
            cols: count.next_multiple_of(tile.nr()),
            depth: d.head_dim,
            start: Start::zero(),
            out: out.ptr,
            out_row: row,
            wanted: if d.causal { Wanted::Above(late) } else { Wanted::All },
            steps: Steps::All,
        };
        let (k, v) = (self.k.wrapping_add(d.k_at(head, key)), self.v.wrapping_add(d.v_at(head, key)));
        // SAFETY (whole body): scratch and operands as the caller vouches.
        unsafe {
            dots(k, d.k_row, scratch.q_columns, s).run(tile);
            dots(v, d.v_row, scratch.dout_columns, dp).run(tile);
            if !self.visibility.is_plain() {
                self.visibility.exclude(d, head, (first, count), (key, keys), s, dp.ptr);
            }
            if let Some(keep) = &d.dropout {
                transposed(d, keep, head, (first, count), (key, keys), (scratch.drawn, row), scratch.buffer);
            }
            self.gradients_of_scores(queries, (key, keys), s, dp);
            if !to.dk.is_null() {
                self.add_dkv(queries, (key, keys), s, dp, to);
            }
            if !to.dq.is_null() {
                self.add_dq(queries, (key, keys), dp, to);
            }
        }
    }

    /// Turns scores into probabilities as dropout left them, and dP into the gradient of the scores.
    unsafe fn gradients_of_scores(&self, queries: &Queries, (key, keys): (usize, usize), s: Strip, dp: Strip) {
        let d = &self.dims;
        let Queries { head, first, count, scratch, .. } = *queries;
        let mask = d.mask_of(self.visibility.key_mask, head);
        let width = count.next_multiple_of(EIGHT);
        for r in 0..keys {
            let from = d.first(key + r).saturating_sub(first).min(width) / EIGHT * EIGHT;
            let n = width - from;
            let (s, dp) = (s.at(r).wrapping_add(from), dp.at(r).wrapping_add(from));
            let (lse, delta) = (scratch.lse.wrapping_add(from), scratch.delta.wrapping_add(from));
            // SAFETY (whole body): columns from .. width of row r.
            unsafe {
                if !mask.is_null() && *mask.add(key + r) == 0 {
                    core::slice::from_raw_parts_mut(s, n).fill(0.0);
                    core::slice::from_raw_parts_mut(dp, n).fill(0.0);
                } else {
                    let factors = scratch.drawn.wrapping_add(r * row_len(count) + from);
                    let row = if d.dropout.is_some() { score_gradients::<true> } else { score_gradients::<false> };
                    row(s, dp, factors, lse, delta, n, d.scale);
                }
            }
        }
    }

    unsafe fn add_dkv(&self, queries: &Queries, (key, keys): (usize, usize), s: Strip, dp: Strip, to: &Gradients) {
        let d = &self.dims;
        let Queries { head, first, count, tile, scratch } = *queries;
        let late = first as isize + d.shift() - key as isize;
        let dv = (to.dv.wrapping_add(d.v_at(head, key)), d.v_row);
        let dk = (to.dk.wrapping_add(d.k_at(head, key)), d.k_row);
        for (left, packed, (out, out_row)) in [(s, scratch.dout_rows, dv), (dp, scratch.q_rows, dk)] {
            let product = Product {
                left: Left { ptr: left.ptr, row: left.row, step: 1 },
                rows: keys,
                packed,
                cols: d.head_dim,
                depth: count,
                start: start(to.dkv_begin, out, out_row),
                out,
                out_row,
                wanted: Wanted::All,
                steps: if d.causal { Steps::Starting(-late) } else { Steps::All },
            };
            // SAFETY: promised by the caller.
            unsafe { product.run(tile) };
        }
    }

    unsafe fn add_dq(&self, queries: &Queries, (key, keys): (usize, usize), dp: Strip, to: &Gradients) {
        let d = &self.dims;
        let Queries { head, first, count, tile, scratch } = *queries;
        let nr = tile.nr();
        // Queries before `skip` see none of these keys: nothing is added, but zeros are needed to begin with.
        let skip = if to.dq_begins { 0 } else { d.first(key).saturating_sub(first).min(count) };
        let end = (first + skip) as isize + d.shift() + 1 - key as isize;
        let out = to.dq.wrapping_add(d.q_at(head, first + skip));
        let mask = d.mask_of(self.visibility.key_mask, head);
        // SAFETY (whole body): promised by the caller.
        unsafe {
            pack_rows(self.k.add(d.k_at(head, key)), d.k_row, keys, d.head_dim, nr, scratch.keys);
            if !mask.is_null() {
                clear_steps(scratch.keys, keys, d.head_dim, nr, mask.add(key));
            }
            let product = Product {
                left: Left { ptr: dp.ptr.wrapping_add(skip), row: 1, step: dp.row },
                rows: count - skip,
                packed: scratch.keys,
                cols: d.head_dim,
                depth: keys,
                start: start(to.dq_begins, out, d.q_row),
                out,
                out_row: d.q_row,
                wanted: Wanted::All,
                steps: if d.causal { Steps::Ending(end) } else { Steps::All },
            };
            product.run(tile);
        }
    }
}

fn start(begins: bool, out: *const f32, row: usize) -> Start {
    if begins {
        Start::zero()
    } else {
        Start { from: out, row, add: core::ptr::null() }
    }
}

/// One row: `p = exp(s − lse)`, `s ← p·f`, `dp ← p·(f·dp − delta)·scale`, with dropout's factors f, or 1 for all where nothing
/// is `DROPPED`. Columns that do not count are computed and never read.
///
/// # Safety
/// All valid for `n` floats, a multiple of 8; the factors only where `DROPPED`.
#[inline(never)]
unsafe fn score_gradients<const DROPPED: bool>(
    s: *mut f32,
    dp: *mut f32,
    factors: *const f32,
    lse: *const f32,
    delta: *const f32,
    n: usize,
    scale: f32,
) {
    let exp = Exp::new();
    let scale = F32x4::splat(scale);
    let (s_to, dp_to) = (apart(s), apart(dp));
    for i in (0..n).step_by(EIGHT) {
        // SAFETY: i + 8 <= n.
        unsafe {
            let ((s0, s1), (l0, l1)) = (pair(s.add(i)), pair(lse.add(i)));
            let ((g0, g1), (d0, d1)) = (pair(dp.add(i)), pair(delta.add(i)));
            let (p0, p1) = (exp.eval_below(s0 - l0), exp.eval_below(s1 - l1));
            let ((p0, g0), (p1, g1), (q0, q1)) = if DROPPED {
                let (f0, f1) = pair(factors.add(i));
                ((p0, f0 * g0), (p1, f1 * g1), (p0 * f0, p1 * f1))
            } else {
                ((p0, g0), (p1, g1), (p0, p1))
            };
            store_pair(q0, q1, s_to.add(i));
            store_pair(p0 * (g0 - d0) * scale, p1 * (g1 - d1) * scale, dp_to.add(i));
        }
    }
}
