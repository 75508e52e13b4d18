//! Behaviour of [`Sample`]: corners of the options, distributions by chi-square, faults.

use super::*;
use crate::testkit::{run_reversed, Rng};

#[derive(Clone, Copy)]
struct Options {
    temperature: f64,
    top_k: u32,
    top_p: f64,
    min_p: f64,
}

const FREE: Options = Options { temperature: 1.0, top_k: 0, top_p: 1.0, min_p: 0.0 };

/// No rules at all.
fn no_rules(vocab: usize, draw: u32) -> Rules {
    Rules {
        bias: core::ptr::null(),
        lists: core::ptr::null(),
        counts: core::ptr::null_mut(),
        state: core::ptr::null_mut(),
        vocab,
        list: 0,
        repetition: 1.0,
        presence: 0.0,
        frequency: 0.0,
        min_new: 0,
        draw,
    }
}

fn sampler(logits: &[f32], rules: Rules, o: Options, seed: u32, out: &mut [i32]) -> Sample {
    Sample {
        logits: logits.as_ptr(),
        positions: core::ptr::null_mut(),
        out: out.as_mut_ptr(),
        report: core::ptr::null_mut(),
        rows: out.len(),
        stride: logits.len() / out.len(),
        columns: 2,
        rules,
        temperature: o.temperature,
        top_k: o.top_k,
        top_p: o.top_p,
        min_p: o.min_p,
        top_n: 0,
        seed_lo: seed,
        seed_hi: 0,
    }
}

fn draw(logits: &[f32], vocab: usize, o: Options, seed: u32, draw: u32) -> Result<Vec<i32>, Fault> {
    let mut out = vec![-7; logits.len() / vocab];
    let op = sampler(logits, no_rules(vocab, draw), o, seed, &mut out);
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

/// Hugging Face's warpers in f64 by sorting: the probabilities after temperature, top-k, top-p, min-p.
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
    let p = softmax(&x);
    let most = p.iter().copied().fold(0.0, f64::max);
    for (x, p) in x.iter_mut().zip(p) {
        if p < o.min_p * most * (1.0 - 1e-6) {
            *x = f64::NEG_INFINITY;
        }
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
        Options { min_p: 0.2, ..FREE },
        Options { temperature: 1.7, top_k: 5, top_p: 0.77, min_p: 0.0 },
        Options { temperature: 0.9, top_k: 200, top_p: 0.45, min_p: 0.0 },
        Options { temperature: 1.3, top_k: 6, top_p: 0.95, min_p: 0.1 },
    ] {
        let n = 1_000_000;
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
        let Options { temperature, top_k, top_p, min_p } = o;
        assert!(chi < 31.8, "t {temperature} k {top_k} p {top_p} m {min_p}: chi-square {chi}, {got:?} want {p:?}");
    }
}

