//! Forward for fewer queries than a register tile has rows, as in generation: K and V are read in place, front to back, and
//! scores are rows of one query. Heads that share keys and values are worked on together, so that memory is read once for all of
//! them. The bits are those of `forward.rs`: the same chains, and sums in the order of `strip.rs`.

use super::drop::{factors, factors_len};
use super::{Attention, AttentionDims, Head, SUM_KEYS};
use crate::lanes::{map1, map2};
use crate::matmul::gemv::{along_columns, along_rows};
use crate::matmul::micro::Start;
use crate::matmul::panels::Left;
use crate::vecmath::{self, Exp};
use simd::{F32x4, LANES};

/// Rows of scores are padded to whole groups of four sums.
const PADDED: usize = LANES * SUM_KEYS;

fn row_len(keys: usize) -> usize {
    keys.next_multiple_of(PADDED)
}

/// Floats of scratch for `dims.tq` queries of all heads that share keys.
pub(super) fn scratch_len(dims: &AttentionDims) -> usize {
    let rows = dims.tq * dims.group();
    rows * (row_len(dims.tk) + dims.head_dim + 1) + factors_len(dims.tk)
}

/// Work items there should be: with few heads of keys and values those that share one are parted, so that no thread is left without.
const ITEMS: usize = 3;

impl AttentionDims {
    /// Into how many parts the heads are cut that share one of keys and values.
    pub(super) fn few_parts(&self) -> usize {
        ITEMS.div_ceil((self.batch * self.kv_heads).max(1)).min(self.group())
    }
}

/// All queries of some heads that share keys and values.
///
/// # Safety
/// As `run_tile` of [`Attention`], `tile` below `batch·kv_heads·few_parts`; scratch for [`scratch_len`].
pub(super) unsafe fn forward(op: &Attention, tile: usize, scratch: *mut f32) {
    let d = &op.dims;
    let (of_group, part, parts) = (d.group_head(tile / d.few_parts()), tile % d.few_parts(), d.few_parts());
    let (first, last) = (part * d.group() / parts, (part + 1) * d.group() / parts);
    let (head, group) = (Head { h: of_group.h + first, ..of_group }, last - first);
    let (rows, keys, row) = (d.tq * group, d.end(d.tq - 1), row_len(d.tk));
    let mask = d.mask_of(op.visibility.key_mask, head);
    let queries = scratch.wrapping_add(rows * row);
    let sums = queries.wrapping_add(rows * d.head_dim);
    let buffer = sums.wrapping_add(rows);
    // SAFETY (whole body): scratch is as long as scratch_len says, operands as the caller vouches.
    unsafe {
        // Row `i·group + h`: query i of the group's head h.
        let of_row = |r: usize| (Head { h: head.h + r % group, ..head }, r / group);
        for r in 0..rows {
            let (head, i) = of_row(r);
            scale_row(op.q.add(d.q_at(head, i)), queries.add(r * d.head_dim), d.head_dim, d.scale);
        }
        let left = Left { ptr: queries, row: d.head_dim, step: 1 };
        let k = op.k.wrapping_add(d.k_at(head, 0));
        along_columns(rows, left, k, d.k_row, d.head_dim, keys, Start::zero(), scratch, row);
        for r in 0..rows {
            let (head, i) = of_row(r);
            let (scores, end) = (scratch.add(r * row), d.end(i));
            let (largest, sum) = softmax(scores, end, mask);
            *op.lse.add(d.lse_at(head, i)) = largest + vecmath::log(sum);
            *sums.add(r) = sum;
            if let Some(keep) = &d.dropout {
                let drawn = factors(keep, d.element(head, i), end, buffer);
                map2(scores, drawn, scores, end, |x, f| x * f);
            }
        }
        for i in 0..d.tq {
            mix(op, head, group, i, scratch.add(i * group * row), mask);
        }
        for r in 0..rows {
            let (head, i) = of_row(r);
            let (sum, out) = (*sums.add(r), op.out.add(d.out_at(head, i)));
            if sum != 0.0 {
                scale_row(out, out, d.head_dim, 1.0 / sum);
            }
        }
    }
}

