//! f64 logarithm, exponential, sine and cosine made of + − × ÷ and bit moves only, so that native code, every WebAssembly engine
//! and every processor agree to the last bit: what initial weights, position tables and sampling are computed with.
//! Not for inner loops (see `vecmath.rs`).
//!
//! Errors against the platform's library, measured below: `ln` and `exp` 2e-15 relative, `sin_cos` 5e-16 absolute up to 2π and
//! 1e-15 + 1e-16·|x| beyond.

const LN_2_HI: f64 = 0.693_147_180_369_123_8; // 33 bits: times an exponent it is exact
const LN_2_LO: f64 = 1.908_214_929_270_587_7e-10;

/// 1/k!, k = 0..=17.
const INVERSE_FACTORIALS: [f64; 18] = {
    let (mut table, mut factorial, mut k) = ([1.0; 18], 1.0, 1);
    while k < 18 {
        factorial *= k as f64; // exact: 17! < 2^53
        table[k] = 1.0 / factorial;
        k += 1;
    }
    table
};

/// 2/3, 2/5 … 2/23: the coefficients of 2 artanh(s) after s.
const ARTANH: [f64; 11] = {
    let (mut table, mut k) = ([0.0; 11], 0);
    while k < 11 {
        table[k] = 2.0 / (2 * k + 3) as f64;
        k += 1;
    }
    table
};

/// `e^x`. Method: `x = n·ln 2 + r`, Taylor series of `e^r` to r¹³ (|r| <= 0.3466: next term 4e-18). 0 below −708, infinity above 709.78.
pub fn exp(x: f64) -> f64 {
    if x.is_nan() {
        return x;
    }
    if x > 709.782_712_893_383_9 {
        return f64::INFINITY;
    }
    if x < -708.0 {
        return 0.0; // before the results become subnormal
    }
    let n = (x * core::f64::consts::LOG2_E + 0.5).floor();
    let r = (x - n * LN_2_HI) - n * LN_2_LO;
    let mut sum = INVERSE_FACTORIALS[13];
    for k in (0..13).rev() {
        sum = sum * r + INVERSE_FACTORIALS[k];
    }
    // 2^n in two factors, since n may be 1024.
    let half = (n as i64) / 2;
    let power = |e: i64| f64::from_bits(((1023 + e) as u64) << 52);
    sum * power(half) * power(n as i64 - half)
}

/// Natural logarithm of a positive normal number. Method: `x = 2^e·m`, m in [√½, √2), and the series of `2 artanh((m−1)/(m+1))`
/// to s²³ (s² <= 0.0295: next term 1e-20). 0 gives −infinity, negative numbers and NaN give NaN.
pub fn ln(x: f64) -> f64 {
    if x.is_nan() || x < 0.0 {
        return f64::NAN;
    }
    if x < f64::MIN_POSITIVE {
        return if x == 0.0 {
            f64::NEG_INFINITY
        } else {
            ln(x * 18_014_398_509_481_984.0) - 54.0 * core::f64::consts::LN_2
        };
    }
    if x == f64::INFINITY {
        return x;
    }
    let bits = x.to_bits();
    let mut e = ((bits >> 52) as i64) - 1023;
    let mut m = f64::from_bits((bits & 0x000F_FFFF_FFFF_FFFF) | 0x3FF0_0000_0000_0000);
    if m > core::f64::consts::SQRT_2 {
        m *= 0.5;
        e += 1;
    }
    let f = m - 1.0;
    let s = f / (m + 1.0);
    let z = s * s;
    let mut series = 0.0;
    for coefficient in ARTANH.iter().rev() {
        series = (series + coefficient) * z;
    }
    // 2s = f − s·f, so the leading term keeps the exact digits of m − 1.
    let e = e as f64;
    e * LN_2_HI + (f - (s * (f - series) - e * LN_2_LO))
}