#[test]
fn filters_keep_exactly_the_reference_set() {
    let mut rng = Rng::new(1);
    for vocab in (1..=67).chain([300]) {
        let logits: Vec<f32> = (0..vocab).map(|_| (rng.normal() * 4.0).round() * 0.5).collect();
        for (k, p) in [(0, 1.0), (1, 1.0), (2, 1.0), (5, 0.6), (0, 0.3), (0, 0.0), (vocab as u32, 0.95), (1000, 1.0)] {
            let o = Options { temperature: 2.0, top_k: k, top_p: p, min_p: if vocab % 3 == 0 { 0.3 } else { 0.0 } };
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
fn row_r_draws_what_a_single_row_draws_under_seed_plus_r() {
    let mut rng = Rng::new(5);
    let logits = rng.normals(8 * 300);
    for (seed, hi) in [(1, 0), (u32::MAX - 2, 7)] {
        let mut out = vec![0; 8];
        let op = Sample { seed_hi: hi, ..sampler(&logits, no_rules(300, 4), FREE, seed, &mut out) };
        // SAFETY: lengths as given.
        unsafe { run_reversed(&op) }.unwrap();
        for r in 0..8 {
            let (lo, carry) = seed.overflowing_add(r);
            let mut single = [0];
            let row = &logits[r as usize * 300..][..300];
            let op = Sample { seed_hi: hi + u32::from(carry), ..sampler(row, no_rules(300, 4), FREE, lo, &mut single) };
            // SAFETY: lengths as given.
            unsafe { run_reversed(&op) }.unwrap();
            assert_eq!(out[r as usize], single[0], "seed {seed} row {r}");
        }
    }
}

#[test]
fn seed_draw_and_row_decide_alone() {
    let logits = vec![0.0f32; 64 * 1000];
    let first = draw(&logits, 1000, FREE, 1, 1).unwrap();
    assert_eq!(first, draw(&logits, 1000, FREE, 1, 1).unwrap());
    assert_ne!(first, draw(&logits, 1000, FREE, 2000, 1).unwrap());
    assert_ne!(first, draw(&logits, 1000, FREE, 1, 2).unwrap());
    assert!(first.windows(2).any(|w| w[0] != w[1]), "rows draw independently");
}

#[test]
fn large_vocabularies_follow_the_reference_too() {
    // Beyond one block of maxima, with ties, in wide and narrow distributions.
    let mut rng = Rng::new(9);
    for spread in [0.5, 4.0] {
        let logits: Vec<f32> = (0..3000).map(|_| (rng.normal() * 8.0).round() * 0.125 * spread).collect();
        for o in [
            Options { top_k: 40, ..FREE },
            Options { top_p: 0.9, ..FREE },
            Options { top_p: 0.999_999_9, ..FREE },
            Options { min_p: 0.05, ..FREE },
            Options { top_k: 2999, top_p: 0.5, ..FREE },
        ] {
            let want = naive(&logits, o);
            let kept = want.iter().filter(|&&p| p > 0.0).count();
            let got = counts(&logits, o, 20_000);
            for (i, &p) in want.iter().enumerate() {
                assert!(p > 0.0 || got[i] == 0.0, "spread {spread} k {} p {} m {}: {i}", o.top_k, o.top_p, o.min_p);
                let expected = p * 20_000.0;
                assert!(
                    got[i] <= expected + 6.0 * expected.sqrt() + 6.0,
                    "token {i} of {kept}: {} for {expected}",
                    got[i]
                );
            }
        }
    }
}

/// A row's memory.
struct Memory {
    counts: Vec<i32>,
    state: Vec<i32>,
    lists: Vec<i32>,
    bias: Vec<f32>,
}

impl Memory {
    fn new(vocab: usize, lists: &[i32]) -> Self {
        let mut state = vec![0; STATE];
        state[STATE - HISTORY..].fill(-1);
        Self { counts: vec![0; vocab], state, lists: lists.to_vec(), bias: vec![0.0; vocab] }
    }

    fn rules(&mut self, draw: u32) -> Rules {
        Rules {
            bias: self.bias.as_ptr(),
            lists: self.lists.as_ptr(),
            counts: self.counts.as_mut_ptr(),
            state: self.state.as_mut_ptr(),
            list: self.lists.len(),
            ..no_rules(self.counts.len(), draw)
        }
    }
}

fn ruled(logits: &[f32], rules: Rules) -> Vec<f32> {
    let mut x = vec![0.0; logits.len()];
    // SAFETY: one row of that length.
    unsafe { rules.apply(logits, &mut x, 0) };
    x
}

#[test]
fn penalties_divide_positive_and_multiply_negative_logits() {
    let mut m = Memory::new(5, &[0, 0]);
    m.counts = vec![IN_PROMPT, 1, IN_PROMPT | 3, 0, 2];
    let logits = [3.0, 3.0, -1.5, -1.5, 0.5];
    let repeated = ruled(&logits, Rules { repetition: 1.5, ..m.rules(0) });
    assert_eq!(repeated, [2.0, 2.0, -2.25, -1.5, 0.5 / 1.5]);
    // Presence and frequency look at drawn tokens only.
    let taken = ruled(&logits, Rules { presence: 0.5, frequency: 0.25, ..m.rules(0) });
    assert_eq!(taken, [3.0, 2.25, -2.75, -1.5, -0.5]);
    assert_eq!(ruled(&logits, m.rules(0)), logits);
}

#[test]
fn phrases_ends_and_biases_exclude() {
    let inf = f32::NEG_INFINITY;
    // End ids 3 and 4; phrases 1 2, and 0 1 4, and one whose last id is no token.
    let mut m = Memory::new(6, &[2, 3, 4, 2, 1, 2, 3, 0, 1, 4, 2, 1, 77, 0]);
    m.bias[5] = inf;
    let logits = [1.0; 6];
    assert_eq!(ruled(&logits, m.rules(0)), [1.0, 1.0, 1.0, 1.0, 1.0, inf]);
    m.state[STATE - 1] = 1;
    assert_eq!(ruled(&logits, m.rules(0)), [1.0, 1.0, inf, 1.0, 1.0, inf]);
    m.state[STATE - 2] = 0;
    assert_eq!(ruled(&logits, m.rules(0)), [1.0, 1.0, inf, 1.0, inf, inf]);
    m.state[STATE - 1] = 2;
    assert_eq!(ruled(&logits, Rules { min_new: 5, ..m.rules(4) }), [1.0, 1.0, 1.0, inf, inf, inf]);
    assert_eq!(ruled(&logits, Rules { min_new: 5, ..m.rules(5) })[3], 1.0);
}

#[test]
fn malformed_lists_exclude_nothing_beyond_themselves() {
    for lists in [vec![], vec![-1], vec![100, 1], vec![0, 9, 1], vec![0, -3, 1, 2], vec![i32::MAX], vec![0, 1]] {
        let mut m = Memory::new(3, &lists);
        ruled(&[1.0; 3], Rules { min_new: 9, ..m.rules(0) });
    }
}

#[test]
fn an_end_is_final_and_memory_follows_the_draws() {
    let mut m = Memory::new(4, &[1, 2, 0]);
    let mut positions = [10];
    let mut out = [0];
    let mut report = [0i32; 6];
    for (step, (best, want)) in [(1, 1), (0, 0), (2, 2), (1, 2), (3, 2)].into_iter().enumerate() {
        let mut logits = [-1.0f32; 4];
        logits[best] = 2.0;
        let rules = Rules { frequency: 1e-3, ..m.rules(step as u32) };
        let op = Sample {
            positions: positions.as_mut_ptr(),
            report: report.as_mut_ptr(),
            columns: 6,
            top_n: 2,
            ..sampler(&logits, rules, Options { temperature: 0.0, ..FREE }, 1, &mut out)
        };
        // SAFETY: lengths as given.
        unsafe { run_reversed(&op) }.unwrap();
        assert_eq!((out[0], report[0]), (want, want), "step {step}");
        let log_probability = f32::from_bits(report[1] as u32);
        if step < 3 {
            let expected = 2.0 - (2f64.exp() + 3.0 * (-1f64).exp()).ln();
            assert!((f64::from(log_probability) - expected).abs() < 1e-6);
            assert_eq!((report[2], report[3]), (want, report[1]));
            assert_eq!(report[4], if best == 0 { 1 } else { 0 }, "the lowest of equals");
        } else {
            assert_eq!((log_probability, report[2]), (0.0, -1));
        }
    }
    assert_eq!(m.counts, [1, 1, 1, 0]);
    assert_eq!(m.state[STATE - 4..], [-1, 1, 0, 2]);
    assert_eq!(positions, [13], "a finished row stays where it is");
}

#[test]
fn beams_report_their_best_continuations() {
    let mut rng = Rng::new(3);
    let (rows, vocab, keep) = (3, 200, 7);
    let logits = rng.normals(rows * vocab);
    let scores = [0.0, -2.5, -1e9];
    let tokens = [1, 2, 0];
    let mut report = vec![0i32; rows * keep * 2];
    let op = beam::BeamScores {
        logits: logits.as_ptr(),
        tokens: tokens.as_ptr(),
        scores: scores.as_ptr(),
        report: report.as_mut_ptr(),
        rows,
        stride: vocab,
        keep,
        rules: no_rules(vocab, 1),
    };
    // SAFETY: lengths as given.
    unsafe { run_reversed(&op) }.unwrap();
    for r in 0..rows {
        let row = &logits[r * vocab..][..vocab];
        let log_z = row.iter().map(|&v| f64::from(v).exp()).sum::<f64>().ln();
        let mut order: Vec<usize> = (0..vocab).collect();
        order.sort_by(|&a, &b| row[b].partial_cmp(&row[a]).unwrap());
        for (pair, &id) in report[r * keep * 2..][..keep * 2].chunks(2).zip(&order) {
            assert_eq!(pair[0], id as i32);
            let want = f64::from(row[id]) - log_z + f64::from(scores[r]);
            assert!((f64::from(f32::from_bits(pair[1] as u32)) - want).abs() <= 1e-5 + 1e-7 * want.abs());
        }
    }
    // More wanted than there are.
    let mut few = vec![0i32; 10];
    let op = beam::BeamScores { rows: 1, keep: 5, report: few.as_mut_ptr(), rules: no_rules(3, 0), ..op };
    // SAFETY: lengths as given.
    unsafe { run_reversed(&op) }.unwrap();
    assert_eq!([few[6], few[8]], [-1, -1]);
}

#[test]
fn rows_move_to_their_new_places() {
    let (batch, time, cols, pitch) = (5, 3, 4, 20);
    let start: Vec<f32> = (0..batch * pitch).map(|i| i as f32).collect();
    for parents in [[0, 1, 2, 3, 4], [4, 3, 2, 1, 0], [1, 1, 1, 0, 0], [3, 0, 1, 2, 4]] {
        let mut x = start.clone();
        let op = beam::PermuteRows { x: x.as_mut_ptr(), parents: parents.as_ptr(), batch, time, cols, pitch };
        // SAFETY: lengths as given.
        unsafe { run_reversed(&op) }.unwrap();
        for (i, &v) in x.iter().enumerate() {
            let (b, at) = (i / pitch, i % pitch);
            let from = if at < time * cols { parents[b] as usize } else { b };
            assert_eq!(v, start[from * pitch + at], "{parents:?} {i}");
        }
    }
    let mut x = start.clone();
    let op = beam::PermuteRows { x: x.as_mut_ptr(), parents: [0, 9, 0, 0, 0].as_ptr(), batch, time, cols, pitch };
    // SAFETY: lengths as given.
    assert_eq!(unsafe { run_reversed(&op) }.unwrap_err().code, FaultCode::PositionOutOfRange);
    assert_eq!(x, start);
}

/// Not a test of correctness: `cargo test --release -p ferroformer-kernels -- --ignored --nocapture time_of_a_draw`.
#[test]
#[ignore]
fn time_of_a_draw() {
    let mut rng = Rng::new(1);
    let vocab = 50_257;
    let logits: Vec<f32> = (0..vocab).map(|_| rng.normal() * 3.0 - 60.0).collect();
    for (name, o) in [
        ("greedy", Options { temperature: 0.0, ..FREE }),
        ("free", FREE),
        ("top-k 50", Options { top_k: 50, ..FREE }),
        ("top-p 0.9", Options { top_p: 0.9, ..FREE }),
        ("min-p 0.05", Options { min_p: 0.05, ..FREE }),
        ("top-k 200 top-p 0.95", Options { top_k: 200, top_p: 0.95, temperature: 0.8, min_p: 0.0 }),
    ] {
        let mut m = Memory::new(vocab, &[1, 50_256, 0]);
        let mut out = [0];
        let mut report = [0; 42];
        let mut best = f64::INFINITY;
        for i in 0..200 {
            let rules = Rules { repetition: 1.1, ..m.rules(i) };
            let op = Sample {
                report: report.as_mut_ptr(),
                columns: 42,
                top_n: 5,
                ..sampler(&logits, rules, o, 1, &mut out)
            };
            let mut scratch = vec![0.0; op.scratch_len()];
            let start = std::time::Instant::now();
            // SAFETY: lengths as given.
            unsafe { op.run_tile(0, scratch.as_mut_ptr()) }.unwrap();
            best = best.min(start.elapsed().as_secs_f64());
        }
        println!("{name}: {:.3} ms", best * 1e3);
    }
}
