//! Opcodes 19 to 21 and 40.

use super::args::{count, span, Args};
use super::Op;
use crate::error::EngineError;
use kernels::attention::{
    Attention, AttentionBackward, AttentionBackwardKv, AttentionBackwardQ, AttentionDims, BackwardInputs, Visibility,
};

/// Elements that each kind of operand must hold.
struct Sizes {
    q: u64,
    k: u64,
    v: u64,
    key_mask: u64,
    mask: u64,
    starts: u64,
    out: u64,
    lse: u64,
}

/// attention: q k v key_mask? mask? starts? key_counts? out lse
pub fn attention(args: &Args<'_>) -> Result<Op, EngineError> {
    let (dims, sizes) = dims(args)?;
    if args.present(6) && (dims.dropout.is_some() || args.present(4) || args.present(5)) {
        return Err(args.error("key_counts must be absent with dropout, a mask or starts, got both".into()));
    }
    Ok(Attention {
        q: args.operand(0, sizes.q)?,
        k: args.operand(1, sizes.k)?,
        v: args.operand(2, sizes.v)?,
        visibility: visibility(args, &dims, &sizes)?,
        key_counts: args.operand(6, dims.batch as u64)?,
        out: args.operand(7, sizes.out)?,
        lse: args.operand(8, sizes.lse)?,
        dims,
    }
    .into())
}

/// key_mask? mask? starts?, operands 3 to 5, and the dim masks.
fn visibility(args: &Args<'_>, dims: &AttentionDims, sizes: &Sizes) -> Result<Visibility, EngineError> {
    let masks = args.dim(9);
    if args.present(4) && ![1, dims.batch, dims.batch * dims.heads].contains(&masks) {
        return Err(args.error(format!("masks must be 1, batch or batch x heads, got {masks}")));
    }
    Ok(Visibility {
        key_mask: args.operand(3, sizes.key_mask)?,
        mask: args.operand(4, sizes.mask)?,
        masks,
        starts: args.operand(5, sizes.starts)?,
    })
}

/// What all forms of backward read: q k v key_mask? mask? starts? first, lse at operand `lse` and dout after it.
fn inputs(args: &Args<'_>, dims: AttentionDims, sizes: &Sizes, lse: usize) -> Result<BackwardInputs, EngineError> {
    Ok(BackwardInputs {
        q: args.operand(0, sizes.q)?,
        k: args.operand(1, sizes.k)?,
        v: args.operand(2, sizes.v)?,
        visibility: visibility(args, &dims, sizes)?,
        lse: args.operand(lse, sizes.lse)?,
        dout: args.operand(lse + 1, sizes.out)?,
        dims,
    })
}

/// attention_backward: q k v key_mask? mask? starts? out lse dout dq dk dv
pub fn attention_backward(args: &Args<'_>) -> Result<Op, EngineError> {
    let (dims, sizes) = dims(args)?;
    let width = dims.kv_heads * dims.head_dim;
    args.distinct("dq", &[(dims.batch, dims.q_batch), (dims.tq, dims.q_row)], dims.heads * dims.head_dim)?;
    args.distinct("dk", &[(dims.batch, dims.k_batch), (dims.tk, dims.k_row)], width)?;
    args.distinct("dv", &[(dims.batch, dims.v_batch), (dims.tk, dims.v_row)], width)?;
    Ok(AttentionBackward {
        inputs: inputs(args, dims, &sizes, 7)?,
        out: args.operand(6, sizes.out)?,
        dq: args.operand(9, sizes.q)?,
        dk: args.operand(10, sizes.k)?,
        dv: args.operand(11, sizes.v)?,
    }
    .into())
}

/// attention_backward_q: q k v key_mask? mask? starts? out lse dout dq delta
pub fn attention_backward_q(args: &Args<'_>) -> Result<Op, EngineError> {
    let (dims, sizes) = dims(args)?;
    args.distinct("dq", &[(dims.batch, dims.q_batch), (dims.tq, dims.q_row)], dims.heads * dims.head_dim)?;
    Ok(AttentionBackwardQ {
        inputs: inputs(args, dims, &sizes, 7)?,
        out: args.operand(6, sizes.out)?,
        dq: args.operand(9, sizes.q)?,
        delta: args.operand(10, sizes.lse)?,
    }
    .into())
}

/// attention_backward_kv: q k v key_mask? mask? starts? lse dout delta dk dv
pub fn attention_backward_kv(args: &Args<'_>) -> Result<Op, EngineError> {
    let (dims, sizes) = dims(args)?;
    let width = dims.kv_heads * dims.head_dim;
    args.distinct("dk", &[(dims.batch, dims.k_batch), (dims.tk, dims.k_row)], width)?;
    args.distinct("dv", &[(dims.batch, dims.v_batch), (dims.tk, dims.v_row)], width)?;
    Ok(AttentionBackwardKv {
        inputs: inputs(args, dims, &sizes, 6)?,
        delta: args.operand(8, sizes.lse)?,
        dk: args.operand(9, sizes.k)?,
        dv: args.operand(10, sizes.v)?,
    }
    .into())
}

/// batch tq tk q_row k_row v_row q_batch k_batch v_batch masks | heads kv_heads head_dim causal scale, then as dropout
fn dims(args: &Args<'_>) -> Result<(AttentionDims, Sizes), EngineError> {
    let [batch, tq, tk, q_row, k_row, v_row, q_batch, k_batch, v_batch] =
        [0, 1, 2, 3, 4, 5, 6, 7, 8].map(|i| args.dim(i));
    let [heads, kv_heads, head_dim] = [0, 1, 2].map(|i| args.word(i) as usize);
    let width = count(&[heads, head_dim]);
    if width == 0 || width > u64::from(u32::MAX >> 2) {
        return Err(args.error(format!("heads x head_dim must be from 1 to 2^30, got {heads} x {head_dim}")));
    }
    if kv_heads == 0 || !heads.is_multiple_of(kv_heads) {
        return Err(args.error(format!("kv_heads must divide heads, got {kv_heads} and {heads}")));
    }
    let keep = args.dropout(5)?.keep();
    let dims = AttentionDims {
        batch,
        tq,
        tk,
        q_row,
        k_row,
        v_row,
        q_batch,
        k_batch,
        v_batch,
        heads,
        kv_heads,
        head_dim,
        causal: args.word(3) != 0,
        scale: args.float(4),
        dropout: keep,
    };
    let strided =
        |time: usize, row: usize, pitch: usize, heads: usize| span(&[(batch, pitch), (time, row)], heads * head_dim);
    let sizes = Sizes {
        q: strided(tq, q_row, q_batch, heads),
        k: strided(tk, k_row, k_batch, kv_heads),
        v: strided(tk, v_row, v_batch, kv_heads),
        key_mask: count(&[batch, tk]),
        mask: count(&[args.dim(9), tq, tk]),
        starts: count(&[batch, tq]),
        out: count(&[batch, tq, heads, head_dim]),
        lse: count(&[batch, heads, tq]),
    };
    Ok((dims, sizes))
}
