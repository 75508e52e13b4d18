//! Products with int8 blocks against the scalar statement of their arithmetic (same bits) and against f64 (error bounds).

use super::*;
use crate::matmul::{Activation, Form, Matmul};
use crate::stored::Storage;
use crate::testkit::{close_by, run_reversed, same_bits, Cases, Rng};
use crate::TileOp;

/// Weights `[n, k]` with scales `[n, blocks]`, as integers and packed into cells.
pub(crate) struct Weights {
    pub n: usize,
    pub k: usize,
    pub q: Vec<i8>,
    pub scales: Vec<f32>,
    pub cells: Vec<i32>,
}

impl Weights {
    pub fn new(n: usize, k: usize, q: Vec<i8>, scales: Vec<f32>) -> Self {
        let blocks = k.div_ceil(BLOCK);
        let mut bytes = vec![0u8; words(n, k) * 4];
        for j in 0..n {
            for s in 0..k {
                let cell = (j / COLS * blocks + s / BLOCK) * CELL_WORDS * 4;
                bytes[cell + s % BLOCK / 2 * 16 + j % COLS * 2 + s % 2] = q[j * k + s] as u8;
            }
            for b in 0..blocks {
                let at = (j / COLS * blocks + b) * CELL_WORDS * 4 + BLOCK * COLS + j % COLS * 4;
                bytes[at..at + 4].copy_from_slice(&scales[j * blocks + b].to_le_bytes());
            }
        }
        let cells = bytes.chunks_exact(4).map(|w| i32::from_le_bytes(w.try_into().unwrap())).collect();
        Self { n, k, q, scales, cells }
    }

    pub fn random(rng: &mut Rng, n: usize, k: usize) -> Self {
        let q = (0..n * k).map(|_| (rng.below(256) as i32 - 128) as i8).collect();
        let scales = (0..n * k.div_ceil(BLOCK)).map(|_| rng.normal().abs() * 0.01).collect();
        Self::new(n, k, q, scales)
    }

    pub fn value(&self, j: usize, s: usize) -> f64 {
        f64::from(self.q[j * self.k + s]) * f64::from(self.scales[j * self.k.div_ceil(BLOCK) + s / BLOCK])
    }
}

/// The statement at the top of q8.rs, one scalar after another.
fn stated(w: &Weights, m: usize, a: &[f32], init: Option<&[f32]>, bias: Option<&[f32]>) -> Vec<f32> {
    let (n, k) = (w.n, w.k);
    let mut out = Vec::new();
    for i in 0..m {
        for j in 0..n {
            let mut sum = match (init, bias) {
                (Some(init), Some(bias)) => init[i * n + j] + bias[j],
                (Some(init), None) => init[i * n + j],
                (None, Some(bias)) => bias[j],
                (None, None) => 0.0,
            };
            for b in 0..k.div_ceil(BLOCK) {
                let steps = b * BLOCK..k.min((b + 1) * BLOCK);
                let row = &a[i * k..(i + 1) * k][steps.clone()];
                let largest = row.iter().fold(0.0f32, |most, x| most.max(x.abs()));
                let finite = row.iter().all(|x| x.is_finite());
                let (mut scale, mut inverse) = (largest / LARGEST, LARGEST / largest);
                if !finite || largest < SMALLEST {
                    (scale, inverse) = (if finite { 0.0 } else { f32::NAN }, 0.0);
                }
                let mut dot = 0i64;
                for (x, s) in row.iter().zip(steps) {
                    let x = if finite { (x * inverse).round_ties_even() as i64 } else { 0 };
                    dot += x * i64::from(w.q[j * k + s]);
                }
                assert!(i32::try_from(dot).is_ok());
                sum += dot as i32 as f32 * (w.scales[j * k.div_ceil(BLOCK) + b] * scale);
            }
            out.push(sum);
        }
    }
    out
}

fn op(w: &Weights, m: usize, a: &[f32], out: &mut [f32], threads: usize) -> Matmul {
    Matmul {
        a: a.as_ptr(),
        b: w.cells.as_ptr() as *const f32,
        init: core::ptr::null(),
        bias: core::ptr::null(),
        out: out.as_mut_ptr(),
        act: core::ptr::null_mut(),
        batch: 1,
        m,
        n: w.n,
        k: w.k,
        form: Form::Q8,
        storage: Storage::F32,
        activation: Activation::None,
        threads,
    }
}

pub(crate) fn run(w: &Weights, m: usize, a: &[f32], threads: usize) -> Vec<f32> {
    let mut out = vec![f32::NAN; m * w.n];
    // SAFETY: buffers of these sizes.
    unsafe { run_reversed(&op(w, m, a, &mut out, threads)) }.unwrap();
    out
}

