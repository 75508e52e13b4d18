//! The elementwise work on one row of a block of scores: softmax forward, probabilities and score gradients backward.
//! Excluded entries (beyond the row's end, or masked) become exact zeros whatever their scores hold.

use crate::lanes::load;
use crate::philox::Keep;
use crate::vecmath::Exp;
use simd::{F32x4, I32x4, LANES};

/// Which of a row's entries count: the first `n`, and of those the ones whose mask is not 0.
#[derive(Clone, Copy)]
pub(super) struct Visible {
    pub n: usize,
    /// One word per entry, or null for all.
    pub mask: *const i32,
}

impl Visible {
    /// The lanes of entries `j .. j + m` that count; lanes from `m` on are false.
    ///
    /// # Safety
    /// `j + m <= n`, the mask readable for `n`.
    #[inline(always)]
    unsafe fn lanes(&self, j: usize, m: usize) -> I32x4 {
        let inside = if m == LANES { I32x4::splat(-1) } else { I32x4::iota().lt(I32x4::splat(m as i32)) };
        if self.mask.is_null() {
            return inside;
        }
        // SAFETY: entries j .. j + m.
        let words = unsafe {
            if m == LANES {
                I32x4::load(self.mask.add(j))
            } else {
                let mut words = [0; LANES];
                for (lane, word) in words.iter_mut().enumerate().take(m) {
                    *word = *self.mask.add(j + lane);
                }
                I32x4::from_array(words)
            }
        };
        !words.eq(I32x4::zero()) & inside
    }
}

#[inline(always)]
fn only(lanes: I32x4, x: F32x4) -> F32x4 {
    F32x4::from_bits(x.to_bits() & lanes)
}

/// `(j, m)` for every vector of a row of `n`: entries `j .. j + m`, m = 4 except at the end.
#[inline(always)]
fn vectors(n: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..n).step_by(LANES).map(move |j| (j, LANES.min(n - j)))
}

/// Softmax of one row without the division: `scores[j]` becomes `exp(scale·scores[j] − max)` where visible, 0 elsewhere.
/// Returns the maximum and the sum; with nothing visible −infinity and 0. NaN in a visible score makes the sum NaN.
/// The sum is taken in two alternating sets of four lanes, from the row's beginning, so it does not depend on blocks.
///
/// # Safety
/// `scores` valid for `visible.n` floats, the mask too.
pub(super) unsafe fn softmax(scores: *mut f32, visible: Visible, scale: f32) -> (f32, f32) {
    let scale = F32x4::splat(scale);
    let lowest = F32x4::splat(f32::NEG_INFINITY);
    let (mut most, mut any) = (lowest, I32x4::zero());
    for (j, m) in vectors(visible.n) {
        // SAFETY: j + m <= n, for every access of this function.
        let (lanes, x) = unsafe { (visible.lanes(j, m), load(scores.add(j), m) * scale) };
        any = any | lanes;
        most = most.max(F32x4::select(lanes, x, lowest));
    }
    let largest = most.max_lane();
    if !any.any() {
        // SAFETY: n floats.
        unsafe { core::slice::from_raw_parts_mut(scores, visible.n).fill(0.0) };
        return (f32::NEG_INFINITY, 0.0);
    }
    let (exp, minus_largest) = (Exp::new(), F32x4::splat(-largest));
    let mut sums = [F32x4::zero(); 2];
    for (j, m) in vectors(visible.n) {
        // SAFETY: as above.
        unsafe {
            let x = load(scores.add(j), m);
            let e = only(visible.lanes(j, m), exp.eval(x.madd(scale, minus_largest)));
            sums[j / LANES % 2] = sums[j / LANES % 2] + e;
            store(e, scores.add(j), m);
        }
    }
    (largest, (sums[0] + sums[1]).sum())
}

/// Writes the first `m` lanes; a constant `m = 4` compiles to one store.
#[inline(always)]
unsafe fn store(x: F32x4, to: *mut f32, m: usize) {
    // SAFETY: writable for m floats by the caller's promise.
    unsafe {
        if m == LANES {
            x.store(to)
        } else {
            x.store_partial(to, m)
        }
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

/// What one row of a backward block needs of a query: its log-sum-exp and delta. Either one query for the whole row (by
/// query blocks) or one per entry (by key blocks).
#[derive(Clone, Copy)]
pub(super) struct Queries {
    pub lse: *const f32,
    pub delta: *const f32,
    /// 0: the same for every entry; 1: one per entry.
    pub step: usize,
}

impl Queries {
    #[inline(always)]
    unsafe fn pair(&self, j: usize, m: usize) -> (F32x4, F32x4) {
        // SAFETY: entries j .. j + m by the caller's promise.
        unsafe {
            if self.step == 0 {
                (F32x4::load_splat(self.lse), F32x4::load_splat(self.delta))
            } else {
                (load(self.lse.add(j), m), load(self.delta.add(j), m))
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
/// Every pointer valid for `visible.n` floats (`factors` may be null).
pub(super) unsafe fn score_gradients(
    s: *mut f32,
    dp: *mut f32,
    factors: *const f32,
    visible: Visible,
    queries: Queries,
    scale: f32,
) {
    let (exp, scale, one) = (Exp::new(), F32x4::splat(scale), F32x4::splat(1.0));
    let lowest = F32x4::splat(f32::NEG_INFINITY);
    for (j, m) in vectors(visible.n) {
        // SAFETY: j + m <= n.
        unsafe {
            let (lse, delta) = queries.pair(j, m);
            let f = if factors.is_null() { one } else { load(factors.add(j), m) };
            let counts = visible.lanes(j, m) & !lse.eq(lowest);
            let p = exp.eval(load(s.add(j), m).madd(scale, -lse));
            let ds = p * (f * load(dp.add(j), m) - delta) * scale;
            store(only(counts, p * f), s.add(j), m);
            store(only(counts, ds), dp.add(j), m);
        }
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

/// Dropout's factors of the `n` elements from `first` on. Returns where they begin inside `buffer`.
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
