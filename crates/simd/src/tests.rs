//! Every lane operation against the scalar statement of its documentation.

use crate::{madd_is_fused, F32x4, I32x4};

const FLOATS: [f32; 16] =
    [0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 1.5, 2.5, -2.5, 3.7, -3.7, 1e-40, 8388609.0, -1e30, f32::INFINITY, f32::NAN];
const INTS: [i32; 8] = [0, 1, -1, 7, i32::MAX, i32::MIN, 0x1234_5678, -0x7654_3210];

/// Runs `f` over every pair of vectors made of rotations of `FLOATS`.
fn pairs(f: impl Fn([f32; 4], [f32; 4])) {
    for i in 0..FLOATS.len() {
        for j in 0..FLOATS.len() {
            let at = |k: usize| FLOATS[k % FLOATS.len()];
            f([at(i), at(i + 1), at(i + 2), at(i + 3)], [at(j), at(j + 3), at(j + 6), at(j + 9)]);
        }
    }
}

fn same_f32(got: F32x4, want: impl Fn(usize) -> f32, what: &str) {
    for (lane, x) in got.to_array().into_iter().enumerate() {
        let y = want(lane);
        assert!(x.to_bits() == y.to_bits() || (x.is_nan() && y.is_nan()), "{what} lane {lane}: got {x:e}, want {y:e}");
    }
}

fn same_i32(got: I32x4, want: impl Fn(usize) -> i32, what: &str) {
    for (lane, x) in got.to_array().into_iter().enumerate() {
        assert_eq!(x, want(lane), "{what} lane {lane}");
    }
}

#[test]
fn float_arithmetic_is_the_scalar_arithmetic_lane_by_lane() {
    pairs(|a, b| {
        let (x, y) = (F32x4::from_array(a), F32x4::from_array(b));
        same_f32(x + y, |i| a[i] + b[i], "add");
        same_f32(x - y, |i| a[i] - b[i], "sub");
        same_f32(x * y, |i| a[i] * b[i], "mul");
        same_f32(x / y, |i| a[i] / b[i], "div");
        same_f32(-x, |i| -a[i], "neg");
        same_f32(x.abs(), |i| a[i].abs(), "abs");
        same_f32(x.sqrt(), |i| a[i].sqrt(), "sqrt");
        same_f32(x.round_nearest(), |i| a[i].round_ties_even(), "round_nearest");
        same_f32(x.min(y), |i| if b[i] < a[i] { b[i] } else { a[i] }, "min");
        same_f32(x.max(y), |i| if a[i] < b[i] { b[i] } else { a[i] }, "max");
        if !madd_is_fused() {
            same_f32(x.madd(y, x), |i| a[i] * b[i] + a[i], "madd");
        }
    });
}

#[test]
fn comparisons_give_masks_and_select_follows_them() {
    pairs(|a, b| {
        let (x, y) = (F32x4::from_array(a), F32x4::from_array(b));
        same_i32(x.lt(y), |i| -((a[i] < b[i]) as i32), "lt");
        same_i32(x.le(y), |i| -((a[i] <= b[i]) as i32), "le");
        same_i32(x.gt(y), |i| -((a[i] > b[i]) as i32), "gt");
        same_i32(x.ge(y), |i| -((a[i] >= b[i]) as i32), "ge");
        same_i32(x.eq(y), |i| -((a[i] == b[i]) as i32), "eq");
        same_f32(F32x4::select(x.lt(y), x, y), |i| if a[i] < b[i] { a[i] } else { b[i] }, "select");
        assert_eq!(x.lt(y).any(), (0..4).any(|i| a[i] < b[i]));
        assert_eq!(x.lt(y).all(), (0..4).all(|i| a[i] < b[i]));
    });
}

