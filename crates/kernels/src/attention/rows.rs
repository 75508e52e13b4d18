//! The elementwise work on a block of scores: softmax forward, probabilities and score gradients backward. Excluded entries
//! (outside the row's range, or masked) become exact zeros whatever their scores hold.
//!
//! Rows of scratch are padded to whole vectors, so everything here works on whole vectors: lanes outside a row's range are
//! computed, forced to zero and never read by the products that follow.

use crate::lanes::load;
use crate::philox::Keep;
use crate::vecmath::Exp;
use simd::{F32x4, I32x4, LANES};

/// Which entries of a row count: `from .. to`, and of those the ones whose mask is not 0.
#[derive(Clone, Copy)]
pub(super) struct Visible {
    pub from: usize,
    pub to: usize,
    /// One word per entry from 0 on, readable for `to`; or null for all.
    pub mask: *const i32,
}

impl Visible {
    /// The vector that holds entry `from`.
    fn first(&self) -> usize {
        self.from / LANES * LANES
    }

    /// Calls `f(j, lanes)` for every vector that holds a visible entry; `lanes` says which of `j .. j + 4` count. Inner
    /// vectors of a row without mask get a constant.
    ///
    /// # Safety
    /// The mask readable as documented.
    #[inline(always)]
    unsafe fn each(&self, mut f: impl FnMut(usize, I32x4)) {
        let all = I32x4::splat(-1);
        let mut j = self.first();
        if !self.mask.is_null() {
            while j < self.to {
                // SAFETY: promised by the caller.
                f(j, unsafe { self.masked(j) });
                j += LANES;
            }
            return;
        }
        if j < self.from && j < self.to {
            f(j, self.inside(j));
            j += LANES;
        }
        while j + LANES <= self.to {
            f(j, all);
            j += LANES;
        }
        if j < self.to {
            f(j, self.inside(j));
        }
    }

    #[inline(always)]
    fn inside(&self, j: usize) -> I32x4 {
        let at = I32x4::iota() + I32x4::splat(j as i32);
        at.lt(I32x4::splat(self.to as i32)) & !at.lt(I32x4::splat(self.from as i32))
    }

    #[inline(always)]
    unsafe fn masked(&self, j: usize) -> I32x4 {
        // SAFETY: words below `to` only.
        let words = unsafe {
            if j + LANES <= self.to {
                I32x4::load(self.mask.add(j))
            } else {
                let mut words = [0; LANES];
                for lane in 0..self.to - j {
                    words[lane] = *self.mask.add(j + lane);
                }
                I32x4::from_array(words)
            }
        };
        !words.eq(I32x4::zero()) & self.inside(j)
    }
}

#[inline(always)]
fn only(lanes: I32x4, x: F32x4) -> F32x4 {
    F32x4::from_bits(x.to_bits() & lanes)
}

/// Softmax of one row without the division: `scores[j]` becomes `exp(scale·scores[j] − max)` where visible, 0 elsewhere.
/// Returns the maximum and the sum; with nothing visible −infinity and 0. NaN in a visible score makes the sum NaN.
/// The sum is taken in two alternating sets of four lanes, from the row's beginning, so it does not depend on blocks.
///
/// # Safety
/// `scores` valid for `visible.to` floats rounded up to whole vectors, the mask as documented.
#[inline(always)]
pub(super) unsafe fn softmax(exp: &Exp, scores: *mut f32, visible: Visible, scale: f32) -> (f32, f32) {
    let scale = F32x4::splat(scale);
    let lowest = F32x4::splat(f32::NEG_INFINITY);
    let (mut most, mut any) = (lowest, I32x4::zero());
    // SAFETY (whole body): vectors below `to` rounded up.
    unsafe {
        visible.each(|j, lanes| {
            any = any | lanes;
            most = most.max(F32x4::select(lanes, F32x4::load(scores.add(j)) * scale, lowest));
        });
        if !any.any() {
            visible.each(|j, _| F32x4::zero().store(scores.add(j)));
            return (f32::NEG_INFINITY, 0.0);
        }
        let largest = most.max_lane();
        let minus_largest = F32x4::splat(-largest);
        let mut sums = [F32x4::zero(); 2];
        visible.each(|j, lanes| {
            let e = only(lanes, exp.eval(F32x4::load(scores.add(j)).madd(scale, minus_largest)));
            sums = [sums[1], sums[0] + e];
            e.store(scores.add(j));
        });
        (largest, (sums[0] + sums[1]).sum())
    }
}

