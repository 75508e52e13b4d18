//! Masks of pairs and first keys: against the definition, documents packed into one row against themselves alone, and NaN in what is
//! left out.

use super::{all_dims, keep, Case, Results};
use crate::attention::AttentionDims;
use crate::matmul::micro::{set_register_tile, RegisterTile};
use crate::testkit::{same_bits, Cases, Rng};

/// Biases of both signs, a quarter of them minus infinity, and now and then a whole row.
fn bias(rng: &mut Rng, masks: usize, d: &AttentionDims) -> Vec<f32> {
    let mut all = rng.normals(masks * d.tq * d.tk);
    for row in all.chunks_mut(d.tk.max(1)) {
        let nothing = rng.below(9) == 0;
        for x in row.iter_mut() {
            if nothing || rng.below(4) == 0 {
                *x = f32::NEG_INFINITY;
            }
        }
    }
    all
}

/// Starts of several kinds: of documents, of a window, any (some below zero or beyond the last key).
fn starts(rng: &mut Rng, kind: usize, d: &AttentionDims) -> Vec<i32> {
    let mut all = Vec::new();
    for _ in 0..d.batch {
        let mut first = 0;
        for i in 0..d.tq {
            if rng.below(24) == 0 {
                first = i;
            }
            all.push(match kind {
                0 => first as i32,
                1 => i as i32 - 37,
                _ => rng.below(d.tk + 9) as i32 - 4,
            });
        }
    }
    all
}

#[test]
fn masks_and_starts_match_the_definition() {
    let mut cases = Cases::new();
    let mut rng = Rng::new(81);
    for (n, dims) in all_dims().into_iter().enumerate() {
        let dims = AttentionDims { dropout: if n % 3 == 0 { keep(0.25) } else { None }, ..dims };
        let masks = [1, dims.batch, dims.batch * dims.heads][n % 3];
        for which in 1..4 {
            let mut case = Case::new(dims, (n + which) % 2 == 0, &mut rng);
            case.bias = (which & 1 != 0).then(|| bias(&mut rng, masks, &dims));
            case.starts = (which & 2 != 0).then(|| starts(&mut rng, n % 3, &dims));
            let result = case.check();
            cases.check(|| case.name(), result);
            // It is computed over NaN, which strided rows would keep between them.
            if which == 3 && dims.q_row == dims.heads * dims.head_dim {
                let reversed = case.reversed();
                cases.check(|| format!("reversed, {}", case.name()), case.result.same(&reversed));
            }
        }
    }
    cases.finish();
}

#[test]
fn a_mask_of_zeros_or_starts_of_zero_change_no_bit() {
    let mut cases = Cases::new();
    let mut rng = Rng::new(82);
    for (tq, tk, causal) in [(1, 5, true), (3, 70, true), (66, 66, true), (300, 300, true), (70, 130, false)] {
        let dims = AttentionDims::contiguous(2, tq, tk, 2, 8, causal);
        let mut case = Case::new(dims, false, &mut rng);
        let want = case.run().clone();
        case.bias = Some(vec![0.0; tq * tk]);
        cases.check(|| format!("mask {tq} {tk}"), want.same(case.run()));
        (case.bias, case.starts) = (None, Some(vec![0; 2 * tq]));
        cases.check(|| format!("starts {tq} {tk}"), want.same(case.run()));
    }
    cases.finish();
}

/// Documents of these lengths behind each other in one row, the rest of it seeing nothing.
fn packed(lengths: &[usize], t: usize, heads: [usize; 2], width: usize, rng: &mut Rng) -> Case {
    let mut case = Case::new(AttentionDims::grouped(1, t, t, heads, width, true), false, rng);
    let mut starts = Vec::new();
    for &length in lengths {
        starts.resize(starts.len() + length, starts.len() as i32);
    }
    starts.resize(t, t as i32);
    case.starts = Some(starts);
    case
}

/// Rows `from .. from + length` of a `[t, row]` (or `[heads, t]`) result.
fn part(x: &[f32], t: usize, from: usize, length: usize, by_head: bool) -> Vec<f32> {
    if by_head {
        return x.chunks(t).flat_map(|head| head[from..from + length].to_vec()).collect();
    }
    let row = x.len() / t;
    x[from * row..(from + length) * row].to_vec()
}

fn cut(r: &Results, t: usize, from: usize, length: usize) -> Results {
    let rows = |x: &[f32]| part(x, t, from, length, false);
    let heads = |x: &[f32]| part(x, t, from, length, true);
    Results {
        out: rows(&r.out),
        lse: heads(&r.lse),
        delta: heads(&r.delta),
        dq: rows(&r.dq),
        dk: rows(&r.dk),
        dv: rows(&r.dv),
    }
}

