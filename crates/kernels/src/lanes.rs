//! Loops that the elementwise and row-wise kernels share. Two vectors per trip, and in a trip all loads come before all
//! stores: engines that fuse vector pairs into 256-bit operations need both. A ragged end runs the same lane operations on
//! a partly filled vector, so an element's bits do not depend on where a tile ends.

use crate::vecmath::first_lanes;
use simd::F32x4;

/// Elements that one tile of an elementwise kernel takes: 64 kB per operand, small enough to spread over threads and large
/// enough that taking a tile costs nothing (20 ns against 10 µs). A multiple of 16 for Philox blocks of four vectors.
pub const TILE: usize = 16_384;

/// Elements whose sum is carried in f32 lanes before it moves into f64: 32 additions per lane lose at most 1e-6.
const BLOCK: usize = 256;

/// The elements `[start, end)` of a tile of `per` elements out of `n`.
#[inline(always)]
pub fn range(tile: usize, per: usize, n: usize) -> (usize, usize) {
    let start = tile * per;
    (start, n.min(start + per))
}

/// How many rows of `cols` elements make a tile of about [`TILE`] elements, at least one.
#[inline(always)]
pub fn rows_per_tile(cols: usize) -> usize {
    (TILE / cols.max(1)).max(1)
}

/// How many columns a tile of a sum over rows takes: a quarter of them, at least four cache lines of every row, so that rows are read
/// as streams. (Strips as narrow as the registers wait for memory: 3.8 ns an element beyond the caches, whole rows 0.9.)
#[inline(always)]
pub fn columns_per_tile(cols: usize) -> usize {
    (cols.div_ceil(4).div_ceil(16) * 16).max(64)
}

/// Two adjacent vectors. The second address is derived from the first, not from the loop's counter: only then does LLVM make it an
/// offset of one base, by which engines recognise neighbours.
///
/// # Safety
/// `pointer` readable for eight floats.
#[inline(always)]
pub unsafe fn pair(pointer: *const f32) -> (F32x4, F32x4) {
    // SAFETY: promised by the caller.
    unsafe { (F32x4::load(pointer), F32x4::load(pointer.add(4))) }
}

/// Writes two adjacent vectors: see [`pair`].
///
/// # Safety
/// `pointer` writable for eight floats.
#[inline(always)]
pub unsafe fn store_pair(v0: F32x4, v1: F32x4, pointer: *mut f32) {
    // SAFETY: promised by the caller.
    unsafe {
        v0.store(pointer);
        v1.store(pointer.add(4));
    }
}

/// `out[i] = f(x[i])` for `i < n`. `out` may be `x`.
///
/// # Safety
/// `x` readable and `out` writable for `n` floats; they are equal or do not overlap.
#[inline(always)]
pub unsafe fn map1(x: *const f32, out: *mut f32, n: usize, f: impl Fn(F32x4) -> F32x4) {
    // SAFETY: every access is at i .. i + 8 <= n, or partial up to n.
    unsafe {
        let mut i = 0;
        while i + 8 <= n {
            let (x0, x1) = pair(x.add(i));
            let (y0, y1) = (f(x0), f(x1));
            store_pair(y0, y1, out.add(i));
            i += 8;
        }
        while i < n {
            let m = (n - i).min(4);
            f(F32x4::load_partial(x.add(i), m)).store_partial(out.add(i), m);
            i += m;
        }
    }
}

/// `out[i] = f(a[i], b[i])` for `i < n`. `out` may be `a` or `b`.
///
/// # Safety
/// As [`map1`], for both inputs.
#[inline(always)]
pub unsafe fn map2(a: *const f32, b: *const f32, out: *mut f32, n: usize, f: impl Fn(F32x4, F32x4) -> F32x4) {
    // SAFETY: every access is at i .. i + 8 <= n, or partial up to n.
    unsafe {
        let mut i = 0;
        while i + 8 <= n {
            let (a0, a1) = pair(a.add(i));
            let (b0, b1) = pair(b.add(i));
            let (y0, y1) = (f(a0, b0), f(a1, b1));
            store_pair(y0, y1, out.add(i));
            i += 8;
        }
        while i < n {
            let m = (n - i).min(4);
            let (a0, b0) = (F32x4::load_partial(a.add(i), m), F32x4::load_partial(b.add(i), m));
            f(a0, b0).store_partial(out.add(i), m);
            i += m;
        }
    }
}