/// Sine and cosine of `x` radians, |x| below 2²⁰. Method: the nearest multiple of π/2 is taken off in three exact steps, then Taylor
/// series to r¹⁷ and r¹⁶ (|r| <= π/4: next terms 1e-19).
pub fn sin_cos(x: f64) -> (f64, f64) {
    const HALF_PI: [f64; 3] = [1.570_796_326_734_125_6, 6.077_100_506_303_966e-11, 2.022_266_248_795_950_6e-21];
    let n = (x * core::f64::consts::FRAC_2_PI + 0.5).floor();
    let r = ((x - n * HALF_PI[0]) - n * HALF_PI[1]) - n * HALF_PI[2];
    let z = r * r;
    let (mut sine, mut cosine) = (INVERSE_FACTORIALS[17], INVERSE_FACTORIALS[16]);
    for k in (0..8).rev() {
        sine = INVERSE_FACTORIALS[2 * k + 1] - sine * z;
        cosine = INVERSE_FACTORIALS[2 * k] - cosine * z;
    }
    sine *= r;
    match (n as i64).rem_euclid(4) {
        0 => (sine, cosine),
        1 => (cosine, -sine),
        2 => (-sine, -cosine),
        _ => (-cosine, sine),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::Rng;

    #[test]
    fn logarithm_and_exponential_agree_with_the_library() {
        let mut rng = Rng::new(1);
        let (mut worst_ln, mut worst_exp) = (0.0f64, 0.0f64);
        for i in 0..200_000 {
            let x = match i % 3 {
                0 => (rng.next_u32() as f64 + 1.0) / 4_294_967_296.0,
                1 => 1.0 + rng.normal() as f64 * 1e-3,
                _ => (rng.normal() as f64 * 50.0).exp(),
            };
            if x != 1.0 {
                worst_ln = worst_ln.max((ln(x) / x.ln() - 1.0).abs());
            }
            let y = rng.normal() as f64 * if i % 2 == 0 { 1.0 } else { 150.0 };
            if y.abs() < 708.0 {
                worst_exp = worst_exp.max((exp(y) / y.exp() - 1.0).abs());
            }
        }
        println!("ln {worst_ln:e} exp {worst_exp:e}");
        assert!(worst_ln <= 2e-15 && worst_exp <= 2e-15, "ln {worst_ln:e} exp {worst_exp:e}");
        assert_eq!((ln(1.0), ln(0.0), ln(f64::INFINITY)), (0.0, f64::NEG_INFINITY, f64::INFINITY));
        assert!(ln(-1.0).is_nan() && ln(f64::NAN).is_nan() && exp(f64::NAN).is_nan());
        assert!((ln(1e-310) / 1e-310f64.ln() - 1.0).abs() < 1e-15);
        assert_eq!((exp(0.0), exp(-1e300), exp(1e300)), (1.0, 0.0, f64::INFINITY));
        assert!(
            (exp(709.7) / 709.7f64.exp() - 1.0).abs() < 2e-15 && (exp(-707.9) / (-707.9f64).exp() - 1.0).abs() < 2e-15
        );
    }

    #[test]
    fn sine_and_cosine_agree_with_the_library() {
        let mut rng = Rng::new(2);
        for i in 0..200_000 {
            let unit = rng.next_u32() as f64 / 4_294_967_296.0;
            let x = unit * [std::f64::consts::TAU, -7.0, 1e3, 1e6][i % 4];
            let (s, c) = sin_cos(x);
            let bound = if x.abs() < 6.3 { 5e-16 } else { 1e-15 + 1e-16 * x.abs() };
            assert!(
                (s - x.sin()).abs() <= bound && (c - x.cos()).abs() <= bound,
                "{x}: {s} {c}, want {} {}",
                x.sin(),
                x.cos()
            );
        }
        assert_eq!(sin_cos(0.0), (0.0, 1.0));
    }

    /// Bits written down once: a build whose arithmetic differs (fused, reassociated, 80-bit) shows here.
    #[test]
    fn bits_are_fixed() {
        let (s, c) = sin_cos(1.0);
        let got = [ln(10.0), exp(1.0), s, c].map(f64::to_bits);
        assert_eq!(
            got,
            [0x4002_6BB1_BBB5_5516, 0x4005_BF0A_8B14_576A, 0x3FEA_ED54_8F09_0CEE, 0x3FE1_4A28_0FB5_068C],
            "{got:x?}"
        );
    }
}
