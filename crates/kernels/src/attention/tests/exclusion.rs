//! Excluded entries: masked and future keys, rows that see nothing, and NaN that must not be hidden.

use super::Case;
use crate::attention::AttentionDims;
use crate::testkit::{same_bits, Cases, Rng};

#[test]
fn excluded_keys_and_values_may_hold_anything() {
    // N3: NaN and infinity in masked or future slots change no bit of the rest, forward or backward.
    let mut cases = Cases::new();
    let mut rng = Rng::new(44);
    for (tq, tk, head_dim, causal) in [
        (1, 5, 3, false),
        (1, 9, 8, true),
        (7, 7, 5, true),
        (20, 12, 8, true),
        (66, 70, 9, true),
        (40, 70, 8, false),
        (33, 9, 16, true),
    ] {
        for poison in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut case = Case::new(AttentionDims::contiguous(2, tq, tk, 2, head_dim, causal), true, &mut rng);
            let clean = case.run().clone();
            let mask = case.mask.clone().expect("asked for");
            let c = 2 * head_dim;
            for (slot, &keep) in mask.iter().enumerate() {
                if keep == 0 {
                    case.k[slot * c..][..c].fill(poison);
                    case.v[slot * c..][..c].fill(poison);
                }
            }
            let poisoned = case.run();
            cases.check(|| format!("masked {poison} {tq} {tk} {head_dim} {causal}"), clean.same(poisoned));
        }
    }
    for (t, head_dim) in [(5, 3), (9, 8), (66, 9), (70, 16)] {
        // The last key and value are future to all queries but the last one.
        let mut case = Case::new(AttentionDims::contiguous(1, t, t, 1, head_dim, true), false, &mut rng);
        let clean = case.run().clone();
        for x in [&mut case.k, &mut case.v] {
            x[(t - 1) * head_dim..].fill(f32::NAN);
        }
        let poisoned = case.run();
        let seen = (t - 1) * head_dim;
        let rest = same_bits(&clean.out[..seen], &poisoned.out[..seen])
            .and_then(|()| same_bits(&clean.dq[..seen], &poisoned.dq[..seen]))
            .and_then(|()| same_bits(&clean.lse[..t - 1], &poisoned.lse[..t - 1]));
        cases.check(|| format!("future {t} {head_dim}"), rest);
        assert!(poisoned.out[seen..].iter().all(|x| x.is_nan()), "the last query does see it");
    }
    cases.finish();
}

#[test]
fn a_row_without_visible_keys_gives_zeros_and_leaves_the_others_alone() {
    // N2: sequence 1 has all keys masked; queries before the first key (tq > tk, causal) see nothing either.
    let mut cases = Cases::new();
    let mut rng = Rng::new(45);
    for (tq, tk, causal) in [(5, 5, false), (9, 4, true), (70, 3, true), (2, 6, false), (1, 3, false), (70, 66, true)] {
        let mut case = Case::new(AttentionDims::contiguous(3, tq, tk, 2, 5, causal), false, &mut rng);
        let whole = case.run().clone();
        let mut mask = vec![1; 3 * tk];
        mask[tk..2 * tk].fill(0);
        case.mask = Some(mask);
        let masked = case.run().clone();
        let checked = case.check();
        cases.check(|| format!("values {tq} {tk} {causal}"), checked);
        let third = |x: &Vec<f32>, i: usize| x[i * x.len() / 3..(i + 1) * x.len() / 3].to_vec();
        for (name, a, b) in [
            ("out", &whole.out, &masked.out),
            ("dq", &whole.dq, &masked.dq),
            ("dk", &whole.dk, &masked.dk),
            ("dv", &whole.dv, &masked.dv),
        ] {
            for i in [0, 2] {
                cases.check(|| format!("{name} of sequence {i}, {tq} {tk}"), same_bits(&third(a, i), &third(b, i)));
            }
            let zeros = third(b, 1).iter().all(|&x| x == 0.0);
            cases.check(|| format!("{name} of the masked, {tq} {tk}"), zeros.then_some(()).ok_or("not zero".into()));
        }
        assert!(third(&masked.lse, 1).iter().all(|&x| x == f32::NEG_INFINITY));
    }
    cases.finish();
}

#[test]
fn the_first_causal_row_is_its_only_value() {
    // N1: a row with one visible key is not disturbed by how much is masked.
    let mut case = Case::new(AttentionDims::contiguous(1, 65, 65, 1, 8, true), false, &mut Rng::new(46));
    let v = case.v[..8].to_vec();
    assert_eq!(case.run().out[..8], v[..]);
    // Equal values: every row of probabilities sums to one.
    case.v.fill(1.0);
    for x in &case.run().out {
        assert!((x - 1.0).abs() < 1e-6, "{x}");
    }
}

#[test]
fn nan_in_what_is_seen_is_not_hidden() {
    for t in [2, 9] {
        let mut case = Case::new(AttentionDims::contiguous(1, t, t, 1, 4, true), false, &mut Rng::new(47));
        case.q[..4].fill(f32::NAN);
        let r = case.run();
        assert!(r.out[..4].iter().all(|x| x.is_nan()) && r.lse[0].is_nan());
        assert!(r.out[4..].iter().all(|x| x.is_finite()));
        assert!(r.dv[..4].iter().all(|x| x.is_nan()), "its gradient is NaN too");
    }
}