/// `out[i] = f(a[i], b[i], c[i])` for `i < n`. `out` may be one of the inputs.
///
/// # Safety
/// As [`map1`], for all three inputs.
#[inline(always)]
pub unsafe fn map3(
    a: *const f32,
    b: *const f32,
    c: *const f32,
    out: *mut f32,
    n: usize,
    f: impl Fn(F32x4, F32x4, F32x4) -> F32x4,
) {
    // SAFETY: every access is at i .. i + 8 <= n, or partial up to n.
    unsafe {
        let mut i = 0;
        while i + 8 <= n {
            let (a0, a1) = pair(a.add(i));
            let (b0, b1) = pair(b.add(i));
            let (c0, c1) = pair(c.add(i));
            let (y0, y1) = (f(a0, b0, c0), f(a1, b1, c1));
            store_pair(y0, y1, out.add(i));
            i += 8;
        }
        while i < n {
            let m = (n - i).min(4);
            let (a0, b0) = (F32x4::load_partial(a.add(i), m), F32x4::load_partial(b.add(i), m));
            f(a0, b0, F32x4::load_partial(c.add(i), m)).store_partial(out.add(i), m);
            i += m;
        }
    }
}

/// `out[i] = f(x[i])`, returning the sum of the results in the order of [`sums`].
///
/// # Safety
/// As [`map1`].
#[inline(always)]
pub unsafe fn map1_sum(x: *const f32, out: *mut f32, n: usize, f: impl Fn(F32x4) -> F32x4) -> f64 {
    let (mut total, mut i) = (0.0, 0);
    // SAFETY: every access is at i .. i + 8 <= n, or partial up to n.
    unsafe {
        while i < n {
            let end = n.min(i + BLOCK);
            let (mut s0, mut s1) = (F32x4::zero(), F32x4::zero());
            while i + 8 <= end {
                let (x0, x1) = pair(x.add(i));
                let (y0, y1) = (f(x0), f(x1));
                (s0, s1) = (s0 + y0, s1 + y1);
                store_pair(y0, y1, out.add(i));
                i += 8;
            }
            while i < end {
                let m = (end - i).min(4);
                let y = f(F32x4::load_partial(x.add(i), m));
                s0 = s0 + first_lanes(y, m);
                y.store_partial(out.add(i), m);
                i += m;
            }
            total += s0.sum_f64(s1);
        }
    }
    total
}

/// `K` sums over `i < n` of what `term(i, m)` gives for the elements `i .. i + m`, `m` being 4 except at a ragged end, where
/// the lanes from `m` on are ignored. Order: eight f32 lanes over blocks of 256 elements, lanes and blocks in f64.
#[inline(always)]
pub fn sums<const K: usize>(n: usize, term: impl Fn(usize, usize) -> [F32x4; K]) -> [f64; K] {
    folds(n, |i, m, sums| {
        let terms = term(i, m);
        core::array::from_fn(|k| sums[k] + terms[k])
    })
}

/// [`sums`] whose `step(i, m, sums)` does the adding, so that a product can be added by one multiply-add.
#[inline(always)]
pub fn folds<const K: usize>(n: usize, step: impl Fn(usize, usize, [F32x4; K]) -> [F32x4; K]) -> [f64; K] {
    let (mut total, mut i) = ([0.0; K], 0);
    while i < n {
        let end = n.min(i + BLOCK);
        let (mut s0, mut s1) = ([F32x4::zero(); K], [F32x4::zero(); K]);
        while i + 8 <= end {
            (s0, s1) = (step(i, 4, s0), step(i + 4, 4, s1));
            i += 8;
        }
        while i < end {
            let m = (end - i).min(4);
            let rest = step(i, m, [F32x4::zero(); K]);
            for k in 0..K {
                s0[k] = s0[k] + first_lanes(rest[k], m);
            }
            i += m;
        }
        for k in 0..K {
            total[k] += s0[k].sum_f64(s1[k]);
        }
    }
    total
}

/// Reads the `m` (0..=4) floats at `pointer`; a constant `m = 4` compiles to one load.
///
/// # Safety
/// `pointer` readable for `m` floats.
#[inline(always)]
pub unsafe fn load(pointer: *const f32, m: usize) -> F32x4 {
    // SAFETY: as promised by the caller.
    unsafe {
        if m == 4 {
            F32x4::load(pointer)
        } else {
            F32x4::load_partial(pointer, m)
        }
    }
}

/// Writes the first `m` (0..=4) lanes at `pointer`; a constant `m = 4` compiles to one store.
///
/// # Safety
/// `pointer` writable for `m` floats.
#[inline(always)]
pub unsafe fn store(v: F32x4, pointer: *mut f32, m: usize) {
    // SAFETY: as promised by the caller.
    unsafe {
        if m == 4 {
            v.store(pointer)
        } else {
            v.store_partial(pointer, m)
        }
    }
}