#[test]
fn a_packed_document_has_the_bits_it_has_alone() {
    let mut cases = Cases::new();
    let mut rng = Rng::new(83);
    for (lengths, t, heads, width) in [
        (vec![1, 2, 3, 4, 5, 6, 7, 8, 9], 48, [2, 2], 5),
        (vec![7, 60, 1, 70], 144, [2, 1], 8),
        (vec![130, 70, 200], 400, [2, 2], 16),
        (vec![65, 63, 300, 3], 512, [4, 2], 9),
        (vec![900, 500], 1408, [1, 1], 8),
        (vec![100; 3], 300, [1, 1], 32),
    ] {
        for tile in [RegisterTile::T4x8, RegisterTile::T6x16] {
            set_register_tile(tile);
            let mut row = packed(&lengths, t, heads, width, &mut rng);
            let all = row.run().clone();
            let mut from = 0;
            for &length in &lengths {
                let c = |x: &[f32]| part(x, t, from, length, false);
                let mut alone = Case {
                    dims: AttentionDims::grouped(1, length, length, heads, width, true),
                    q: c(&row.q),
                    k: c(&row.k),
                    v: c(&row.v),
                    mask: None,
                    bias: None,
                    starts: None,
                    dout: c(&row.dout),
                    result: Results::default(),
                };
                let same = alone.run().same(&cut(&all, t, from, length));
                cases.check(|| format!("{length} at {from} of {t}, {heads:?}x{width} {tile:?}"), same);
                from += length;
            }
            let rest = cut(&all, t, from, t - from);
            let zero = [&rest.out, &rest.dq, &rest.dk, &rest.dv].iter().all(|x| x.iter().all(|&x| x == 0.0));
            cases.check(|| format!("the rest of {t}"), zero.then_some(()).ok_or("not zero".into()));
        }
    }
    set_register_tile(RegisterTile::T4x8);
    cases.finish();
}

#[test]
fn what_its_neighbours_hold_changes_no_bit_of_a_document() {
    let mut cases = Cases::new();
    let mut rng = Rng::new(84);
    for (lengths, t) in [(vec![7, 60, 70], 137), (vec![130, 70, 200], 400)] {
        for dropout in [None, keep(0.3)] {
            let mut row = packed(&lengths, t, [2, 2], 8, &mut rng);
            row.dims.dropout = dropout;
            let want = cut(&row.run().clone(), t, lengths[0], lengths[1]);
            for x in [&mut row.q, &mut row.k, &mut row.v, &mut row.dout] {
                let c = x.len() / t;
                let inside = lengths[0] * c..(lengths[0] + lengths[1]) * c;
                for at in (0..x.len()).filter(|at| !inside.contains(at)) {
                    x[at] = 50.0 - x[at];
                }
            }
            let again = cut(&row.run().clone(), t, lengths[0], lengths[1]);
            cases.check(|| format!("{lengths:?} dropout {}", dropout.is_some()), want.same(&again));
        }
    }
    cases.finish();
}

#[test]
fn keys_that_a_mask_leaves_out_may_hold_anything_and_infinite_scores_stay_out() {
    // Keys of a column of minus infinity are NaN (their values finite): no bit changes, forward or backward.
    let mut cases = Cases::new();
    let mut rng = Rng::new(85);
    for (tq, tk, causal) in [(1, 9, false), (9, 9, true), (70, 70, true), (40, 130, false)] {
        let dims = AttentionDims::contiguous(1, tq, tk, 2, 8, causal);
        let mut case = Case::new(dims, false, &mut rng);
        let mut mask = bias(&mut rng, 1, &dims);
        for row in mask.chunks_mut(tk) {
            row[tk / 2] = f32::NEG_INFINITY;
        }
        case.bias = Some(mask);
        let clean = case.run().clone();
        for poison in [f32::NAN, f32::INFINITY, 1e38] {
            case.k[tk / 2 * 16..][..16].fill(poison);
            let got = case.run().clone();
            let same = [("out", &clean.out, &got.out), ("lse", &clean.lse, &got.lse), ("dv", &clean.dv, &got.dv)]
                .into_iter()
                .try_for_each(|(name, a, b)| same_bits(a, b).map_err(|e| format!("{name}: {e}")));
            cases.check(|| format!("{poison} {tq} {tk}"), same);
        }
        let finite = [&clean.out, &clean.dq, &clean.dk, &clean.dv].iter().all(|x| x.iter().all(|x| x.is_finite()));
        cases.check(|| format!("finite {tq} {tk}"), finite.then_some(()).ok_or("NaN".into()));
    }
    cases.finish();
}
