//! Heads of q that share heads of k and v: the same bits as with keys and values repeated for each of them, and gradients that are
//! the sum over the group, head by head.

use super::Case;
use crate::attention::AttentionDims;
use crate::testkit::{same_bits, Cases, Rng};

#[test]
fn shared_keys_give_the_bits_of_repeated_ones() {
    let (mut cases, mut rng) = (Cases::new(), Rng::new(71));
    for (tq, tk, [heads, kv_heads], head_dim) in [
        (1, 70, [4, 2], 8),
        (1, 300, [8, 1], 16),
        (2, 200, [5, 1], 7),
        (3, 9, [6, 3], 5),
        (3, 140, [8, 2], 4),
        (66, 130, [4, 1], 12),
        (300, 300, [2, 1], 9),
        (5, 5, [3, 1], 4),
    ] {
        for masked in [false, true] {
            let group = heads / kv_heads;
            let mut case =
                Case::new(AttentionDims::grouped(2, tq, tk, [heads, kv_heads], head_dim, true), masked, &mut rng);
            let repeat = |x: &[f32]| -> Vec<f32> {
                x.chunks(head_dim).flat_map(|head| std::iter::repeat_n(head, group).flatten().copied()).collect()
            };
            let mut repeated = Case {
                dims: AttentionDims::contiguous(2, tq, tk, heads, head_dim, true),
                q: case.q.clone(),
                k: repeat(&case.k),
                v: repeat(&case.v),
                mask: case.mask.clone(),
                bias: None,
                starts: None,
                dout: case.dout.clone(),
                result: Default::default(),
            };
            let want = repeated.run().clone();
            let got = case.run();
            let same = [("out", &want.out, &got.out), ("lse", &want.lse, &got.lse), ("dq", &want.dq, &got.dq)]
                .into_iter()
                .try_for_each(|(name, a, b)| same_bits(a, b).map_err(|e| format!("{name}: {e}")));
            cases.check(|| case.name(), same);
        }
    }
    cases.finish();
}

#[test]
fn the_gradients_of_a_group_are_one_chain_over_its_heads() {
    // The first head of a group alone, then both: what the second adds goes on from what the first left. With the second head's
    // output gradient zero, dK and dV are those of the first alone.
    let mut rng = Rng::new(72);
    let mut case = Case::new(AttentionDims::grouped(1, 70, 70, [2, 1], 8, true), false, &mut rng);
    for row in case.dout.chunks_mut(16) {
        row[8..].fill(0.0);
    }
    let got = case.run().clone();
    let first = |x: &[f32]| -> Vec<f32> { x.chunks(16).flat_map(|row| row[..8].to_vec()).collect() };
    let mut alone = Case {
        dims: AttentionDims::contiguous(1, 70, 70, 1, 8, true),
        q: first(&case.q),
        k: case.k.clone(),
        v: case.v.clone(),
        mask: None,
        bias: None,
        starts: None,
        dout: first(&case.dout),
        result: Default::default(),
    };
    let want = alone.run();
    same_bits(&want.dk, &got.dk).expect("dk");
    same_bits(&want.dv, &got.dv).expect("dv");
}
