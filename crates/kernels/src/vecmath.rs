//! exp, log, tanh, erf and the logistic function on [`F32x4`].
//!
//! Each is a small struct of constants with an `eval`: make it before a loop, evaluate inside. The constants come through an
//! opaque pointer, because engines rebuild vector literals in every trip of a loop and LLVM would sink them back into it.
//!
//! Largest errors, measured by the tests below over dense ranges against f64 (plain build; fused multiply-add is no worse):
//!
//! | function | range | error |
//! |---|---|---|
//! | [`Exp`] | all finite x | 1.0 ulp (bound 2); below −87.3365 exactly 0, never subnormal; above 88.7228 infinity |
//! | [`Log`] | all positive x, subnormals too | 0.9 ulp (bound 2) |
//! | [`Tanh`] | all x | 5.1 ulp (bound 7; 3e-7), never above 1 in magnitude |
//! | [`Erf`] | all x | 5.9 ulp (bound 7; 3.6e-7); exactly ±1 from 3.92 on |
//! | [`Sigmoid`] | all x | 2.3 ulp (bound 4) where normal |
//!
//! NaN gives NaN everywhere; the logarithm of a negative number is NaN, of 0 −infinity.

use simd::{F32x4, I32x4};

/// A pointer to constants whose origin the optimizer cannot see, so that what is loaded from it stays loaded.
#[inline(always)]
fn opaque<const N: usize>(table: &'static [f32; N]) -> *const f32 {
    core::hint::black_box(table.as_ptr())
}

macro_rules! constants {
    ($table:expr, $($name:ident),+) => {{
        let pointer = opaque($table);
        let mut i = 0;
        // SAFETY: one entry per name; the array type of the table carries its length, checked by the count below.
        let loaded = Self { $($name: { let v = unsafe { F32x4::load_splat(pointer.add(i)) }; i += 1; v }),+ };
        assert!(i == $table.len());
        loaded
    }};
}

/// `e^x`. Method: `n = round(x / ln 2)` by adding 1.5·2²³, `r = x − n·ln 2` in two steps, a minimax polynomial of degree 6 for
/// `e^r`, and `n` added to the exponent field. Coefficients: own Lawson fit on |r| <= 0.3473, relative error 3.1e-9.
#[derive(Clone, Copy)]
pub struct Exp {
    log2e: F32x4,
    magic: F32x4,
    minus_ln2_hi: F32x4,
    minus_ln2_lo: F32x4,
    c6: F32x4,
    c5: F32x4,
    c4: F32x4,
    c3: F32x4,
    c2: F32x4,
    one: F32x4,
    lowest: F32x4,
    highest: F32x4,
    infinity: F32x4,
}

static EXP: [f32; 13] = [
    core::f32::consts::LOG2_E,
    12_582_912.0,
    -0.693_359_375, // 355/512: nine bits, so n times it is exact
    2.121_944_4e-4,
    1.381_432e-3,
    8.368_851e-3,
    4.166_840_1e-2,
    0.166_665_2,
    0.499_999_94,
    1.0,
    -87.336_54, // the smallest x whose exponential is a normal number
    88.722_83,  // the largest x whose exponential is finite
    f32::INFINITY,
];

impl Exp {
    /// Loads the constants.
    #[inline(always)]
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        constants!(
            &EXP,
            log2e,
            magic,
            minus_ln2_hi,
            minus_ln2_lo,
            c6,
            c5,
            c4,
            c3,
            c2,
            one,
            lowest,
            highest,
            infinity
        )
    }

    /// `e^x` per lane.
    #[inline(always)]
    pub fn eval(&self, x: F32x4) -> F32x4 {
        let shifted = x.madd(self.log2e, self.magic); // n in the low bits of the mantissa
        let n = shifted - self.magic;
        let r = n.madd(self.minus_ln2_lo, n.madd(self.minus_ln2_hi, x));
        let q = self
            .c6
            .madd(r, self.c5)
            .madd(r, self.c4)
            .madd(r, self.c3)
            .madd(r, self.c2);
        let p = (r * r).madd(q, r) + self.one; // in [0.707, 1.415]
        let scaled = p.to_bits() + shifted.to_bits().shl(23);
        // Out of range the bits above mean nothing: 0 below, infinity above, NaN for NaN.
        let floored = F32x4::from_bits(scaled & x.ge(self.lowest));
        F32x4::select(x.le(self.highest), floored, x + self.infinity)
    }
}

