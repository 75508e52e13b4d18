//! Softmax on transposed scores: a strip has one row per key and one column per query, so that maxima, exponentials and sums
//! of eight queries are plain vector operations and nothing is added across lanes. Excluded entries are minus infinity before
//! the exponentials and exact zeros after them.
//!
//! The sum of a query: exponentials in the order of its keys, in f32 inside 64 keys, then the sums of 64 in order. Neither the
//! strip's width nor its blocks enter, and `few.rs` adds in the same order.

use super::SUM_KEYS;
use crate::lanes::{pair, store_pair};
use crate::vecmath::{Exp, Log};
use simd::{F32x4, I32x4, LANES};

/// Queries that are worked on at a time: two vectors, which engines may fuse into one.
pub(super) const EIGHT: usize = 2 * LANES;

/// Transposed scores in scratch: row j at `ptr + j·row`.
#[derive(Clone, Copy)]
pub(super) struct Strip {
    pub ptr: *mut f32,
    pub row: usize,
}

impl Strip {
    pub fn at(&self, key: usize) -> *mut f32 {
        self.ptr.wrapping_add(key * self.row)
    }
}

/// The same address as far as the machine knows, and another as far as LLVM does: where results replace what they are made from it
/// would move loads behind stores that it knows to be elsewhere, and engines fuse vectors only if a trip's loads all come first.
#[inline(always)]
pub(super) fn apart(pointer: *mut f32) -> *mut f32 {
    core::hint::black_box(pointer)
}

/// Sets a row to minus infinity for the queries `..width` (a multiple of 4).
///
/// # Safety
/// The row writable for `width` floats.
pub(super) unsafe fn exclude(row: *mut f32, width: usize) {
    for i in (0..width).step_by(LANES) {
        // SAFETY: i < width.
        unsafe { F32x4::splat(f32::NEG_INFINITY).store(row.add(i)) };
    }
}

/// Sets the queries before `seen_from` to minus infinity, as far back as the block of sixteen queries that holds it begins.
///
/// # Safety
/// The row valid for `seen_from` rounded up to sixteen floats.
pub(super) unsafe fn exclude_before(row: *mut f32, seen_from: usize) {
    let lowest = F32x4::splat(f32::NEG_INFINITY);
    let first = seen_from / 16 * 16;
    for i in (first..seen_from).step_by(LANES) {
        let before = I32x4::iota().lt(I32x4::splat((seen_from - i) as i32));
        // SAFETY: i < seen_from rounded up.
        unsafe {
            let at = row.add(i);
            F32x4::select(before, lowest, F32x4::load(at)).store(at);
        }
    }
}

/// The largest of `keys` scores of sixteen queries, minus infinity if there is none. NaN may or may not be skipped.
///
/// # Safety
/// `scores` readable for sixteen floats at each of `keys` rows, `out` writable for sixteen.
#[inline(never)]
pub(super) unsafe fn largest(scores: *const f32, row: usize, keys: usize, out: *mut f32) {
    let mut most = [F32x4::splat(f32::NEG_INFINITY); 4];
    let mut at = scores;
    // SAFETY (whole body): as promised by the caller.
    unsafe {
        for _ in 0..keys {
            let (x0, x1) = pair(at);
            let (x2, x3) = pair(at.add(EIGHT));
            most = [most[0].max(x0), most[1].max(x1), most[2].max(x2), most[3].max(x3)];
            at = at.wrapping_add(row);
        }
        store_pair(most[0], most[1], out);
        store_pair(most[2], most[3], out.add(EIGHT));
    }
}

/// `scores[j] ← exp(scores[j] − largest)` for eight queries and all `keys`; `sums` gets their sums.
///
/// # Safety
/// `scores` valid for eight floats at each of `keys` rows, `largest` readable and `sums` writable for eight.
pub(super) unsafe fn exponentials(scores: *mut f32, row: usize, keys: usize, largest: *const f32, sums: *mut f32) {
    let mut part = [0.0f32; EIGHT];
    // SAFETY (whole body): as promised by the caller.
    unsafe {
        store_pair(F32x4::zero(), F32x4::zero(), sums);
        for first in (0..keys).step_by(SUM_KEYS) {
            let at = scores.add(first * row);
            exponentials_of_part(at, row, SUM_KEYS.min(keys - first), largest, part.as_mut_ptr());
            let (s0, s1) = pair(sums);
            let (p0, p1) = pair(part.as_ptr());
            store_pair(s0 + p0, s1 + p1, sums);
        }
    }
}

#[inline(never)]
unsafe fn exponentials_of_part(scores: *mut f32, row: usize, keys: usize, largest: *const f32, sums: *mut f32) {
    let exp = Exp::new();
    let (mut at, mut to) = (scores, apart(scores));
    // SAFETY (whole body): as promised by the caller.
    unsafe {
        let (m0, m1) = pair(largest);
        let (mut s0, mut s1) = (F32x4::zero(), F32x4::zero());
        for _ in 0..keys {
            let (x0, x1) = pair(at);
            let (e0, e1) = (exp.eval_below(x0 - m0), exp.eval_below(x1 - m1));
            (s0, s1) = (s0 + e0, s1 + e1);
            store_pair(e0, e1, to);
            (at, to) = (at.wrapping_add(row), to.wrapping_add(row));
        }
        store_pair(s0, s1, sums);
    }
}

/// `lse = largest + ln(sum)` of eight queries, of which `count` are written.
///
/// # Safety
/// `largest` and `sums` readable for eight floats, `lse` writable for `count`.
pub(super) unsafe fn log_sums(largest: *const f32, sums: *const f32, lse: *mut f32, count: usize) {
    let log = Log::new();
    for i in (0..count.min(EIGHT)).step_by(LANES) {
        // SAFETY: i + 4 <= 8, and i + lanes <= count.
        unsafe {
            let value = F32x4::load(largest.add(i)) + log.eval(F32x4::load(sums.add(i)));
            value.store_partial(lse.add(i), (count - i).min(LANES));
        }
    }
}
