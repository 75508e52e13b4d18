//! GELU (Hendrycks and Gimpel, arXiv:1606.08415) in both of PyTorch's forms, forward and backward, on ranges of floats: the
//! second, loads-first pass of a matmul's block and the bodies of `unary` and `unary_backward`. Not a [`crate::TileOp`].
//!
//! tanh form: `x·σ(2u)`, `u = √(2/π)(x + 0.044715 x³)`, which is `x/2·(1 + tanh u)` without its cancellation.
//! erf form: `x·Φ(x)`, `Φ(x) = (1 + erf(x/√2))/2`.
//! Errors against f64, measured below over the floats of all magnitudes: forward 1e-8 + 1e-6·|ref|, backward 3e-7. Finite input never
//! gives NaN, NaN gives NaN.

use crate::lanes::{map1, map2};
use crate::vecmath::{splats, Exp2};
use simd::F32x4;

const LOG2_E: f64 = core::f64::consts::LOG2_E;
const TWICE_SQRT_2_OVER_PI: f64 = 1.595_769_121_605_730_8;
const CUBIC: f64 = 0.044_715;

/// The tanh form and its derivative, constants loaded. Exponents are computed in base 2, where [`Exp2`] takes them as they are.
#[derive(Clone, Copy)]
pub struct GeluTanh {
    exp2: Exp2,
    linear: F32x4,       // −2√(2/π)·log2 e
    cubic: F32x4,        // the same times 0.044715
    slope_linear: F32x4, // 2√(2/π)
    slope_cubic: F32x4,  // the same times 3·0.044715
    limit: F32x4,
}

/// Beyond ±10 gelu is x or 0 to the last digit; e^±2u is 1.3e∓38 there, inside the range of [`Exp2`].
static GELU_TANH: [f32; 5] = [
    (-TWICE_SQRT_2_OVER_PI * LOG2_E) as f32,
    (-TWICE_SQRT_2_OVER_PI * CUBIC * LOG2_E) as f32,
    TWICE_SQRT_2_OVER_PI as f32,
    (3.0 * TWICE_SQRT_2_OVER_PI * CUBIC) as f32,
    10.0,
];

impl GeluTanh {
    /// Loads the constants.
    #[inline(always)]
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        let [linear, cubic, slope_linear, slope_cubic, limit] = splats(&GELU_TANH);
        Self { exp2: Exp2::new(), linear, cubic, slope_linear, slope_cubic, limit }
    }

    /// `gelu(x)` per lane.
    #[inline(always)]
    pub fn eval(&self, x: F32x4) -> F32x4 {
        let x = x.max(-self.limit);
        let inside = x.min(self.limit);
        let odds = self.exp2.eval(inside * (inside * inside).madd(self.cubic, self.linear)); // e^−2u
        x / (self.exp2.one + odds)
    }

    /// `dy·gelu'(x)` per lane: `gelu' = σ + x·σ(1 − σ)·2u'`, with `1 − σ` as `e^−2u·σ`, which cancels nothing.
    #[inline(always)]
    pub fn slope(&self, x: F32x4, dy: F32x4) -> F32x4 {
        let x = x.max(-self.limit).min(self.limit);
        let square = x * x;
        let odds = self.exp2.eval(x * square.madd(self.cubic, self.linear));
        let s = self.exp2.one / (self.exp2.one + odds);
        let bend = x * square.madd(self.slope_cubic, self.slope_linear); // x·2u'
        dy * s * bend.madd(odds * s, self.exp2.one)
    }
}

/// The erf form and its derivative, constants loaded.
///
/// Method: the upper tail of the normal distribution, `Φ(−a) = e^(−a²/2)·R(a)` for `a = |x|`, with `R = P/Q` of degrees 4 and 5 (own
/// Lawson fit of the relative error on 0..13.3: 5e-9; all coefficients positive). Unlike `1 + erf` it keeps its digits where Φ is
/// small, and the derivative needs the same exponential. `gelu(x) = max(x, 0) − a·Φ(−a)`, on both sides.
#[derive(Clone, Copy)]
pub struct GeluErf {
    exp2: Exp2,
    p: [F32x4; 5], // ascending, negated
    q: [F32x4; 5], // ascending from a¹; q0 is 1
    half_log2e: F32x4,
    limit: F32x4,
    density: F32x4, // 1/√(2π)
}

