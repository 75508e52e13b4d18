//! Products against the definition in f64, every form and register tile, sizes around every border.

use super::*;
use crate::gelu;
use crate::testkit::{close_by, run_reversed, same_bits, wide, Cases, Rng};

/// The definition, in f64, and beside it Σ|a·b| + |initial value|, the scale of the permitted error.
pub(crate) fn naive(
    form: Form,
    d: Dims,
    a: &[f32],
    b: &[f32],
    init: Option<&[f32]>,
    bias: Option<&[f32]>,
) -> (Vec<f64>, Vec<f64>) {
    let (a, b) = (wide(a), wide(b));
    let (mut out, mut scale) = (Vec::new(), Vec::new());
    for e in 0..d.batch {
        for i in 0..d.m {
            for j in 0..d.n {
                let first = init.map_or(0.0, |x| x[(e * d.m + i) * d.n + j] as f64) + bias.map_or(0.0, |x| x[j] as f64);
                let (mut sum, mut size) = (first, first.abs());
                for k in 0..d.k {
                    let x = match form {
                        Form::Tn => a[(e * d.k + k) * d.m + i],
                        _ => a[(e * d.m + i) * d.k + k],
                    };
                    let y = match form {
                        Form::Nt => b[(e * d.n + j) * d.k + k],
                        _ => b[(e * d.k + k) * d.n + j],
                    };
                    sum += x * y;
                    size += (x * y).abs();
                }
                out.push(sum);
                scale.push(size);
            }
        }
    }
    (out, scale)
}

const FORMS: [Form; 3] = [Form::Nn, Form::Nt, Form::Tn];

struct Data {
    a: Vec<f32>,
    b: Vec<f32>,
    init: Vec<f32>,
    bias: Vec<f32>,
}

fn data(rng: &mut Rng, d: Dims) -> Data {
    Data {
        a: rng.normals(d.batch * d.m * d.k),
        b: rng.normals(d.batch * d.k * d.n),
        init: rng.normals(d.batch * d.m * d.n),
        bias: rng.normals(d.n),
    }
}

fn op(form: Form, d: Dims, data: &Data, init: *const f32, bias: bool, out: &mut [f32]) -> Matmul {
    Matmul {
        a: data.a.as_ptr(),
        b: data.b.as_ptr(),
        init,
        bias: if bias { data.bias.as_ptr() } else { core::ptr::null() },
        out: out.as_mut_ptr(),
        act: core::ptr::null_mut(),
        batch: d.batch,
        m: d.m,
        n: d.n,
        k: d.k,
        form,
        storage: Storage::F32,
        activation: Activation::None,
        threads: 2,
    }
}

fn dims(batch: usize, m: usize, n: usize, k: usize) -> Dims {
    Dims { batch, m, n, k }
}

/// Sizes below, at and above each lane, tile and block, in combinations that stay small.
fn sizes() -> Vec<Dims> {
    let mut all = Vec::new();
    for m in [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 13] {
        for n in [0, 1, 3, 4, 5, 7, 8, 9, 15, 16, 17, 33] {
            for k in [0, 1, 2, 3, 4, 5, 8, 9, 17] {
                all.push(dims(1, m, n, k));
            }
        }
    }
    for k in [255, 256, 257, 383, 384, 385, 513, 768, 769] {
        all.extend([dims(1, 1, 5, k), dims(1, 3, 130, k), dims(1, 6, 17, k), dims(1, 33, 40, k)]);
    }
    for n in [127, 128, 129, 255, 256, 257, 300] {
        all.extend([dims(1, 1, n, 19), dims(1, 2, n, 8), dims(1, 70, n, 70), dims(1, 5, n, 3)]);
    }
    for m in [23, 24, 25, 63, 64, 65, 191, 192, 193, 239, 240, 241, 257] {
        all.extend([dims(1, m, 65, 33), dims(1, m, 8, 9)]);
    }
    for batch in [0, 2, 3] {
        all.extend([dims(batch, 5, 9, 7), dims(batch, 2, 33, 9), dims(batch, 17, 64, 300), dims(batch, 65, 65, 65)]);
    }
    all.extend([dims(1, 128, 512, 96), dims(1, 1, 2000, 40), dims(1, 130, 270, 280)]);
    all
}

#[test]
fn every_form_matches_the_definition() {
    let mut cases = Cases::new();
    let mut rng = Rng::new(1234);
    let mut worst = 0.0f64;
    for d in sizes() {
        for form in FORMS {
            let x = data(&mut rng, d);
            for (init, bias) in [(false, false), (false, true), (true, false), (true, true)] {
                let init = init.then_some(&x.init[..]);
                let bias = bias.then_some(&x.bias[..]);
                let mut out = vec![f32::NAN; d.batch * d.m * d.n];
                matmul_forward(form, d, &x.a, &x.b, init, bias, &mut out);
                let (want, scale) = naive(form, d, &x.a, &x.b, init, bias);
                worst = worst.max(share(&out, &want, &scale));
                let result = close_by(&out, &want, |i| 5e-7 * scale[i]);
                cases.check(|| format!("{form:?} {d:?} init {} bias {}", init.is_some(), bias.is_some()), result);
            }
        }
    }
    println!("measured: matmul error over the sum of absolute products: {worst:.2e}");
    cases.finish();
}