#[test]
fn every_shape_has_the_bits_of_the_statement() {
    let (mut rng, mut cases) = (Rng::new(7), Cases::new());
    for m in [0, 1, 2, 3, 4, 5, 7, 8, 9, 63, 64, 65, 130] {
        for n in [0, 1, 7, 8, 9, 17, 100] {
            for k in [0, 1, 2, 31, 32, 33, 63, 65, 97] {
                let w = Weights::random(&mut rng, n, k);
                let (a, start, added) = (rng.normals(m * k), rng.normals(m * n), rng.normals(n));
                for (init, bias) in [(false, false), (true, false), (false, true), (true, true)] {
                    let (init, bias) = (init.then_some(&start[..]), bias.then_some(&added[..]));
                    let mut out = vec![f32::NAN; m * n];
                    let mut op = op(&w, m, &a, &mut out, 2);
                    op.init = init.map_or(core::ptr::null(), <[f32]>::as_ptr);
                    op.bias = bias.map_or(core::ptr::null(), <[f32]>::as_ptr);
                    // SAFETY: buffers of these sizes.
                    unsafe { run_reversed(&op) }.unwrap();
                    let want = stated(&w, m, &a, init, bias);
                    cases.check(
                        || format!("{m}x{n}x{k} {:?}", (init.is_some(), bias.is_some())),
                        same_bits(&out, &want),
                    );
                }
            }
        }
    }
    cases.finish();
}

#[test]
fn rows_and_threads_never_show_in_a_bit() {
    let mut rng = Rng::new(8);
    let w = Weights::random(&mut rng, 203, 321);
    let a = rng.normals(70 * 321);
    let together = run(&w, 70, &a, 1);
    for threads in [2, 3, 8] {
        same_bits(&run(&w, 70, &a, threads), &together).unwrap();
    }
    for i in 0..70 {
        same_bits(&run(&w, 1, &a[i * 321..(i + 1) * 321], 2), &together[i * 203..(i + 1) * 203]).unwrap();
    }
}

#[test]
fn the_error_is_that_of_rounding_rows_to_16_bits() {
    let (mut rng, mut cases) = (Rng::new(9), Cases::new());
    for (m, n, k) in [(1, 40, 768), (5, 33, 1000), (17, 24, 3072)] {
        let w = Weights::random(&mut rng, n, k);
        let a = rng.normals(m * k);
        let (mut want, mut bounds) = (Vec::new(), Vec::new());
        for i in 0..m {
            for j in 0..n {
                let (mut sum, mut bound) = (0.0, 0.0);
                for s in 0..k {
                    let block = &a[i * k..][s / BLOCK * BLOCK..k.min((s / BLOCK + 1) * BLOCK)];
                    let largest = block.iter().fold(0.0f32, |most, x| most.max(x.abs()));
                    sum += f64::from(a[i * k + s]) * w.value(j, s);
                    bound += w.value(j, s).abs() * f64::from(largest) * (1.01 / 65536.0);
                }
                want.push(sum);
                bounds.push(bound + 1e-6 * sum.abs());
            }
        }
        cases.check(|| format!("{m}x{n}x{k}"), close_by(&run(&w, m, &a, 2), &want, |i| bounds[i]));
    }
    cases.finish();
}

#[test]
fn the_largest_sums_stay_exact() {
    // All products of one sign at the ends of both ranges, −128 included: 32 · 128 · 32767 < 2^31.
    for q in [127i8, -127, -128] {
        for x in [1.0f32, -1.0, 3e38] {
            let (n, k) = (9, 96);
            let w = Weights::new(n, k, vec![q; n * k], vec![1.0 / 128.0; n * 3]);
            let out = run(&w, 4, &vec![x; 4 * k], 2);
            let want = 96.0 / 128.0 * f64::from(q) * f64::from(x);
            assert!(
                out.iter().all(|&y| (f64::from(y) / want - 1.0).abs() < 1e-6 || y.is_infinite()),
                "{q} {x}: {out:?}"
            );
            assert_eq!(out.iter().any(|y| y.is_infinite()), want.abs() > f64::from(f32::MAX), "{q} {x}");
        }
    }
}

#[test]
fn zero_and_tiny_blocks_are_zero_and_what_is_not_finite_stays_in_its_row() {
    let mut rng = Rng::new(10);
    let (m, n, k) = (6, 20, 70);
    let w = Weights::random(&mut rng, n, k);
    let clean = rng.normals(m * k);
    let want = run(&w, m, &clean, 2);
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        for at in [0, 31, 32, 69] {
            let mut a = clean.clone();
            a[4 * k + at] = bad;
            let out = run(&w, m, &a, 2);
            for i in 0..m {
                let row = i * n..(i + 1) * n;
                if i == 4 {
                    assert!(out[row].iter().all(|x| x.is_nan()), "{bad} at {at}");
                } else {
                    same_bits(&out[row.clone()], &want[row]).unwrap();
                }
            }
        }
    }
    for tiny in [0.0, -0.0, 1e-40, 1e-33] {
        assert!(run(&w, 2, &vec![tiny; 2 * k], 1).iter().all(|&x| x == 0.0));
    }
    let zero = Weights::new(3, 33, vec![0; 99], vec![0.0; 6]);
    assert!(run(&zero, 5, &rng.normals(5 * 33), 1).iter().all(|&x| x == 0.0));
}

#[test]
fn scratch_is_enough_and_grows_with_every_dim() {
    for (m, k) in [(1, 1), (4, 32), (63, 33), (64, 700), (1000, 3072)] {
        assert!(scratch_words(m + 1, k) >= scratch_words(m, k) && scratch_words(m, k + 1) >= scratch_words(m, k));
        let w = Weights::new(1, k, vec![1; k], vec![1.0; k.div_ceil(BLOCK)]);
        let plan = plan(2, m, 1, k);
        let needed = plan.rows.min(m) * k.div_ceil(BLOCK) * 17 + 32;
        assert!(op(&w, m, &[], &mut [], 2).scratch_len() >= needed);
    }
}
