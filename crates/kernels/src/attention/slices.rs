//! Safe attention on slices: lengths are checked against dims and strides, then every tile runs on this thread.

use super::{Attention, AttentionBackwardKv, AttentionBackwardQ, AttentionDims, BackwardInputs, Visibility};
use crate::tile::run_all;

/// What restricts the keys that queries see, on slices.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limits<'a> {
    /// `[batch, tk]`: 1 keep, 0 drop.
    pub key_mask: Option<&'a [i32]>,
    /// `[1 | batch | batch·heads, tq, tk]`, added to the scaled scores.
    pub mask: Option<&'a [f32]>,
    /// `[batch, tq]`: the first key of each query.
    pub starts: Option<&'a [i32]>,
}

impl Limits<'_> {
    pub(super) fn visibility(&self, dims: &AttentionDims) -> Visibility {
        Visibility {
            key_mask: pointer(self.key_mask),
            mask: self.mask.map_or(core::ptr::null(), |m| m.as_ptr()),
            masks: self.mask.map_or(0, |m| m.len() / (dims.tq * dims.tk).max(1)),
            starts: pointer(self.starts),
        }
    }

    fn check(&self, dims: &AttentionDims) {
        let of = |mask: Option<&[i32]>| mask.map(<[i32]>::len);
        assert!(of(self.key_mask).is_none_or(|n| n == dims.batch * dims.tk), "attention: key_mask must be [batch, tk]");
        assert!(of(self.starts).is_none_or(|n| n == dims.batch * dims.tq), "attention: starts must be [batch, tq]");
        if let Some(mask) = self.mask {
            let all = [1, dims.batch, dims.batch * dims.heads].map(|masks| masks * dims.tq * dims.tk);
            assert!(all.contains(&mask.len()), "attention: mask must be [1 | batch | batch·heads, tq, tk]");
        }
    }
}

impl AttentionDims {
    /// Panics unless the slices hold what the dims reach.
    fn check(&self, q: usize, k: usize, v: usize) {
        assert!(self.kv_heads > 0 && self.heads.is_multiple_of(self.kv_heads), "attention: kv_heads must divide heads");
        let needs = |t: usize, row: usize, batch: usize, heads: usize| match (self.batch, t) {
            (0, _) | (_, 0) => 0,
            _ => (self.batch - 1) * batch + (t - 1) * row + heads * self.head_dim,
        };
        assert!(
            q >= needs(self.tq, self.q_row, self.q_batch, self.heads),
            "attention: q too short for its strides, got {q}"
        );
        assert!(
            k >= needs(self.tk, self.k_row, self.k_batch, self.kv_heads),
            "attention: k too short for its strides, got {k}"
        );
        assert!(
            v >= needs(self.tk, self.v_row, self.v_batch, self.kv_heads),
            "attention: v too short for its strides, got {v}"
        );
    }

    pub(super) fn out_len(&self) -> usize {
        self.batch * self.tq * self.out_row()
    }

    pub(super) fn lse_len(&self) -> usize {
        self.batch * self.heads * self.tq
    }
}

pub(super) fn pointer(mask: Option<&[i32]>) -> *const i32 {
    mask.map_or(core::ptr::null(), |m| m.as_ptr())
}

/// Attention forward on slices: writes `out` and `lse`. See [`AttentionDims`] for layouts.
///
/// # Panics
/// If a slice is shorter than the dims and strides reach.
pub fn attention_forward(
    dims: AttentionDims,
    q: &[f32],
    k: &[f32],
    v: &[f32],
    limits: Limits<'_>,
    out: &mut [f32],
    lse: &mut [f32],
) {
    dims.check(q.len(), k.len(), v.len());
    limits.check(&dims);
    assert_eq!(out.len(), dims.out_len(), "attention: out must be [batch, tq, heads·head_dim]");
    assert_eq!(lse.len(), dims.lse_len(), "attention: lse must be [batch, heads, tq]");
    let op = Attention {
        q: q.as_ptr(),
        k: k.as_ptr(),
        v: v.as_ptr(),
        visibility: limits.visibility(&dims),
        key_counts: core::ptr::null(),
        out: out.as_mut_ptr(),
        lse: lse.as_mut_ptr(),
        dims,
    };
    // SAFETY: lengths checked above.
    let result = unsafe { run_all(&op) };
    debug_assert!(result.is_ok(), "attention has no faults");
}

/// Attention backward on slices: writes `delta`, `dq`, `dk` and `dv` (where their strides reach, other elements are left).
///
/// # Panics
/// If a slice is shorter than the dims and strides reach.
pub fn attention_backward(
    dims: AttentionDims,
    q: &[f32],
    k: &[f32],
    v: &[f32],
    limits: Limits<'_>,
    out: &[f32],
    lse: &[f32],
    dout: &[f32],
    delta: &mut [f32],
    dq: &mut [f32],
    dk: &mut [f32],
    dv: &mut [f32],
) {
    dims.check(q.len(), k.len(), v.len());
    limits.check(&dims);
    dims.check(dq.len(), dk.len(), dv.len());
    for (name, len) in [("out", out.len()), ("dout", dout.len())] {
        assert_eq!(len, dims.out_len(), "attention: {name} must be [batch, tq, heads·head_dim]");
    }
    for (name, len) in [("lse", lse.len()), ("delta", delta.len())] {
        assert_eq!(len, dims.lse_len(), "attention: {name} must be [batch, heads, tq]");
    }
    let inputs = BackwardInputs {
        q: q.as_ptr(),
        k: k.as_ptr(),
        v: v.as_ptr(),
        visibility: limits.visibility(&dims),
        lse: lse.as_ptr(),
        dout: dout.as_ptr(),
        dims,
    };
    let queries = AttentionBackwardQ { inputs, out: out.as_ptr(), dq: dq.as_mut_ptr(), delta: delta.as_mut_ptr() };
    let keys = AttentionBackwardKv { inputs, delta: delta.as_ptr(), dk: dk.as_mut_ptr(), dv: dv.as_mut_ptr() };
    // SAFETY: lengths checked above; the keys' part reads delta after the queries' part has written it.
    let result = unsafe { run_all(&queries).and_then(|()| run_all(&keys)) };
    debug_assert!(result.is_ok(), "attention has no faults");
}