/// Natural logarithm. Method: `x = 2^e·m`, m in [√½, √2), and `ln m = 2 artanh(s)`, `s = (m−1)/(m+1)`, whose series is cut after s⁹
/// (next term < 2e-9 of the value); combined so that no digits of `m − 1` are lost.
#[derive(Clone, Copy)]
pub struct Log {
    smallest_normal: F32x4,
    two23: F32x4,
    minus_23: F32x4,
    sqrt_half: F32x4,
    one: F32x4,
    two: F32x4,
    half: F32x4,
    s9: F32x4,
    s7: F32x4,
    s5: F32x4,
    s3: F32x4,
    ln2_hi: F32x4,
    ln2_lo: F32x4,
    infinity: F32x4,
    nan: F32x4,
}

static LOG: [f32; 15] = [
    f32::MIN_POSITIVE,
    8_388_608.0,
    -23.0,
    core::f32::consts::FRAC_1_SQRT_2,
    1.0,
    2.0,
    0.5,
    2.0 / 9.0,
    2.0 / 7.0,
    2.0 / 5.0,
    2.0 / 3.0,
    0.693_359_375,
    -2.121_944_4e-4,
    f32::INFINITY,
    f32::NAN,
];

impl Log {
    /// Loads the constants.
    #[inline(always)]
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        constants!(
            &LOG,
            smallest_normal,
            two23,
            minus_23,
            sqrt_half,
            one,
            two,
            half,
            s9,
            s7,
            s5,
            s3,
            ln2_hi,
            ln2_lo,
            infinity,
            nan
        )
    }

    /// `ln x` per lane.
    #[inline(always)]
    pub fn eval(&self, x: F32x4) -> F32x4 {
        let tiny = x.lt(self.smallest_normal);
        let bits = F32x4::select(tiny, x * self.two23, x).to_bits();
        let exponent = (bits - self.sqrt_half.to_bits()).shr_s(23);
        let f = F32x4::from_bits(bits - exponent.shl(23)) - self.one;
        let e = exponent.to_f32() + F32x4::from_bits(self.minus_23.to_bits() & tiny);
        let s = f / (f + self.two);
        let z = s * s;
        let series = self.s9.madd(z, self.s7).madd(z, self.s5).madd(z, self.s3) * z;
        let half_square = self.half * f * f;
        let low = e.madd(self.ln2_lo, s * (half_square + series)) - half_square;
        let log = e.madd(self.ln2_hi, low + f);
        let finite = F32x4::select(x.lt(self.infinity), log, x);
        let edge = F32x4::select(x.eq(F32x4::zero()), -self.infinity, self.nan);
        F32x4::select(x.le(F32x4::zero()), edge, finite)
    }
}

/// Hyperbolic tangent: `x·P(x²)/Q(x²)`, both of degree 4, on |x| clamped to 9.01, where f32 has reached 1.
/// Coefficients: own Lawson fit of the relative error (2.1e-8); all are positive, so nothing cancels.
#[derive(Clone, Copy)]
pub struct Tanh {
    limit: F32x4,
    p4: F32x4,
    p3: F32x4,
    p2: F32x4,
    p1: F32x4,
    q4: F32x4,
    q3: F32x4,
    q2: F32x4,
    q1: F32x4,
    one: F32x4,
}