/// The largest error as a share of what the products' absolute values sum to.
fn share(out: &[f32], want: &[f64], scale: &[f64]) -> f64 {
    let errors = out.iter().zip(want).zip(scale).filter(|(_, scale)| **scale > 0.0);
    errors.map(|((o, w), scale)| (f64::from(*o) - w).abs() / scale).fold(0.0, f64::max)
}

#[test]
fn a_long_sum_stays_within_the_bound() {
    let mut cases = Cases::new();
    let mut worst = 0.0f64;
    for k in [3072, 8192] {
        let d = dims(1, 9, 17, k);
        let x = data(&mut Rng::new(k as u64), d);
        for form in FORMS {
            let mut out = vec![0.0; d.m * d.n];
            matmul_forward(form, d, &x.a, &x.b, None, None, &mut out);
            let (want, scale) = naive(form, d, &x.a, &x.b, None, None);
            worst = worst.max(share(&out, &want, &scale));
            cases.check(|| format!("{form:?} {d:?}"), close_by(&out, &want, |i| 5e-7 * scale[i]));
        }
    }
    println!("measured: the same for sums of 3072 and 8192: {worst:.2e}");
    cases.finish();
}

#[test]
fn all_register_tiles_and_the_path_for_few_rows_give_the_same_bits() {
    let mut cases = Cases::new();
    let mut rng = Rng::new(99);
    for d in sizes() {
        for form in FORMS {
            let x = data(&mut rng, d);
            let mut expected: Option<Vec<f32>> = None;
            for register in RegisterTile::ALL {
                let mut out = vec![f32::NAN; d.batch * d.m * d.n];
                let op = op(form, d, &x, x.init.as_ptr(), true, &mut out);
                let mut scratch = vec![f32::NAN; op.scratch_len()];
                for tile in 0..op.tiles() {
                    // SAFETY: operands and scratch are as long as the dims say.
                    unsafe { op.run_tile_with(register, tile, scratch.as_mut_ptr()) };
                }
                match &expected {
                    None => expected = Some(out),
                    Some(first) => cases.check(|| format!("{register:?} {form:?} {d:?}"), same_bits(first, &out)),
                }
            }
            // The first rows alone, few enough for the other path, must be the first rows of the whole.
            if form != Form::Tn && d.batch == 1 && d.m > FEW_ROWS {
                for rows in 1..=FEW_ROWS {
                    let few = Dims { m: rows, ..d };
                    let mut out = vec![f32::NAN; rows * d.n];
                    let (a, init) = (&x.a[..rows * d.k], Some(&x.init[..rows * d.n]));
                    matmul_forward(form, few, a, &x.b, init, Some(&x.bias), &mut out);
                    let whole = &expected.as_ref().expect("tiles ran")[..rows * d.n];
                    cases.check(|| format!("{rows} rows of {form:?} {d:?}"), same_bits(whole, &out));
                }
            }
        }
    }
    cases.finish();
}

#[test]
fn tiles_run_in_any_order_with_any_scratch() {
    let mut cases = Cases::new();
    let mut rng = Rng::new(5);
    for d in [dims(1, 300, 270, 300), dims(3, 70, 65, 20), dims(1, 2, 700, 700)] {
        for form in FORMS {
            let x = data(&mut rng, d);
            let mut forward = vec![f32::NAN; d.batch * d.m * d.n];
            let mut backward = forward.clone();
            matmul_forward(form, d, &x.a, &x.b, Some(&x.init), Some(&x.bias), &mut forward);
            let op = op(form, d, &x, x.init.as_ptr(), true, &mut backward);
            assert!(op.tiles() > 1);
            // SAFETY: operands are as long as the dims say.
            unsafe { run_reversed(&op) }.expect("no faults");
            cases.check(|| format!("{form:?} {d:?}"), same_bits(&forward, &backward));
        }
    }
    cases.finish();
}

#[test]
fn accumulating_in_place_equals_a_separate_initial_value() {
    let mut cases = Cases::new();
    let mut rng = Rng::new(6);
    for d in [dims(1, 1, 9, 600), dims(1, 3, 300, 9), dims(2, 13, 33, 300), dims(1, 70, 65, 513), dims(1, 5, 5, 0)] {
        for form in FORMS {
            let x = data(&mut rng, d);
            let mut apart = vec![0.0; x.init.len()];
            matmul_forward(form, d, &x.a, &x.b, Some(&x.init), Some(&x.bias), &mut apart);
            let mut in_place = x.init.clone();
            matmul_accumulate(form, d, &x.a, &x.b, Some(&x.bias), &mut in_place);
            cases.check(|| format!("{form:?} {d:?}"), same_bits(&apart, &in_place));
        }
    }
    cases.finish();
}

