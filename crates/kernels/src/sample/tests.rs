//! Behaviour of [`Sample`]: corners of the options, distributions by chi-square, faults.

use super::*;
use crate::testkit::{run_reversed, Rng};

#[derive(Clone, Copy)]
struct Options {
    temperature: f64,
    top_k: u32,
    top_p: f64,
}

const FREE: Options = Options { temperature: 1.0, top_k: 0, top_p: 1.0 };

fn draw(logits: &[f32], vocab: usize, o: Options, seed: u32, draw: u32) -> Result<Vec<i32>, Fault> {
    let rows = logits.len() / vocab;
    let mut out = vec![-7; rows];
    let op = Sample {
        logits: logits.as_ptr(),
        out: out.as_mut_ptr(),
        rows,
        vocab,
        temperature: o.temperature,
        top_k: o.top_k,
        top_p: o.top_p,
        seed_lo: seed,
        seed_hi: 0,
        draw,
    };
    // SAFETY: lengths as given.
    unsafe { run_reversed(&op) }.map(|()| out)
}

/// Counts of `n` draws.
fn counts(logits: &[f32], o: Options, n: u32) -> Vec<f64> {
    let mut counts = vec![0.0; logits.len()];
    for i in 0..n {
        counts[draw(logits, logits.len(), o, 42, i).unwrap()[0] as usize] += 1.0;
    }
    counts
}

/// Hugging Face's warpers in f64 by sorting: the probabilities after temperature, top-k, top-p.
fn naive(logits: &[f32], o: Options) -> Vec<f64> {
    let mut x: Vec<f64> = logits.iter().map(|&v| v as f64 / o.temperature).collect();
    let mut order: Vec<usize> = (0..x.len()).collect();
    order.sort_by(|&a, &b| x[b].partial_cmp(&x[a]).unwrap().then(a.cmp(&b)));
    if o.top_k > 0 && (o.top_k as usize) < x.len() {
        let least = x[order[o.top_k as usize - 1]];
        x.iter_mut().filter(|v| **v < least).for_each(|v| *v = f64::NEG_INFINITY);
    }
    let softmax = |x: &[f64]| -> Vec<f64> {
        let max = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let total: f64 = x.iter().map(|v| (v - max).exp()).sum();
        x.iter().map(|v| (v - max).exp() / total).collect()
    };
    let p = softmax(&x);
    let mut sum = 0.0;
    for (place, &i) in order.iter().enumerate() {
        if place > 0 && sum >= o.top_p {
            x[i] = f64::NEG_INFINITY;
        }
        sum += p[i];
    }
    softmax(&x)
}

#[test]
fn draws_follow_the_filtered_distribution() {
    let logits = [0.3f32, -1.2, 2.0, 0.31, f32::NEG_INFINITY, 1.1, -0.4, 2.0, -30.0];
    for o in [
        FREE,
        Options { temperature: 0.5, ..FREE },
        Options { temperature: 3.0, ..FREE },
        Options { top_k: 3, ..FREE },
        Options { top_p: 0.8, ..FREE },
        Options { temperature: 1.7, top_k: 5, top_p: 0.77 },
        Options { temperature: 0.9, top_k: 200, top_p: 0.45 },
    ] {
        let n = 100_000;
        let (got, p) = (counts(&logits, o, n), naive(&logits, o));
        let mut chi = 0.0;
        for i in 0..p.len() {
            let expected = p[i] * n as f64;
            if p[i] == 0.0 || expected < 1e-6 {
                assert_eq!(got[i], 0.0, "token {i} is excluded");
            } else {
                chi += (got[i] - expected).powi(2) / expected;
            }
        }
        // At most 8 degrees of freedom: 31.8 has probability 1e-4.
        let Options { temperature, top_k, top_p } = o;
        assert!(chi < 31.8, "t {temperature} k {top_k} p {top_p}: chi-square {chi}, {got:?} want {p:?}");
    }
}

#[test]
fn filters_keep_exactly_the_reference_set() {
    let mut rng = Rng::new(1);
    for vocab in (1..=67).chain([300]) {
        let logits: Vec<f32> = (0..vocab).map(|_| (rng.normal() * 4.0).round() * 0.5).collect();
        for (k, p) in [(0, 1.0), (1, 1.0), (2, 1.0), (5, 0.6), (0, 0.3), (0, 0.0), (vocab as u32, 0.95), (1000, 1.0)] {
            let o = Options { temperature: 2.0, top_k: k, top_p: p };
            let want = naive(&logits, o);
            for i in 0..200 {
                let token = draw(&logits, vocab, o, 7, i).unwrap()[0] as usize;
                assert!(want[token] > 0.0, "vocab {vocab} k {k} p {p}: token {token} is excluded");
            }
        }
    }
}

#[test]
fn greedy_takes_the_lowest_id_of_the_largest() {
    let logits = [1.0f32, 3.0, -2.0, 3.0, f32::NEG_INFINITY];
    for o in [
        Options { temperature: 0.0, ..FREE },
        Options { temperature: 1e-38, ..FREE },
        Options { temperature: 5.0, top_k: 1, ..FREE },
        Options { temperature: 5.0, top_p: 0.0, ..FREE },
    ] {
        for i in 0..50 {
            assert_eq!(draw(&logits, 5, o, 3, i).unwrap(), [1]);
        }
    }
    let distinct = [1.0f32, 2.9999, -2.0, 3.0];
    for i in 0..50 {
        assert_eq!(draw(&distinct, 4, Options { temperature: 1e-6, ..FREE }, 3, i).unwrap(), [3]);
    }
    assert_eq!(draw(&[-5.0], 1, FREE, 3, 0).unwrap(), [0]);
}

#[test]
fn huge_ranges_and_tiny_temperatures_stay_finite() {
    for t in [1e-4, 1e-20, 1e-29, 1.0, 1e30] {
        let o = Options { temperature: t, ..FREE };
        let token = draw(&[-3e38, 3e38, 0.0, -1e30], 4, o, 1, 1).unwrap()[0];
        assert!(token == 1 || t == 1e30, "temperature {t} drew {token}");
    }
}

#[test]
fn broken_logits_are_named() {
    for bad in [f32::NAN, f32::INFINITY] {
        for o in [FREE, Options { temperature: 0.0, ..FREE }] {
            let fault = Err(Fault { code: FaultCode::NonFiniteLogits, at: 1, value: 2 });
            assert_eq!(draw(&[0.0, 1.0, 2.0, 0.0, 1.0, bad], 3, o, 1, 1), fault);
        }
    }
    let fault = Err(Fault { code: FaultCode::NonFiniteLogits, at: 0, value: 0 });
    assert_eq!(draw(&[f32::NEG_INFINITY; 3], 3, FREE, 1, 1), fault);
}

#[test]
fn seed_draw_and_row_decide_alone() {
    let logits = vec![0.0f32; 64 * 1000];
    let first = draw(&logits, 1000, FREE, 1, 1).unwrap();
    assert_eq!(first, draw(&logits, 1000, FREE, 1, 1).unwrap());
    assert_ne!(first, draw(&logits, 1000, FREE, 2, 1).unwrap());
    assert_ne!(first, draw(&logits, 1000, FREE, 1, 2).unwrap());
    assert!(first.windows(2).any(|w| w[0] != w[1]), "rows draw independently");
}
