//! Opcodes 11 to 13: layer normalisation.

use super::args::{count, Args};
use super::Op;
use crate::error::EngineError;
use kernels::layer_norm::{LayerNorm, LayerNormBackward, LayerNormBackwardParams};

/// layer_norm: x weight? bias? out mean rstd | rows cols | eps
pub fn layer_norm(args: &Args<'_>) -> Result<Op, EngineError> {
    let [rows, cols] = [args.dim(0), args.dim(1)];
    let n = count(&[rows, cols]);
    Ok(LayerNorm {
        x: args.operand(0, n)?,
        weight: args.operand(1, cols as u64)?,
        bias: args.operand(2, cols as u64)?,
        out: args.operand(3, n)?,
        mean: args.operand(4, rows as u64)?,
        rstd: args.operand(5, rows as u64)?,
        rows,
        cols,
        eps: args.float(0),
    }
    .into())
}

/// layer_norm_backward: x weight? mean rstd dy addend? dx | rows cols
pub fn layer_norm_backward(args: &Args<'_>) -> Result<Op, EngineError> {
    let [rows, cols] = [args.dim(0), args.dim(1)];
    let n = count(&[rows, cols]);
    Ok(LayerNormBackward {
        x: args.operand(0, n)?,
        weight: args.operand(1, cols as u64)?,
        mean: args.operand(2, rows as u64)?,
        rstd: args.operand(3, rows as u64)?,
        dy: args.operand(4, n)?,
        addend: args.operand(5, n)?,
        dx: args.operand(6, n)?,
        rows,
        cols,
    }
    .into())
}

/// layer_norm_backward_params: x mean rstd dy dweight dbias? | rows cols
pub fn layer_norm_backward_params(args: &Args<'_>) -> Result<Op, EngineError> {
    let [rows, cols] = [args.dim(0), args.dim(1)];
    let n = count(&[rows, cols]);
    Ok(LayerNormBackwardParams {
        x: args.operand(0, n)?,
        mean: args.operand(1, rows as u64)?,
        rstd: args.operand(2, rows as u64)?,
        dy: args.operand(3, n)?,
        dweight: args.operand(4, cols as u64)?,
        dbias: args.operand(5, cols as u64)?,
        rows,
        cols,
    }
    .into())
}