#[test]
fn integer_operations_wrap_shift_and_multiply_wide() {
    for i in 0..INTS.len() {
        for j in 0..INTS.len() {
            let a = [INTS[i], INTS[(i + 1) % 8], INTS[(i + 2) % 8], INTS[(i + 5) % 8]];
            let b = [INTS[j], INTS[(j + 3) % 8], INTS[(j + 1) % 8], INTS[(j + 2) % 8]];
            let (x, y) = (I32x4::from_array(a), I32x4::from_array(b));
            same_i32(x + y, |i| a[i].wrapping_add(b[i]), "add");
            same_i32(x - y, |i| a[i].wrapping_sub(b[i]), "sub");
            same_i32(x * y, |i| a[i].wrapping_mul(b[i]), "mul");
            same_i32(x & y, |i| a[i] & b[i], "and");
            same_i32(x | y, |i| a[i] | b[i], "or");
            same_i32(x ^ y, |i| a[i] ^ b[i], "xor");
            same_i32(!x, |i| !a[i], "not");
            same_i32(x.eq(y), |i| -((a[i] == b[i]) as i32), "eq");
            same_i32(x.lt(y), |i| -((a[i] < b[i]) as i32), "lt");
            same_i32(x.lt_u(y), |i| -(((a[i] as u32) < (b[i] as u32)) as i32), "lt_u");
            for n in [0, 1, 8, 31] {
                same_i32(x.shl(n), |i| a[i] << n, "shl");
                same_i32(x.shr_u(n), |i| ((a[i] as u32) >> n) as i32, "shr_u");
                same_i32(x.shr_s(n), |i| a[i] >> n, "shr_s");
            }
            let (hi, lo) = x.mul_wide_u(y);
            let wide = |i: usize| (a[i] as u32 as u64) * (b[i] as u32 as u64);
            same_i32(hi, |i| (wide(i) >> 32) as i32, "mul_wide_u hi");
            same_i32(lo, |i| wide(i) as i32, "mul_wide_u lo");
            same_f32(x.to_f32(), |i| a[i] as f32, "to_f32");
            same_f32(x.to_f32_u(), |i| a[i] as u32 as f32, "to_f32_u");
        }
    }
}

#[test]
fn conversions_truncate_and_bits_round_trip() {
    let a = [3.9, -3.9, 0.0, 2147483520.0];
    same_i32(F32x4::from_array(a).to_i32(), |i| a[i] as i32, "to_i32");
    pairs(|a, _| same_f32(F32x4::from_bits(F32x4::from_array(a).to_bits()), |i| a[i], "bits"));
}

#[test]
fn partial_loads_and_stores_touch_only_their_lanes() {
    let source = [1.0, 2.0, 3.0, 4.0];
    for n in 0..=4 {
        // SAFETY: four floats each, n <= 4.
        let x = unsafe { F32x4::load_partial(source.as_ptr(), n) };
        same_f32(x, |i| if i < n { source[i] } else { 0.0 }, "load_partial");
        let mut out = [9.0f32; 5];
        unsafe { F32x4::from_array(source).store_partial(out.as_mut_ptr(), n) };
        for i in 0..5 {
            assert_eq!(out[i], if i < n { source[i] } else { 9.0 });
        }
        // SAFETY: offset 1 leaves four floats; alignment of one float is enough.
        let mut shifted = [0.0f32; 5];
        unsafe { F32x4::load(source.as_ptr()).store(shifted.as_mut_ptr().add(1)) };
        assert_eq!(shifted, [0.0, 1.0, 2.0, 3.0, 4.0]);
        same_f32(unsafe { F32x4::load_volatile(shifted.as_ptr().add(1)) }, |i| source[i], "load_volatile");
    }
}

#[test]
fn horizontal_reductions_follow_their_documented_order() {
    let a = [1e8f32, 1.0, -1e8, 1.0];
    assert_eq!(F32x4::from_array(a).sum(), (1e8f32 + 1.0) + (-1e8f32 + 1.0));
    assert_eq!(F32x4::from_array([1.0, 5.0, -2.0, 4.0]).max_lane(), 5.0);
    assert_eq!(I32x4::iota().to_array(), [0, 1, 2, 3]);
}

#[test]
fn transposing_swaps_rows_and_columns() {
    let rows = [0, 1, 2, 3].map(|i| F32x4::from_array([0, 1, 2, 3].map(|j| (10 * i + j) as f32)));
    for (j, column) in F32x4::transpose4(rows).into_iter().enumerate() {
        same_f32(column, |i| (10 * i + j) as f32, "transpose4");
    }
}

#[test]
fn the_portable_twin_does_not_fuse() {
    assert!(!madd_is_fused());
}