#[test]
fn an_element_is_one_chain_over_ascending_k() {
    // The definition in f32, one multiply and one add per step: the portable twin must reproduce it bit for bit.
    let mut cases = Cases::new();
    for d in [dims(1, 1, 7, 300), dims(1, 9, 19, 600), dims(2, 6, 8, 257)] {
        let x = data(&mut Rng::new(11), d);
        let mut want = x.init.clone();
        for (at, out) in want.iter_mut().enumerate() {
            let (e, i, j) = (at / d.n / d.m, at / d.n % d.m, at % d.n);
            *out += x.bias[j];
            for k in 0..d.k {
                *out += x.a[(e * d.m + i) * d.k + k] * x.b[(e * d.k + k) * d.n + j];
            }
        }
        let mut out = vec![0.0; want.len()];
        matmul_forward(Form::Nn, d, &x.a, &x.b, Some(&x.init), Some(&x.bias), &mut out);
        cases.check(|| format!("{d:?}"), same_bits(&want, &out));
    }
    cases.finish();
}

#[test]
fn activations_are_a_second_pass_over_the_stored_result() {
    let mut cases = Cases::new();
    let mut rng = Rng::new(7);
    for d in [dims(1, 1, 5, 9), dims(2, 9, 33, 17), dims(1, 130, 300, 40)] {
        let x = data(&mut rng, d);
        for activation in [Activation::GeluTanh, Activation::GeluErf, Activation::Relu] {
            let (mut plain, mut out, mut act) =
                (vec![0.0; x.init.len()], vec![0.0; x.init.len()], vec![0.0; x.init.len()]);
            matmul_forward(Form::Nt, d, &x.a, &x.b, None, Some(&x.bias), &mut plain);
            matmul_activated(Form::Nt, d, &x.a, &x.b, Some(&x.bias), &mut out, activation, &mut act);
            let want: Vec<f64> = wide(&plain)
                .into_iter()
                .map(|v| match activation {
                    Activation::GeluTanh => gelu::naive::tanh_form(v),
                    Activation::GeluErf => gelu::naive::erf_form(v),
                    _ => v.max(0.0),
                })
                .collect();
            cases.check(|| format!("out {activation:?} {d:?}"), same_bits(&plain, &out));
            cases.check(|| format!("act {activation:?} {d:?}"), close_by(&act, &want, |i| 1e-6 + 2e-6 * want[i].abs()));
        }
    }
    cases.finish();
}

#[test]
fn nothing_outside_the_result_is_written() {
    let mut cases = Cases::new();
    let mut rng = Rng::new(8);
    for d in [dims(1, 2, 5, 3), dims(1, 7, 13, 9), dims(1, 33, 65, 4)] {
        for form in FORMS {
            let x = data(&mut rng, d);
            let size = d.m * d.n;
            let mut guarded = vec![7.0f32; size + 32];
            let op = op(form, d, &x, core::ptr::null(), false, &mut guarded[16..16 + size]);
            // SAFETY: operands are as long as the dims say.
            unsafe { run_all(&op) }.expect("no faults");
            let untouched = guarded[..16].iter().chain(&guarded[16 + size..]).all(|&v| v == 7.0);
            let result = if untouched { Ok(()) } else { Err("a neighbour was overwritten".into()) };
            cases.check(|| format!("{form:?} {d:?}"), result);
        }
    }
    cases.finish();
}

#[test]
fn words_name_forms_and_activations() {
    assert_eq!([0, 1, 2, 3].map(Form::from_word), [Some(Form::Nn), Some(Form::Nt), Some(Form::Tn), None]);
    assert_eq!(Activation::from_word(2), Some(Activation::GeluErf));
    assert_eq!(Activation::from_word(4), None);
}

#[test]
fn scratch_grows_with_every_dim() {
    let sizes = [0, 1, 3, 4, 5, 16, 31, 64, 128, 239, 240, 241, 256, 257, 383, 384, 385, 768, 1025];
    let needed = |m: usize, n: usize, k: usize| {
        let x = Data { a: vec![], b: vec![], init: vec![], bias: vec![] };
        let lengths = FORMS.map(|form| {
            let op = op(form, dims(1, m, n, k), &x, core::ptr::null(), false, &mut []);
            let plan = op.plan();
            let depth = plan.depth.min(k);
            for register in RegisterTile::ALL.into_iter().filter(|_| m > FEW_ROWS) {
                let left = if form == Form::Tn { packed_len(depth, plan.rows.min(m), register.mr()) } else { 0 };
                let used = packed_len(depth, plan.cols.min(n), register.nr()) + left;
                assert!(used <= op.scratch_len(), "{form:?} {register:?} {m} {n} {k}");
            }
            op.scratch_len()
        });
        // The forms' lengths are ordered alike, so one number stands for the three.
        assert!(lengths[0] == lengths[1] && lengths[1] <= lengths[2]);
        lengths[2]
    };
    for window in sizes.windows(2) {
        let (less, more) = (window[0], window[1]);
        for other in sizes {
            for last in sizes {
                assert!(needed(less, other, last) <= needed(more, other, last));
                assert!(needed(other, less, last) <= needed(other, more, last));
                assert!(needed(other, last, less) <= needed(other, last, more));
            }
        }
    }
}