/// `out[j] = x[j]·factor`; `out` may be `x`.
///
/// # Safety
/// Both valid for `n` floats.
#[inline(never)]
pub(super) unsafe fn scale_row(x: *const f32, out: *mut f32, n: usize, factor: f32) {
    let factor = F32x4::splat(factor);
    // SAFETY: passed on.
    unsafe { map1(x, super::strip::apart(out), n, |x| x * factor) }
}

/// `scores[j] ← exp(scores[j] − largest)` for the visible keys below `end`, 0 for all others up to the padded length. Returns
/// the largest and the sum: 0 and 0 where nothing is visible.
unsafe fn softmax(scores: *mut f32, end: usize, mask: *const i32) -> (f32, f32) {
    let padded = row_len(end);
    let exp = Exp::new();
    let lowest = F32x4::splat(f32::NEG_INFINITY);
    // SAFETY (whole body): rows are padded; the mask holds `end` words.
    unsafe {
        let mut any = end > 0;
        if !mask.is_null() {
            any = false;
            for j in 0..end {
                if *mask.add(j) == 0 {
                    *scores.add(j) = f32::NEG_INFINITY;
                } else {
                    any = true;
                }
            }
        }
        for j in end..padded {
            *scores.add(j) = f32::NEG_INFINITY;
        }
        let mut most = lowest;
        for j in (0..padded).step_by(LANES) {
            most = most.max(F32x4::load(scores.add(j)));
        }
        let largest = if any { most.max_lane() } else { 0.0 };
        let minus = F32x4::splat(largest);
        for j in (0..padded).step_by(2 * LANES) {
            let (x0, x1) = crate::lanes::pair(scores.add(j));
            let (e0, e1) = (exp.eval_below(x0 - minus), exp.eval_below(x1 - minus));
            crate::lanes::store_pair(e0, e1, scores.add(j));
        }
        (largest, sum(scores, padded))
    }
}

/// The sum of a padded row, in the order of `strip.rs`: lane l of a group of four parts adds the keys of part l one by one.
unsafe fn sum(scores: *const f32, padded: usize) -> f32 {
    let mut total = 0.0;
    for group in (0..padded).step_by(PADDED) {
        let mut parts = F32x4::zero();
        for j in (group..group + SUM_KEYS).step_by(LANES) {
            // SAFETY: the row is padded to whole groups.
            let rows = [0, 1, 2, 3].map(|part| unsafe { F32x4::load(scores.add(j + part * SUM_KEYS)) });
            for keys in F32x4::transpose4(rows) {
                parts = parts + keys;
            }
        }
        for part in parts.to_array() {
            total += part;
        }
    }
    total
}

/// `out = Σ_j scores[j] · v[j]` for query i of `heads` heads, by runs of visible keys: masked ones are not read.
unsafe fn mix(op: &Attention, head: Head, heads: usize, i: usize, scores: *const f32, mask: *const i32) {
    let d = &op.dims;
    let (end, row, out) = (d.end(i), row_len(d.tk), op.out.wrapping_add(d.out_at(head, i)));
    // SAFETY (whole body): keys below end only; visible ones only.
    unsafe {
        let counts = |j: usize| mask.is_null() || *mask.add(j) != 0;
        let v = op.v.wrapping_add(d.v_at(head, 0));
        let (mut start, mut j) = (Start::zero(), 0);
        // The first call may be empty: it writes the zeros to start from.
        loop {
            let run = if mask.is_null() { end - j } else { (j..end).take_while(|&j| counts(j)).count() };
            let left = Left { ptr: scores.wrapping_add(j), row, step: 1 };
            along_rows(heads, left, v.wrapping_add(j * d.v_row), d.v_row, run, d.head_dim, start, out, d.head_dim);
            start = Start { from: out, row: d.head_dim, add: core::ptr::null() };
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
