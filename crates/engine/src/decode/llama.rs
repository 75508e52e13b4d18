//! Opcodes 41 to 47: RMSNorm (LayerNorm's kernels without a mean), rotary positions, SwiGLU, and adding to whole numbers.

use super::args::{count, span, Args};
use super::layout::positions;
use super::Op;
use crate::error::EngineError;
use kernels::integer::AddInteger;
use kernels::layer_norm::{LayerNorm, LayerNormBackward, LayerNormBackwardParams};
use kernels::rotary::Rotary;
use kernels::swiglu::{Swiglu, SwigluBackward};
use std::ptr::{null, null_mut};

/// rms_norm: x weight? out rstd | rows cols | eps
pub fn rms_norm(args: &Args<'_>) -> Result<Op, EngineError> {
    let [rows, cols] = [args.dim(0), args.dim(1)];
    let n = count(&[rows, cols]);
    Ok(LayerNorm {
        x: args.operand(0, n)?,
        weight: args.operand(1, cols as u64)?,
        bias: null(),
        out: args.operand(2, n)?,
        mean: null_mut(),
        rstd: args.operand(3, rows as u64)?,
        rows,
        cols,
        eps: args.float(0),
    }
    .into())
}

/// rms_norm_backward: x weight? rstd dy addend? dx | rows cols
pub fn rms_norm_backward(args: &Args<'_>) -> Result<Op, EngineError> {
    let [rows, cols] = [args.dim(0), args.dim(1)];
    let n = count(&[rows, cols]);
    Ok(LayerNormBackward {
        x: args.operand(0, n)?,
        weight: args.operand(1, cols as u64)?,
        mean: null(),
        rstd: args.operand(2, rows as u64)?,
        dy: args.operand(3, n)?,
        addend: args.operand(4, n)?,
        dx: args.operand(5, n)?,
        rows,
        cols,
    }
    .into())
}

/// rms_norm_backward_params: x rstd dy dweight | rows cols
pub fn rms_norm_backward_params(args: &Args<'_>) -> Result<Op, EngineError> {
    let [rows, cols] = [args.dim(0), args.dim(1)];
    let n = count(&[rows, cols]);
    Ok(LayerNormBackwardParams {
        x: args.operand(0, n)?,
        mean: null(),
        rstd: args.operand(1, rows as u64)?,
        dy: args.operand(2, n)?,
        dweight: args.operand(3, cols as u64)?,
        dbias: null_mut(),
        rows,
        cols,
    }
    .into())
}

/// rotary: x table positions? out | batch time cols position table_rows | heads head_dim inverse
pub fn rotary(args: &Args<'_>) -> Result<Op, EngineError> {
    let [batch, time, cols, position, table_rows] = positions(args)?;
    let [heads, head_dim] = [0, 1].map(|i| args.word(i) as usize);
    if !head_dim.is_multiple_of(2) || count(&[heads, head_dim]) > cols as u64 {
        return Err(
            args.error(format!("head_dim must be even and heads of it fit {cols} cols, got {heads} x {head_dim}"))
        );
    }
    let n = count(&[batch, time, cols]);
    Ok(Rotary {
        x: args.operand(0, n)?,
        table: args.operand(1, count(&[table_rows, head_dim]))?,
        positions: args.operand(2, batch as u64)?,
        out: args.operand(3, n)?,
        batch,
        time,
        cols,
        position,
        table_rows,
        heads,
        head_dim,
        inverse: args.word(2) != 0,
    }
    .into())
}

/// The dims of SwiGLU and the elements of gate, up and out.
fn strided(args: &Args<'_>) -> ([usize; 4], [u64; 3]) {
    let dims = [0, 1, 2, 3].map(|i| args.dim(i));
    let [rows, cols, gate_row, up_row] = dims;
    (dims, [span(&[(rows, gate_row)], cols), span(&[(rows, up_row)], cols), count(&[rows, cols])])
}

/// swiglu: gate up out | rows cols gate_row up_row
pub fn swiglu(args: &Args<'_>) -> Result<Op, EngineError> {
    let ([rows, cols, gate_row, up_row], [gates, ups, n]) = strided(args);
    let (gate, up, out) = (args.operand(0, gates)?, args.operand(1, ups)?, args.operand(2, n)?);
    Ok(Swiglu { gate, up, out, rows, cols, gate_row, up_row }.into())
}

/// swiglu_backward: gate up dout dgate dup | rows cols gate_row up_row
pub fn swiglu_backward(args: &Args<'_>) -> Result<Op, EngineError> {
    let ([rows, cols, gate_row, up_row], [gates, ups, n]) = strided(args);
    args.distinct("dgate", &[(rows, gate_row)], cols)?;
    args.distinct("dup", &[(rows, up_row)], cols)?;
    Ok(SwigluBackward {
        gate: args.operand(0, gates)?,
        up: args.operand(1, ups)?,
        dout: args.operand(2, n)?,
        dgate: args.operand(3, gates)?,
        dup: args.operand(4, ups)?,
        rows,
        cols,
        gate_row,
        up_row,
    }
    .into())
}

/// add_integer: x out | n | c
pub fn add_integer(args: &Args<'_>) -> Result<Op, EngineError> {
    let n = args.dim(0);
    let (x, out) = (args.operand(0, n as u64)?, args.operand(1, n as u64)?);
    Ok(AddInteger { x, out, n, c: args.word(0) as i32 }.into())
}
