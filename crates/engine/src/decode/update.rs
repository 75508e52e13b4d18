//! Opcodes 28 to 31: the gradient's norm and the optimizers.

use super::args::Args;
use super::Op;
use crate::error::EngineError;
use crate::number::Number;
use kernels::adamw::AdamW;
use kernels::norm::{ClipFinish, SquaredNorm};
use kernels::sgd::Sgd;

/// Elements that one partial sum of squares covers.
const PARTIAL: u64 = 4096;
/// norm, factor, skip, count
const CLIP: u64 = 4;

/// squared_norm: g partials | n
pub fn squared_norm(args: &Args<'_>) -> Result<Op, EngineError> {
    let n = args.dim(0);
    let (g, partials) = (args.operand(0, n as u64)?, args.operand(1, (n as u64).div_ceil(PARTIAL))?);
    Ok(SquaredNorm { g, partials, n }.into())
}

/// clip_finish: partials count? out | n_partials | max_norm
pub fn clip_finish(args: &Args<'_>) -> Result<Op, EngineError> {
    let n_partials = args.dim(0);
    let (partials, count, out) = (args.operand(0, n_partials as u64)?, args.operand(1, 1)?, args.operand(2, CLIP)?);
    Ok(ClipFinish { partials, count, out, n_partials, max_norm: args.scalar(0) }.into())
}

/// adamw: p g m v clip | n | lr c1 c2 beta1 beta2 eps weight_decay one_minus_beta1 one_minus_beta2
pub fn adamw(args: &Args<'_>) -> Result<Op, EngineError> {
    let n = args.dim(0);
    Ok(AdamW {
        p: args.operand(0, n as u64)?,
        g: args.operand(1, n as u64)?,
        m: args.operand(2, n as u64)?,
        v: args.operand(3, n as u64)?,
        clip: args.operand(4, CLIP)?,
        n,
        lr: args.scalar(0),
        c1: args.scalar(1),
        c2: args.scalar(2),
        beta1: args.float(3),
        beta2: args.float(4),
        eps: args.float(5),
        weight_decay: args.float(6),
        one_minus_beta1: args.float(7),
        one_minus_beta2: args.float(8),
    }
    .into())
}

/// sgd: p g buf? clip | n | lr momentum weight_decay nesterov
pub fn sgd(args: &Args<'_>) -> Result<Op, EngineError> {
    let n = args.dim(0);
    let momentum = args.float(1);
    if momentum != 0.0 && !args.present(2) {
        return Err(args.error(format!("buf must be present when there is momentum, got {}", Number(momentum.into()))));
    }
    Ok(Sgd {
        p: args.operand(0, n as u64)?,
        g: args.operand(1, n as u64)?,
        buf: args.operand(2, n as u64)?,
        clip: args.operand(3, CLIP)?,
        n,
        lr: args.scalar(0),
        momentum,
        weight_decay: args.float(2),
        nesterov: args.word(3) != 0,
    }
    .into())
}