/// Φ(−12.8) is 8e-38: nothing beside any number that it is added to, and still a normal number, whose arithmetic is fast.
static GELU_ERF: [f32; 13] = [
    -0.5,
    -0.435_685_93,
    -0.181_306_48,
    -3.998_407_7e-2,
    -4.020_175_4e-3,
    1.669_256_8,
    1.194_483,
    0.464_379_58,
    0.100_232_59,
    1.007_694_3e-2,
    (-0.5 * LOG2_E) as f32,
    12.8,
    0.398_942_3,
];

impl GeluErf {
    /// Loads the constants.
    #[inline(always)]
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        let [p0, p1, p2, p3, p4, q1, q2, q3, q4, q5, half_log2e, limit, density] = splats(&GELU_ERF);
        let (p, q) = ([p0, p1, p2, p3, p4], [q1, q2, q3, q4, q5]);
        Self { exp2: Exp2::new(), p, q, half_log2e, limit, density }
    }

    /// −Φ(−a) and e^(−a²/2), for a in 0..=12.8.
    #[inline(always)]
    fn tail(&self, a: F32x4) -> (F32x4, F32x4) {
        let bell = self.exp2.eval(a * a * self.half_log2e);
        let ([p0, p1, p2, p3, p4], [q1, q2, q3, q4, q5]) = (self.p, self.q);
        let p = p4.madd(a, p3).madd(a, p2).madd(a, p1).madd(a, p0);
        let q = q5.madd(a, q4).madd(a, q3).madd(a, q2).madd(a, q1).madd(a, self.exp2.one);
        (bell * p / q, bell)
    }

    /// `gelu(x)` per lane.
    #[inline(always)]
    pub fn eval(&self, x: F32x4) -> F32x4 {
        let a = x.abs().min(self.limit);
        a.madd(self.tail(a).0, x.max(F32x4::zero()))
    }

    /// `dy·gelu'(x)` per lane: `gelu' = Φ(x) + x·φ(x)`.
    #[inline(always)]
    pub fn slope(&self, x: F32x4, dy: F32x4) -> F32x4 {
        let x = x.max(-self.limit).min(self.limit);
        let (minus_tail, bell) = self.tail(x.abs());
        let cumulative = F32x4::select(x.lt(F32x4::zero()), -minus_tail, self.exp2.one + minus_tail);
        dy * x.madd(bell * self.density, cumulative)
    }
}

/// `out[i] = gelu(x[i])`, tanh form.
///
/// # Safety
/// `x` readable and `out` writable for `n` floats; equal or not overlapping.
#[inline(never)]
pub unsafe fn gelu_tanh(x: *const f32, out: *mut f32, n: usize) {
    let f = GeluTanh::new();
    // SAFETY: passed on from the caller.
    unsafe { map1(x, out, n, |x| f.eval(x)) }
}

/// `out[i] = gelu(x[i])`, erf form.
///
/// # Safety
/// As [`gelu_tanh`].
#[inline(never)]
pub unsafe fn gelu_erf(x: *const f32, out: *mut f32, n: usize) {
    let f = GeluErf::new();
    // SAFETY: passed on from the caller.
    unsafe { map1(x, out, n, |x| f.eval(x)) }
}

/// `dx[i] = dy[i]·gelu'(x[i])`, tanh form.
///
/// # Safety
/// `x`, `dy` readable and `dx` writable for `n` floats; `dx` may be one of the inputs, otherwise nothing overlaps.
#[inline(never)]
pub unsafe fn gelu_tanh_backward(x: *const f32, dy: *const f32, dx: *mut f32, n: usize) {
    let f = GeluTanh::new();
    // SAFETY: passed on from the caller.
    unsafe { map2(x, dy, dx, n, |x, dy| f.slope(x, dy)) }
}

/// `dx[i] = dy[i]·gelu'(x[i])`, erf form.
///
/// # Safety
/// As [`gelu_tanh_backward`].
#[inline(never)]
pub unsafe fn gelu_erf_backward(x: *const f32, dy: *const f32, dx: *mut f32, n: usize) {
    let f = GeluErf::new();
    // SAFETY: passed on from the caller.
    unsafe { map2(x, dy, dx, n, |x, dy| f.slope(x, dy)) }
}

/// The definitions in f64.
#[cfg(test)]
pub(crate) mod naive {

