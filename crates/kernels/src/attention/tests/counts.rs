//! Sequences with numbers of keys of their own: each gets, bit for bit, what it gets alone, and reads nothing beyond its keys.

use crate::attention::{attention_forward, Attention, AttentionDims, Limits};
use crate::testkit::{run_reversed, same_bits, Cases, Rng};
use crate::tile::{Fault, FaultCode};

/// out and lse of `counts.len()` sequences over caches of `tk` keys.
fn together(
    dims: AttentionDims,
    (q, k, v): (&[f32], &[f32], &[f32]),
    mask: Option<&[i32]>,
    counts: &[i32],
) -> Result<(Vec<f32>, Vec<f32>), Fault> {
    let (mut out, mut lse) = (vec![f32::NAN; dims.out_len()], vec![f32::NAN; dims.lse_len()]);
    let op = Attention {
        q: q.as_ptr(),
        k: k.as_ptr(),
        v: v.as_ptr(),
        visibility: Limits { key_mask: mask, ..Limits::default() }.visibility(&dims),
        key_counts: counts.as_ptr(),
        out: out.as_mut_ptr(),
        lse: lse.as_mut_ptr(),
        dims,
    };
    // SAFETY: all slices have the lengths of the dims.
    unsafe { run_reversed(&op) }.map(|()| (out, lse))
}

#[test]
fn a_sequence_of_a_batch_has_the_bits_it_has_alone() {
    let (mut cases, mut rng) = (Cases::new(), Rng::new(61));
    for (tq, tk, heads, head_dim) in [
        (1, 9, 2, 8),
        (1, 300, 3, 16),
        (2, 70, 1, 5),
        (3, 130, 2, 12),
        (4, 70, 2, 8),
        (70, 200, 2, 9),
        (100, 1100, 1, 8), // the longest has the longer block size, the others the shorter
    ] {
        let dims = AttentionDims::contiguous(4, tq, tk, heads, head_dim, true);
        let counts = [tk as i32, 1, tq.min(tk) as i32, (tk / 2 + 1) as i32];
        let c = heads * head_dim;
        for masked in [false, true] {
            let q = rng.normals(4 * tq * c);
            let (mut k, mut v) = (rng.normals(4 * tk * c), rng.normals(4 * tk * c));
            let mask: Option<Vec<i32>> = masked.then(|| (0..4 * tk).map(|_| (rng.below(4) != 0) as i32).collect());
            for (b, &count) in counts.iter().enumerate() {
                for cache in [&mut k, &mut v] {
                    cache[(b * tk + count as usize) * c..(b + 1) * tk * c].fill(f32::NAN);
                    // nobody reads it
                }
            }
            let (out, lse) = together(dims, (&q, &k, &v), mask.as_deref(), &counts).unwrap();
            for (b, &count) in counts.iter().enumerate() {
                let keys = count as usize;
                let alone = AttentionDims::contiguous(1, tq, keys, heads, head_dim, true);
                let (mut want, mut want_lse) = (vec![f32::NAN; tq * c], vec![f32::NAN; heads * tq]);
                let (q, part) = (&q[b * tq * c..][..tq * c], b * tk * c..(b * tk + keys) * c);
                let mask = Limits { key_mask: mask.as_ref().map(|m| &m[b * tk..][..keys]), ..Limits::default() };
                attention_forward(alone, q, &k[part.clone()], &v[part], mask, &mut want, &mut want_lse);
                let result = same_bits(&want, &out[b * tq * c..][..tq * c])
                    .and_then(|()| same_bits(&want_lse, &lse[b * heads * tq..][..heads * tq]));
                cases
                    .check(|| format!("{keys} of {tk} keys, {tq} queries, {heads}x{head_dim} masked {masked}"), result);
            }
        }
    }
    cases.finish();
}

#[test]
fn counts_out_of_range_are_named() {
    let dims = AttentionDims::contiguous(2, 1, 6, 1, 4, true);
    let data = vec![1.0; 2 * 6 * 4];
    for (counts, at, value) in [([0, 1], 0, 0), ([6, 7], 1, 7), ([2, -1], 1, -1), ([i32::MIN, 1], 0, i32::MIN)] {
        let fault = together(dims, (&data, &data, &data), None, &counts).unwrap_err();
        assert_eq!(fault, Fault { code: FaultCode::PositionOutOfRange, at, value });
    }
    assert!(together(dims, (&data, &data, &data), None, &[6, 1]).is_ok());
}
