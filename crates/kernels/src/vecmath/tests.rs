//! Accuracy of the lane functions over the floats, and their edges.

use super::*;
use crate::testkit::{sweep, Cases, Worst};

type Lanes = fn(F32x4) -> F32x4;
type Reference = fn(f64) -> f64;

/// Name, function, definition, the numbers it is measured on, and the bound in ulp. The constants are loaded for each vector, which
/// costs a native test nothing.
const FUNCTIONS: [(&str, Lanes, Reference, fn(f32) -> bool, f64); 5] = [
    ("exp", |x| Exp::new().eval(x), f64::exp, |x| (-87.33654..=88.72283).contains(&x), 2.0),
    ("exp2", |x| Exp2::new().eval(x), f64::exp2, |x| (-126.0..=127.0).contains(&x), 3.0),
    ("log", |x| Log::new().eval(x), f64::ln, |x| x > 0.0 && x.is_finite(), 2.0),
    ("tanh", |x| Tanh::new().eval(x), f64::tanh, |_| true, 7.0),
    ("sigmoid", |x| Sigmoid::new().eval(x), |x| 1.0 / (1.0 + (-x).exp()), |x| x >= -87.0, 4.0),
];

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

fn errors_stay_in_bounds(stride: usize) {
    let mut cases = Cases::new();
    for (name, f, reference, measured, bound) in FUNCTIONS {
        let Worst { error, at } = sweep(
            stride,
            |x| f(F32x4::from_array(x)).to_array(),
            |x, y| {
                if x.is_nan() != y.is_nan() && !(name == "log" && x < 0.0) && name != "exp2" {
                    return f64::INFINITY;
                }
                if measured(x) {
                    ulps(y, reference(x as f64))
                } else {
                    0.0
                }
            },
        );
        println!("{name}: {error:.3} ulp at {at:e}");
        let result = if error <= bound { Ok(()) } else { Err(format!("{error} ulp off at {at:e}")) };
        cases.check(|| name.into(), result);
    }
    cases.finish();
}

#[test]
fn errors_stay_in_bounds_on_every_251st_float() {
    errors_stay_in_bounds(251);
}

#[test]
#[ignore = "takes minutes; .ci/run has it"]
fn errors_stay_in_bounds_on_all_floats() {
    errors_stay_in_bounds(1);
}

#[test]
fn the_cheaper_exponential_has_the_same_bits() {
    let e = Exp::new();
    let different = |x: f32, y: f32| if x <= 88.72283 && y.to_bits() != exp(x).to_bits() { 1.0 } else { 0.0 };
    let Worst { error, at } = sweep(997, |x| e.eval_below(F32x4::from_array(x)).to_array(), different);
    assert_eq!(error, 0.0, "at {at:e}");
    assert!(e.eval_below(F32x4::splat(f32::NAN)).to_array()[0].is_nan());
    assert!(e.eval_below(F32x4::splat(-f32::NAN)).to_array()[0].is_nan());
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
fn log_has_its_edges() {
    assert_eq!((log(0.0), log(-0.0), log(f32::INFINITY)), (f32::NEG_INFINITY, f32::NEG_INFINITY, f32::INFINITY));
    assert!(log(-1.0).is_nan() && log(f32::NEG_INFINITY).is_nan() && log(f32::NAN).is_nan() && log(-1e-45).is_nan());
    assert_eq!(log(1.0), 0.0);
}

#[test]
fn tanh_is_odd_and_bounded() {
    let t = Tanh::new();
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
fn sigmoid_saturates() {
    let s = Sigmoid::new();
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