    /// erf in f64: Maclaurin series below 2.5, continued fraction of erfc above.
    fn erf64(x: f64) -> f64 {
        let a = x.abs();
        let value = if a < 2.5 {
            let (mut term, mut sum, mut n) = (a, a, 0.0);
            while term.abs() > 1e-18 * sum {
                n += 1.0;
                term *= -a * a / n;
                sum += term / (2.0 * n + 1.0);
            }
            sum * std::f64::consts::FRAC_2_SQRT_PI
        } else {
            let mut fraction = a;
            for k in (1..=60).rev() {
                fraction = a + 0.5 * k as f64 / fraction;
            }
            1.0 - (-a * a).exp() / (fraction * std::f64::consts::PI.sqrt())
        };
        value.copysign(x)
    }

    fn inner(x: f64) -> f64 {
        (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x)
    }

    pub fn tanh_form(x: f64) -> f64 {
        0.5 * x * (1.0 + inner(x).tanh())
    }

    pub fn tanh_slope(x: f64) -> f64 {
        let t = inner(x).tanh();
        let du = (2.0 / std::f64::consts::PI).sqrt() * (1.0 + 3.0 * 0.044715 * x * x);
        let rest = if x.abs() > 40.0 { 0.0 } else { 0.5 * x * (1.0 - t * t) * du };
        0.5 * (1.0 + t) + rest
    }

    pub fn erf_form(x: f64) -> f64 {
        0.5 * x * (1.0 + erf64(x / 2.0f64.sqrt()))
    }

