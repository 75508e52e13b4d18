//! Safe attention on slices: lengths are checked against dims and strides, then every tile runs on this thread.

use super::{Attention, AttentionBackwardKv, AttentionBackwardQ, AttentionDims, BackwardInputs};
use crate::tile::run_all;

impl AttentionDims {
    /// Panics unless the slices hold what the dims reach.
    fn check(&self, q: usize, k: usize, v: usize, key_mask: Option<&[i32]>) {
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
        if let Some(mask) = key_mask {
            assert_eq!(mask.len(), self.batch * self.tk, "attention: key_mask must be [batch, tk]");
        }
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

/// Attention forward on slices: writes `out` and `lse`. See [`AttentionDims`] for layouts; `key_mask` is `[batch, tk]`, 1 keep,
/// 0 drop.
///
/// # Panics
/// If a slice is shorter than the dims and strides reach.
pub fn attention_forward(
    dims: AttentionDims,
    q: &[f32],
    k: &[f32],
    v: &[f32],
    key_mask: Option<&[i32]>,
    out: &mut [f32],
    lse: &mut [f32],
) {
    dims.check(q.len(), k.len(), v.len(), key_mask);
    assert_eq!(out.len(), dims.out_len(), "attention: out must be [batch, tq, heads·head_dim]");
    assert_eq!(lse.len(), dims.lse_len(), "attention: lse must be [batch, heads, tq]");
    let op = Attention {
        q: q.as_ptr(),
        k: k.as_ptr(),
        v: v.as_ptr(),
        key_mask: pointer(key_mask),
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
    key_mask: Option<&[i32]>,
    out: &[f32],
    lse: &[f32],
    dout: &[f32],
    delta: &mut [f32],
    dq: &mut [f32],
    dk: &mut [f32],
    dv: &mut [f32],
) {
    dims.check(q.len(), k.len(), v.len(), key_mask);
    dims.check(dq.len(), dk.len(), dv.len(), None);
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
        key_mask: pointer(key_mask),
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
