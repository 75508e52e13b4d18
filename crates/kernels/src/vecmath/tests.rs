//! Accuracy of the lane functions over dense ranges, and their edges.

use super::*;

/// Error of `got` in units of the last place of `want` rounded to f32 (the spacing at its magnitude, at least the
/// smallest normal's).
fn ulps(got: f32, want: f64) -> f64 {
    if got as f64 == want || (got as f64).is_nan() && want.is_nan() || got == want as f32 && got.is_infinite() {
        return 0.0;
    }
    let magnitude = (want.abs() as f32).max(f32::MIN_POSITIVE);
    let spacing = f32::from_bits(magnitude.to_bits() + 1) as f64 - magnitude as f64;
    (got as f64 - want).abs() / spacing
}

/// Every `stride`-th float between two (same sign) bit patterns, worst error and where.
fn worst(f: impl Fn(F32x4) -> F32x4, reference: impl Fn(f64) -> f64, from: f32, to: f32, stride: usize) -> (f64, f32) {
    let (a, b) = (from.to_bits().min(to.to_bits()), from.to_bits().max(to.to_bits()));
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
    for (from, to) in [(1e-10f32, 88.72283f32), (-1e-10, -87.33654), (0.0, 1.0), (-0.0, -1.0)] {
        let (error, at) = worst(|x| e.eval(x), f64::exp, from, to, 97);
        println!("exp {from}..{to}: {error:.3} ulp at {at}");
        assert!(error <= 2.0, "exp({at}) is {error} ulp off");
    }
}

#[test]
fn exp_ends_in_zero_infinity_and_nan_without_subnormals() {
    for x in [-87.33655f32, -88.0, -100.0, -103.9, -104.0, -1e4, -1e30, f32::MIN, f32::NEG_INFINITY] {
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
        assert!(y == 0.0 || y >= f32::MIN_POSITIVE || y.is_nan(), "exp({x}) is subnormal");
    }
}

#[test]
fn log_is_within_two_ulp_for_every_magnitude() {
    let l = Log::new();
    for (from, to, stride) in [(1e-45f32, f32::MAX, 1009), (0.5, 2.0, 7), (1.0 - 1e-3, 1.0 + 1e-3, 1)] {
        let (error, at) = worst(|x| l.eval(x), f64::ln, from, to, stride);
        println!("log {from}..{to}: {error:.3} ulp at {at}");
        assert!(error <= 2.0, "log({at}) is {error} ulp off");
    }
    assert_eq!((log(0.0), log(-0.0), log(f32::INFINITY)), (f32::NEG_INFINITY, f32::NEG_INFINITY, f32::INFINITY));
    assert!(log(-1.0).is_nan() && log(f32::NEG_INFINITY).is_nan() && log(f32::NAN).is_nan() && log(-1e-45).is_nan());
    assert_eq!(log(1.0), 0.0);
}

#[test]
fn tanh_is_within_a_few_ulp_odd_and_bounded() {
    let t = Tanh::new();
    for (from, to) in [(1e-38f32, 20.0f32), (0.05, 10.0)] {
        let (error, at) = worst(|x| t.eval(x), f64::tanh, from, to, 331);
        println!("tanh {from}..{to}: {error:.3} ulp at {at}");
        assert!(error <= 7.0, "tanh({at}) is {error} ulp off");
    }
    let one = |x: f32| t.eval(F32x4::splat(x)).to_array()[0];
    for bits in (0..0x7F80_0000u32).step_by(30_011) {
        let x = f32::from_bits(bits);
        assert_eq!(one(x), -one(-x), "odd at {x}");
        assert!((0.0..=1.0).contains(&one(x)), "bounded at {x}");
    }
    assert!(one(f32::NAN).is_nan());
    assert!(one(f32::INFINITY) >= 1.0 - f32::EPSILON);
    assert_eq!(one(0.0).to_bits(), 0);
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
    for (x, want) in [(1e30, 1.0), (-1e30, 0.0), (f32::INFINITY, 1.0), (f32::NEG_INFINITY, 0.0), (0.0, 0.5)] {
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