/// Largest of `n` floats, −infinity for none. NaNs are passed over.
///
/// # Safety
/// `x` readable for `n` floats.
#[inline(always)]
pub unsafe fn maximum(x: *const f32, n: usize) -> f32 {
    let mut i = 0;
    let (mut m0, mut m1) = (F32x4::splat(f32::NEG_INFINITY), F32x4::splat(f32::NEG_INFINITY));
    // SAFETY: every access is below n.
    unsafe {
        while i + 8 <= n {
            let (x0, x1) = pair(x.add(i));
            (m0, m1) = (m0.max(x0), m1.max(x1));
            i += 8;
        }
        // The rest by vectors that may lie over what was seen already.
        if n >= 4 && i < n {
            m0 = m0.max(F32x4::load(x.add(i.min(n - 4)))).max(F32x4::load(x.add(n - 4)));
            i = n;
        }
        let mut largest = m0.max(m1).max_lane();
        while i < n {
            let v = *x.add(i);
            if largest < v {
                largest = v;
            }
            i += 1;
        }
        largest
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::{Cases, Rng};

    /// Lengths around every lane and block border of this file.
    fn lengths() -> impl Iterator<Item = usize> {
        (0..=67).chain([255, 256, 257, 263, 264, 511, 512, 513, 1000])
    }

    #[test]
    fn maps_touch_every_element_once_and_nothing_else() {
        let mut rng = Rng::new(5);
        let mut cases = Cases::new();
        for n in lengths() {
            let (a, b, c) = (rng.normals(n), rng.normals(n), rng.normals(n));
            let mut out = vec![vec![7.0f32; n + 3]; 4];
            // SAFETY: all buffers hold at least n floats and are distinct.
            let sum = unsafe {
                map1(a.as_ptr(), out[0].as_mut_ptr(), n, |x| x + x);
                map2(a.as_ptr(), b.as_ptr(), out[1].as_mut_ptr(), n, |x, y| x - y);
                map3(a.as_ptr(), b.as_ptr(), c.as_ptr(), out[2].as_mut_ptr(), n, |x, y, z| (x - y) * z);
                map1_sum(a.as_ptr(), out[3].as_mut_ptr(), n, |x| x * x)
            };
            let want: f64 = a.iter().map(|x| (x * x) as f64).sum();
            let mut result =
                if (sum - want).abs() <= 1e-6 * want { Ok(()) } else { Err(format!("sum {sum}, want {want}")) };
            for i in 0..n {
                let got = [out[0][i], out[1][i], out[2][i], out[3][i]];
                if got != [a[i] + a[i], a[i] - b[i], (a[i] - b[i]) * c[i], a[i] * a[i]] {
                    result = Err(format!("element {i}: {got:?}"));
                }
            }
            if out.iter().any(|o| o[n..] != [7.0; 3]) {
                result = Err("wrote past the end".into());
            }
            cases.check(|| format!("n {n}"), result);
        }
        cases.finish();
    }

    #[test]
    fn sums_and_maximum_see_every_element() {
        let mut rng = Rng::new(6);
        let mut cases = Cases::new();
        for n in lengths() {
            let x: Vec<f32> = rng.normals(n).iter().map(|v| v + 3.0).collect();
            // SAFETY: i + m <= n.
            let [s, q] = sums(n, |i, m| unsafe {
                let v = load(x.as_ptr().add(i), m) + F32x4::splat(1.0); // the +1 fills idle lanes: they must not count
                [v, v * v]
            });
            let want: f64 = x.iter().map(|&v| (v + 1.0) as f64).sum();
            let squares: f64 = x.iter().map(|&v| ((v + 1.0) * (v + 1.0)) as f64).sum();
            let mut result = Ok(());
            if (s - want).abs() > 1e-6 * want || (q - squares).abs() > 1e-6 * squares {
                result = Err(format!("sums {s} {q}, want {want} {squares}"));
            }
            // SAFETY: n floats.
            let largest = unsafe { maximum(x.as_ptr(), n) };
            if largest != x.iter().copied().fold(f32::NEG_INFINITY, f32::max) {
                result = Err(format!("maximum {largest}"));
            }
            cases.check(|| format!("n {n}"), result);
        }
        cases.finish();
    }

    #[test]
    fn sums_of_a_million_equal_numbers_do_not_drift() {
        let x = vec![0.3f32; 1 << 20];
        // SAFETY: in bounds.
        let [s] = sums(x.len(), |i, m| [unsafe { load(x.as_ptr().add(i), m) }]);
        let want = 0.3f32 as f64 * x.len() as f64;
        assert!((s / want - 1.0).abs() < 1e-6, "{s} against {want}");
    }
}
