//! exp, log, tanh and the logistic function on [`F32x4`].
//!
//! Each is a small struct of constants with an `eval`: make it before a loop, evaluate inside. The constants come through an
//! opaque pointer, because engines rebuild vector literals in every trip of a loop and LLVM would sink them back into it.
//!
//! Largest errors against f64 in the plain build: [`Exp`] and [`Exp2`] over all floats, the rest over every 251st. (The ordinary tests
//! take every 251st; `cargo test --release -p ferroformer-kernels -- --ignored all_floats`, minutes long, holds the bounds for all.)
//!
//! | function | range | error |
//! |---|---|---|
//! | [`Exp`] | all x | 1.2 ulp (bound 2); below −87.3365 exactly 0, never subnormal; above 88.7228 infinity |
//! | [`Exp2`] | −126..=127 | 2.4 ulp (bound 3) |
//! | [`Log`] | all x | 0.9 ulp (bound 2) |
//! | [`Tanh`] | all x | 5.3 ulp (bound 7; 3e-7), never above 1 in magnitude |
//! | [`Sigmoid`] | all x | 2.4 ulp (bound 4) where normal |
//!
//! NaN gives NaN; the logarithm of a negative number is NaN, of 0 −infinity. ([`Exp::eval_below`] and [`Exp2`] promise that only for
//! the NaN that arithmetic makes, not for one that carries a payload.)

use simd::{F32x4, I32x4};

/// A table of constants as vectors, read through a pointer whose origin the optimizer cannot see: what is loaded stays loaded.
#[inline(always)]
pub(crate) fn splats<const N: usize>(table: &'static [f32; N]) -> [F32x4; N] {
    let pointer = core::hint::black_box(table.as_ptr());
    // SAFETY: i < N.
    core::array::from_fn(|i| unsafe { F32x4::load_splat(pointer.add(i)) })
}

/// The struct at hand, its fields in the order of a table.
macro_rules! constants {
    ($table:expr, $($name:ident),+) => {{
        let [$($name),+] = splats($table);
        Self { $($name),+ }
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
    -355.0 / 512.0, // nine bits, so n times it is exact
    2.121_944_4e-4,
    1.381_432e-3,
    8.368_851e-3,
    4.166_84e-2,
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
        constants!(&EXP, log2e, magic, minus_ln2_hi, minus_ln2_lo, c6, c5, c4, c3, c2, one, lowest, highest, infinity)
    }

    /// `e^x` per lane.
    #[inline(always)]
    pub fn eval(&self, x: F32x4) -> F32x4 {
        F32x4::select(x.le(self.highest), self.eval_below(x), x + self.infinity)
        // NaN is not <= and stays NaN
    }

    /// `e^x` per lane for x up to 88.7228, the same bits as [`Exp::eval`] there in fewer instructions: what a softmax needs.
    #[inline(always)]
    pub fn eval_below(&self, x: F32x4) -> F32x4 {
        let shifted = x.madd(self.log2e, self.magic); // n in the low bits of the mantissa
        let n = shifted - self.magic;
        let r = n.madd(self.minus_ln2_lo, n.madd(self.minus_ln2_hi, x));
        let q = self.c6.madd(r, self.c5).madd(r, self.c4).madd(r, self.c3).madd(r, self.c2);
        let p = q.madd(r, self.one).madd(r, self.one); // in [0.707, 1.415]
        let scaled = p.to_bits() + shifted.to_bits().shl(23);
        F32x4::from_bits(scaled & !x.lt(self.lowest)) // below, the bits mean nothing
    }
}

/// `2^s` for exponents that a kernel has computed in base 2 and keeps within −126..=127, where no range needs watching.
/// A polynomial of degree 5 in `s − round(s)`; own Lawson fit, relative error 9.2e-8, 2.0e-7 with rounding.
#[derive(Clone, Copy)]
pub struct Exp2 {
    magic: F32x4,
    c5: F32x4,
    c4: F32x4,
    c3: F32x4,
    c2: F32x4,
    c1: F32x4,
    /// One, which users need too.
    pub one: F32x4,
}

#[allow(clippy::approx_constant)] // c1 is fitted, it only lies near ln 2
static EXP2: [f32; 7] = [12_582_912.0, 1.326_456_3e-3, 9.671_641e-3, 5.550_735_4e-2, 0.240_222_4, 0.693_147, 1.0];

impl Exp2 {
    /// Loads the constants.
    #[inline(always)]
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        constants!(&EXP2, magic, c5, c4, c3, c2, c1, one)
    }

    /// `2^s` per lane.
    #[inline(always)]
    pub fn eval(&self, s: F32x4) -> F32x4 {
        let shifted = s + self.magic;
        let f = s - (shifted - self.magic); // exact
        let q = self.c5.madd(f, self.c4).madd(f, self.c3).madd(f, self.c2).madd(f, self.c1);
        F32x4::from_bits(q.madd(f, self.one).to_bits() + shifted.to_bits().shl(23))
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
    355.0 / 512.0,
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
    3.494_815e-3,
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
        let p = self.p4.madd(t, self.p3).madd(t, self.p2).madd(t, self.p1).madd(t, self.one);
        let q = self.q4.madd(t, self.q3).madd(t, self.q2).madd(t, self.q1).madd(t, self.one);
        (x * p / q).max(-self.one).min(self.one)
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

#[cfg(test)]
mod tests;