static TANH: [f32; 10] = [
    9.01,
    1.333_692_3e-8,
    2.059_633_3e-5,
    3.494_814_9e-3,
    0.133_803_75,
    7.769_315_3e-7,
    3.284_369_3e-4,
    2.587_404_2e-2,
    0.467_136_9,
    1.0,
];

impl Tanh {
    /// Loads the constants.
    #[inline(always)]
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        constants!(&TANH, limit, p4, p3, p2, p1, q4, q3, q2, q1, one)
    }

    /// `tanh x` per lane.
    #[inline(always)]
    pub fn eval(&self, x: F32x4) -> F32x4 {
        let x = x.max(-self.limit).min(self.limit);
        let t = x * x;
        let p = self
            .p4
            .madd(t, self.p3)
            .madd(t, self.p2)
            .madd(t, self.p1)
            .madd(t, self.one);
        let q = self
            .q4
            .madd(t, self.q3)
            .madd(t, self.q2)
            .madd(t, self.q1)
            .madd(t, self.one);
        (x * p / q).max(-self.one).min(self.one)
    }
}

/// Error function: `x·P(x²)/Q(x²)`, both of degree 5, for |x| < 3.92, and exactly ±1 beyond, where f32 has reached 1.
/// Coefficients: own Lawson fit of the relative error (1.9e-8); all are positive, so nothing cancels.
#[derive(Clone, Copy)]
pub struct Erf {
    limit: F32x4,
    p5: F32x4,
    p4: F32x4,
    p3: F32x4,
    p2: F32x4,
    p1: F32x4,
    p0: F32x4,
    q5: F32x4,
    q4: F32x4,
    q3: F32x4,
    q2: F32x4,
    q1: F32x4,
    one: F32x4,
}

static ERF: [f32; 13] = [
    3.92,
    2.050_089_1e-6,
    2.848_832_3e-4,
    3.765_628e-3,
    5.274_875_9e-2,
    0.190_406_69,
    1.128_379_2,
    3.809_176e-5,
    1.162_538_7e-3,
    1.496_923_9e-2,
    0.114_109_21,
    0.502_076_28,
    1.0,
];

impl Erf {
    /// Loads the constants.
    #[inline(always)]
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        constants!(&ERF, limit, p5, p4, p3, p2, p1, p0, q5, q4, q3, q2, q1, one)
    }

    /// `erf x` per lane.
    #[inline(always)]
    pub fn eval(&self, x: F32x4) -> F32x4 {
        let x = x.max(-self.limit).min(self.limit);
        let t = x * x;
        let p = self
            .p5
            .madd(t, self.p4)
            .madd(t, self.p3)
            .madd(t, self.p2)
            .madd(t, self.p1)
            .madd(t, self.p0);
        let q = self
            .q5
            .madd(t, self.q4)
            .madd(t, self.q3)
            .madd(t, self.q2)
            .madd(t, self.q1)
            .madd(t, self.one);
        let inner = (x * p / q).max(-self.one).min(self.one);
        // Saturate exactly: GELU multiplies 1 + erf by numbers of any size.
        let above = F32x4::select(x.ge(self.limit), self.one, inner);
        F32x4::select(x.le(-self.limit), -self.one, above)
    }
}

/// The logistic function `1 / (1 + e^−x)`.
#[derive(Clone, Copy)]
pub struct Sigmoid {
    exp: Exp,
}

impl Sigmoid {
    /// Loads the constants.
    #[inline(always)]
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        Self { exp: Exp::new() }
    }

    /// `1 / (1 + e^−x)` per lane.
    #[inline(always)]
    pub fn eval(&self, x: F32x4) -> F32x4 {
        self.exp.one / (self.exp.one + self.exp.eval(-x))
    }
}

/// `e^x` of one number, the same bits as a lane of [`Exp`].
pub fn exp(x: f32) -> f32 {
    Exp::new().eval(F32x4::splat(x)).to_array()[0]
}