/// Multiplies a row by `factor`.
///
/// # Safety
/// `x` valid for `n` floats.
pub(super) unsafe fn scale_row(x: *mut f32, n: usize, factor: f32) {
    let factor = F32x4::splat(factor);
    // SAFETY: equal ranges of n floats.
    unsafe { crate::lanes::map1(x, x, n, |x| x * factor) }
}

/// Multiplies a row by another, element by element.
///
/// # Safety
/// Both valid for `n` floats, not overlapping.
pub(super) unsafe fn multiply_row(x: *mut f32, factors: *const f32, n: usize) {
    // SAFETY: as promised.
    unsafe { crate::lanes::map2(x, factors, x, n, |x, f| x * f) }
}

/// What the row of a backward block needs of its queries: log-sum-exp and delta, either of one query for the whole row (by
/// query blocks) or one per entry (by key blocks).
#[derive(Clone, Copy)]
pub(super) struct Queries {
    pub lse: *const f32,
    pub delta: *const f32,
    /// 0: the same for every entry; 1: one per entry, padded to whole vectors.
    pub step: usize,
}

impl Queries {
    #[inline(always)]
    unsafe fn pair(&self, j: usize) -> (F32x4, F32x4) {
        // SAFETY: entries j .. j + 4 by the caller's promise.
        unsafe {
            if self.step == 0 {
                (F32x4::load_splat(self.lse), F32x4::load_splat(self.delta))
            } else {
                (F32x4::load(self.lse.add(j)), F32x4::load(self.delta.add(j)))
            }
        }
    }
}

/// One row of a backward block: from scores `s` and `dp = dout·v` to the gradient of the scores and, in `s`, the
/// probabilities as dropout left them:
/// `p = exp(scale·s − lse)`, `s ← p·f`, `dp ← p·(f·dp − delta)·scale`, `f` dropout's factors (null: 1). Zeros where not
/// visible and where the query sees nothing (its lse is −infinity).
///
/// # Safety
/// `s` and `dp` valid for `visible.to` floats rounded up to whole vectors, `factors` (may be null) and the queries too.
#[inline(always)]
pub(super) unsafe fn score_gradients(
    exp: &Exp,
    s: *mut f32,
    dp: *mut f32,
    factors: *const f32,
    visible: Visible,
    queries: Queries,
    scale: f32,
) {
    let scale = F32x4::splat(scale);
    let lowest = F32x4::splat(f32::NEG_INFINITY);
    // SAFETY (whole body): vectors below `to` rounded up.
    unsafe {
        visible.each(|j, lanes| {
            let (lse, delta) = queries.pair(j);
            let counts = lanes & !lse.eq(lowest);
            let p = only(counts, exp.eval(F32x4::load(s.add(j)).madd(scale, -lse)));
            let dp_j = F32x4::load(dp.add(j));
            let (kept, f_dp) = if factors.is_null() {
                (p, dp_j)
            } else {
                let f = F32x4::load(factors.add(j));
                (p * f, f * dp_j)
            };
            kept.store(s.add(j));
            only(counts, p * (f_dp - delta) * scale).store(dp.add(j));
        });
    }
}

/// `Σ x[d]·y[d]` in f64 over f32 lanes (see [`crate::lanes::sums`]).
///
/// # Safety
/// Both readable for `n` floats.
pub(super) unsafe fn dot(x: *const f32, y: *const f32, n: usize) -> f32 {
    // SAFETY: entries below n.
    let [sum] = crate::lanes::sums(n, |d, m| [unsafe { load(x.add(d), m) * load(y.add(d), m) }]);
    sum as f32
}

/// Floats that [`factors`] writes for a row of `n`.
pub(super) const fn factors_len(n: usize) -> usize {
    n + 32
}

/// Dropout's factors of the `n` elements from `first` on. Returns where they begin inside `buffer`; at least three more
/// floats follow them.
///
/// # Safety
/// `buffer` writable for [`factors_len`] of `n`.
pub(super) unsafe fn factors(keep: &Keep, first: u64, n: usize, buffer: *mut f32) -> *mut f32 {
    let (block, lead) = (first / 4, (first % 4) as usize);
    for at in (0..lead + n).step_by(16) {
        for (v, factors) in keep.factors16(block + at as u64 / 4).into_iter().enumerate() {
            // SAFETY: at + 16 <= lead + n + 15 <= n + 18.
            unsafe { factors.store(buffer.add(at + 4 * v)) };
        }
    }
    buffer.wrapping_add(lead)
}