    pub fn erf_slope(x: f64) -> f64 {
        let density = (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt();
        0.5 * (1.0 + erf64(x / 2.0f64.sqrt())) + if x.abs() > 40.0 { 0.0 } else { x * density }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::{close, sweep, Cases, Worst};

    type Forward = unsafe fn(*const f32, *mut f32, usize);
    type Backward = unsafe fn(*const f32, *const f32, *mut f32, usize);
    type Reference = fn(f64) -> f64;
    const FORWARD: [(&str, Forward, Reference, f64); 2] =
        [("tanh", gelu_tanh, naive::tanh_form, 1e-8), ("erf", gelu_erf, naive::erf_form, 1e-8)];
    const BACKWARD: [(&str, Backward, Reference); 2] =
        [("tanh", gelu_tanh_backward, naive::tanh_slope), ("erf", gelu_erf_backward, naive::erf_slope)];

    fn dense() -> Vec<f32> {
        (-140_000..=140_000).map(|i| i as f32 * 1e-4).chain([0.0, -0.0, 1e-20, -1e-20, 30.0, -30.0]).collect()
    }

    #[test]
    fn forward_is_accurate_over_a_dense_range() {
        let x = dense();
        for (name, f, reference, atol) in FORWARD {
            let mut out = vec![f32::NAN; x.len()];
            // SAFETY: equal lengths.
            unsafe { f(x.as_ptr(), out.as_mut_ptr(), x.len()) };
            let want: Vec<f64> = x.iter().map(|&v| reference(v as f64)).collect();
            let worst = out.iter().zip(&want).map(|(&g, w)| (g as f64 - w).abs() - 1e-6 * w.abs()).fold(0.0, f64::max);
            println!("gelu {name}: {worst:e} beyond 1e-6·|ref|");
            close(&out, &want, atol, 1e-6).unwrap_or_else(|e| panic!("gelu {name}: {e}"));
        }
    }

    #[test]
    fn backward_is_accurate_over_a_dense_range() {
        let x = dense();
        let dy: Vec<f32> = (0..x.len()).map(|i| if i % 2 == 0 { 1.0 } else { -1.0 }).collect();
        for (name, f, reference) in BACKWARD {
            let mut dx = vec![f32::NAN; x.len()];
            // SAFETY: equal lengths.
            unsafe { f(x.as_ptr(), dy.as_ptr(), dx.as_mut_ptr(), x.len()) };
            let want: Vec<f64> = x.iter().zip(&dy).map(|(&v, &d)| reference(v as f64) * d as f64).collect();
            let worst = dx.iter().zip(&want).map(|(&g, w)| (g as f64 - w).abs()).fold(0.0, f64::max);
            println!("gelu {name} backward: {worst:e}");
            close(&dx, &want, 3e-7, 0.0).unwrap_or_else(|e| panic!("gelu {name} backward: {e}"));
        }
    }

    /// Forward errors beyond 1e-6·|ref|, and backward errors, over every `stride`-th float.
    fn errors_stay_in_bounds(stride: usize) {
        let mut cases = Cases::new();
        let ones = [1.0f32; 4];
        let check = |x: f32, e: f64, y: f32| if x.is_nan() == y.is_nan() { e } else { f64::INFINITY };
        for (name, f, reference, bound) in FORWARD {
            let run = |x: [f32; 4]| {
                let mut y = [0.0; 4];
                // SAFETY: four floats each.
                unsafe { f(x.as_ptr(), y.as_mut_ptr(), 4) };
                y
            };
            let Worst { error, at } = sweep(stride, run, |x, y| {
                let want = if x < -100.0 { 0.0 } else { reference(x as f64) };
                let e = if x.is_infinite() { 0.0 } else { (y as f64 - want).abs() - 1e-6 * want.abs() };
                check(x, if x.is_nan() { 0.0 } else { e }, y)
            });
            println!("gelu {name}: {error:e} beyond 1e-6·|ref| at {at:e}");
            let result = if error <= bound { Ok(()) } else { Err(format!("{error:e} at {at:e}")) };
            cases.check(|| format!("gelu {name}"), result);
        }
        for (name, f, reference) in BACKWARD {
            let run = |x: [f32; 4]| {
                let mut y = [0.0; 4];
                // SAFETY: four floats each.
                unsafe { f(x.as_ptr(), ones.as_ptr(), y.as_mut_ptr(), 4) };
                y
            };
            let Worst { error, at } = sweep(stride, run, |x, y| {
                let want = if x.abs() > 100.0 { f64::from(u8::from(x > 0.0)) } else { reference(x as f64) };
                check(x, if x.is_nan() { 0.0 } else { (y as f64 - want).abs() }, y)
            });
            println!("gelu {name} backward: {error:e} at {at:e}");
            let result = if error <= 3e-7 { Ok(()) } else { Err(format!("{error:e} at {at:e}")) };
            cases.check(|| format!("gelu {name} backward"), result);
        }
        cases.finish();
    }

    #[test]
    fn errors_stay_in_bounds_on_every_4999th_float() {
        errors_stay_in_bounds(4999);
    }

    #[test]
    #[ignore = "takes minutes; .ci/run has it"]
    fn errors_stay_in_bounds_on_all_floats() {
        errors_stay_in_bounds(1);
    }

    #[test]
    fn every_length_gives_the_bits_of_single_elements() {
        let x = dense();
        let mut cases = Cases::new();
        for n in 0..=67usize {
            let x = &x[140_000 - 33 * 1000..][..67 * 1000];
            let x: Vec<f32> = x.iter().step_by(1000).copied().take(n).collect();
            for (name, f, _, _) in FORWARD {
                let mut out = vec![7.0; n + 1];
                // SAFETY: n floats each.
                unsafe { f(x.as_ptr(), out.as_mut_ptr(), n) };
                let single = |i: usize| {
                    let mut y = 0.0;
                    // SAFETY: one float each.
                    unsafe { f(&x[i], &mut y, 1) };
                    y
                };
                let bad = (0..n).find(|&i| out[i].to_bits() != single(i).to_bits());
                let result = if bad.is_none() && out[n] == 7.0 { Ok(()) } else { Err(format!("element {bad:?}")) };
                cases.check(|| format!("{name} n {n}"), result);
            }
        }
        cases.finish();
    }

    #[test]
    fn huge_input_saturates_and_nan_stays_nan() {
        for (name, f, _, _) in FORWARD {
            let x = [1e4f32, 1e30, f32::MAX, -1e4, -1e30, f32::MIN, f32::NAN];
            let mut y = [7.0f32; 7];
            // SAFETY: seven floats each.
            unsafe { f(x.as_ptr(), y.as_mut_ptr(), 7) };
            assert_eq!((y[0], y[1], y[2]), (x[0], x[1], x[2]), "gelu {name}");
            assert!(y[3..6].iter().all(|v| v.abs() < 2e-36), "gelu {name} {y:?}");
            assert!(y[6].is_nan(), "gelu {name}");
        }
        for (name, f, _) in BACKWARD {
            let x = [1e4f32, 1e30, f32::MAX, -1e4, -1e30, f32::MIN, f32::NAN];
            let mut y = [7.0f32; 7];
            // SAFETY: seven floats each.
            unsafe { f(x.as_ptr(), [1.0f32; 7].as_ptr(), y.as_mut_ptr(), 7) };
            assert_eq!(y[..3], [1.0; 3], "gelu {name} backward");
            assert!(y[3..6].iter().all(|v| v.abs() < 1e-20), "gelu {name} backward {y:?}");
            assert!(y[6].is_nan(), "gelu {name} backward");
        }
    }
}