/// `ln x` of one number, the same bits as a lane of [`Log`].
pub fn log(x: f32) -> f32 {
    Log::new().eval(F32x4::splat(x)).to_array()[0]
}

/// Zeroes the lanes from `n` (0..=4) on: what a partly filled vector adds to a sum.
#[inline(always)]
pub fn first_lanes(v: F32x4, n: usize) -> F32x4 {
    F32x4::from_bits(v.to_bits() & I32x4::iota().lt(I32x4::splat(n as i32)))
}

/// erf in f64: Maclaurin series below 2.5, continued fraction of erfc above.
#[cfg(test)]
pub(crate) fn erf64(x: f64) -> f64 {
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Error of `got` in units of the last place of `want` rounded to f32 (the spacing at its magnitude, at least the
    /// smallest normal's).
    fn ulps(got: f32, want: f64) -> f64 {
        if got as f64 == want
            || (got as f64).is_nan() && want.is_nan()
            || got == want as f32 && got.is_infinite()
        {
            return 0.0;
        }
        let magnitude = (want.abs() as f32).max(f32::MIN_POSITIVE);
        let spacing = f32::from_bits(magnitude.to_bits() + 1) as f64 - magnitude as f64;
        (got as f64 - want).abs() / spacing
    }

    /// Every `stride`-th float between two (same sign) bit patterns, worst error and where.
    fn worst(
        f: impl Fn(F32x4) -> F32x4,
        reference: impl Fn(f64) -> f64,
        from: f32,
        to: f32,
        stride: usize,
    ) -> (f64, f32) {
        let (a, b) = (
            from.to_bits().min(to.to_bits()),
            from.to_bits().max(to.to_bits()),
        );
        let mut worst = (0.0, 0.0);
        for bits in (a..=b).step_by(stride) {
            let x = f32::from_bits(bits);
            let e = ulps(f(F32x4::splat(x)).to_array()[0], reference(x as f64));
            if e.is_nan() || e > worst.0 {
                worst = (if e.is_nan() { f64::INFINITY } else { e }, x);
            }
        }
        worst
    }

    #[test]
    fn exp_is_within_two_ulp_on_all_of_its_range() {
        let e = Exp::new();
        for (from, to) in [
            (1e-10f32, 88.72283f32),
            (-1e-10, -87.33654),
            (0.0, 1.0),
            (-0.0, -1.0),
        ] {
            let (error, at) = worst(|x| e.eval(x), f64::exp, from, to, 97);
            println!("exp {from}..{to}: {error:.3} ulp at {at}");
            assert!(error <= 2.0, "exp({at}) is {error} ulp off");
        }
    }

    #[test]
    fn exp_ends_in_zero_infinity_and_nan_without_subnormals() {
        for x in [
            -87.33655f32,
            -88.0,
            -100.0,
            -103.9,
            -104.0,
            -1e4,
            -1e30,
            f32::MIN,
            f32::NEG_INFINITY,
        ] {
            assert_eq!(exp(x).to_bits(), 0, "exp({x})");
        }
        for x in [88.722_84_f32, 89.0, 1e4, 1e30, f32::MAX, f32::INFINITY] {
            assert_eq!(exp(x), f32::INFINITY, "exp({x})");
        }
        assert!(exp(-87.33654) >= f32::MIN_POSITIVE && exp(88.72283).is_finite());
        assert!(exp(f32::NAN).is_nan() && exp(-f32::NAN).is_nan());
        assert_eq!((exp(0.0), exp(-0.0)), (1.0, 1.0));
        for bits in (0..u32::MAX).step_by(100_003) {
            let x = f32::from_bits(bits);
            let y = exp(x);
            assert_eq!(y.is_nan(), x.is_nan(), "exp({x})");
            assert!(
                y == 0.0 || y >= f32::MIN_POSITIVE || y.is_nan(),
                "exp({x}) is subnormal"
            );
        }
    }

    #[test]
    fn log_is_within_two_ulp_for_every_magnitude() {
        let l = Log::new();
        for (from, to, stride) in [
            (1e-45f32, f32::MAX, 1009),
            (0.5, 2.0, 7),
            (1.0 - 1e-3, 1.0 + 1e-3, 1),
        ] {
            let (error, at) = worst(|x| l.eval(x), f64::ln, from, to, stride);
            println!("log {from}..{to}: {error:.3} ulp at {at}");
            assert!(error <= 2.0, "log({at}) is {error} ulp off");
        }
        assert_eq!(
            (log(0.0), log(-0.0), log(f32::INFINITY)),
            (f32::NEG_INFINITY, f32::NEG_INFINITY, f32::INFINITY)
        );
        assert!(
            log(-1.0).is_nan()
                && log(f32::NEG_INFINITY).is_nan()
                && log(f32::NAN).is_nan()
                && log(-1e-45).is_nan()
        );
        assert_eq!(log(1.0), 0.0);
    }

    #[test]
    fn tanh_and_erf_are_within_a_few_ulp_odd_and_bounded() {
        let (t, e) = (Tanh::new(), Erf::new());
        for (from, to) in [(1e-38f32, 20.0f32), (0.05, 10.0)] {
            let (error, at) = worst(|x| t.eval(x), f64::tanh, from, to, 331);
            println!("tanh {from}..{to}: {error:.3} ulp at {at}");
            assert!(error <= 7.0, "tanh({at}) is {error} ulp off");
            let (error, at) = worst(|x| e.eval(x), erf64, from, to, 1511);
            println!("erf {from}..{to}: {error:.3} ulp at {at}");
            assert!(error <= 7.0, "erf({at}) is {error} ulp off");
        }
        let one = |f: &dyn Fn(F32x4) -> F32x4, x: f32| f(F32x4::splat(x)).to_array()[0];
        for f in [&(|x| t.eval(x)) as &dyn Fn(F32x4) -> F32x4, &|x| e.eval(x)] {
            for bits in (0..0x7F80_0000u32).step_by(30_011) {
                let x = f32::from_bits(bits);
                assert_eq!(one(f, x), -one(f, -x), "odd at {x}");
                assert!(one(f, x) <= 1.0 && one(f, x) >= 0.0, "bounded at {x}");
            }
            assert!(one(f, f32::NAN).is_nan());
            assert!(one(f, f32::INFINITY) >= 1.0 - f32::EPSILON);
            assert_eq!(one(f, 0.0).to_bits(), 0);
        }
        assert_eq!(
            (one(&|x| e.eval(x), 3.92), one(&|x| e.eval(x), -1e30)),
            (1.0, -1.0)
        );
    }

    #[test]
    fn sigmoid_is_within_a_few_ulp_and_never_nan() {
        let s = Sigmoid::new();
        let reference = |x: f64| 1.0 / (1.0 + (-x).exp());
        for (from, to) in [(1e-10f32, 40.0f32), (-1e-10, -87.0)] {
            let (error, at) = worst(|x| s.eval(x), reference, from, to, 331);
            println!("sigmoid {from}..{to}: {error:.3} ulp at {at}");
            assert!(error <= 4.0, "sigmoid({at}) is {error} ulp off");
        }
        for (x, want) in [
            (1e30, 1.0),
            (-1e30, 0.0),
            (f32::INFINITY, 1.0),
            (f32::NEG_INFINITY, 0.0),
            (0.0, 0.5),
        ] {
            assert_eq!(s.eval(F32x4::splat(x)).to_array()[0], want, "sigmoid({x})");
        }
    }

    #[test]
    fn first_lanes_zeroes_the_rest() {
        for n in 0..=4usize {
            let got = first_lanes(F32x4::from_array([1.0, 2.0, f32::NAN, 4.0]), n).to_array();
            for (i, x) in got.iter().enumerate() {
                assert_eq!(*x == 0.0, i >= n, "lane {i} of {n}");
            }
        }
    }
}
