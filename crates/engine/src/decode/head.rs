//! Opcodes 24 to 26 and 36 to 39: the output layer fused with its loss, in three kernels or in one pass.

use super::args::{count, Args};
use super::Op;
use crate::error::EngineError;
use kernels::linear_cross_entropy::one_pass::{
    stats_len, HeadBackwardW, HeadBackwardX, HeadBlock, HeadLogits, HeadLoss,
};
use kernels::linear_cross_entropy::{LinearCrossEntropy, LinearCrossEntropyBackwardW, LinearCrossEntropyBackwardX};

/// linear_cross_entropy: x w labels loss log_z | rows vocab cols | ignore
pub fn linear_cross_entropy(args: &Args<'_>) -> Result<Op, EngineError> {
    let [rows, vocab, cols] = [0, 1, 2].map(|i| args.dim(i));
    let (w, storage) = args.weights(1, vocab, cols)?;
    Ok(LinearCrossEntropy {
        x: args.operand(0, count(&[rows, cols]))?,
        w,
        storage,
        labels: args.operand(2, rows as u64)?,
        loss: args.operand(3, rows as u64)?,
        log_z: args.operand(4, rows as u64)?,
        rows,
        vocab,
        cols,
        ignore: args.word(0) as i32,
    }
    .into())
}

/// linear_cross_entropy_backward_x: x w labels log_z g gz? dx | rows vocab cols | ignore
pub fn backward_x(args: &Args<'_>) -> Result<Op, EngineError> {
    let [rows, vocab, cols] = [0, 1, 2].map(|i| args.dim(i));
    let (w, storage) = args.weights(1, vocab, cols)?;
    Ok(LinearCrossEntropyBackwardX {
        x: args.operand(0, count(&[rows, cols]))?,
        w,
        storage,
        labels: args.operand(2, rows as u64)?,
        log_z: args.operand(3, rows as u64)?,
        g: args.operand(4, rows as u64)?,
        gz: args.operand(5, rows as u64)?,
        dx: args.operand(6, count(&[rows, cols]))?,
        rows,
        vocab,
        cols,
        ignore: args.word(0) as i32,
    }
    .into())
}

/// linear_cross_entropy_backward_w: x w labels log_z g gz? init? dw | rows vocab cols | ignore
pub fn backward_w(args: &Args<'_>) -> Result<Op, EngineError> {
    let [rows, vocab, cols] = [0, 1, 2].map(|i| args.dim(i));
    Ok(LinearCrossEntropyBackwardW {
        x: args.operand(0, count(&[rows, cols]))?,
        w: args.operand(1, count(&[vocab, cols]))?,
        labels: args.operand(2, rows as u64)?,
        log_z: args.operand(3, rows as u64)?,
        g: args.operand(4, rows as u64)?,
        gz: args.operand(5, rows as u64)?,
        init: args.operand(6, count(&[vocab, cols]))?,
        dw: args.operand(7, count(&[vocab, cols]))?,
        rows,
        vocab,
        cols,
        ignore: args.word(0) as i32,
    }
    .into())
}

/// The sizes of one block of the one-pass form: rows vocab cols most stride | ignore first
fn block(args: &Args<'_>) -> Result<HeadBlock, EngineError> {
    let [rows, vocab, cols, most, stride] = [0, 1, 2, 3, 4].map(|i| args.dim(i));
    if most > stride || stride % 16 != 0 {
        return Err(args.error(format!("stride must be a multiple of 16 of at least {most}, got {stride}")));
    }
    Ok(HeadBlock { rows, vocab, cols, most, stride, ignore: args.word(0) as i32, first: args.word(1) as usize })
}

/// head_logits: x w labels logits stats | rows vocab cols most stride | ignore first
pub fn head_logits(args: &Args<'_>) -> Result<Op, EngineError> {
    let dims = block(args)?;
    let HeadBlock { rows, vocab, cols, stride, .. } = dims;
    let (w, storage) = args.weights(1, vocab, cols)?;
    Ok(HeadLogits {
        x: args.operand(0, count(&[rows, cols]))?,
        w,
        storage,
        labels: args.operand(2, rows as u64)?,
        logits: args.operand(3, count(&[vocab, stride]))?,
        stats: args.operand(4, stats_len(vocab, stride) as u64)?,
        dims,
    }
    .into())
}

/// head_loss: labels logits stats loss log_z | rows vocab cols most stride | ignore first
pub fn head_loss(args: &Args<'_>) -> Result<Op, EngineError> {
    let dims = block(args)?;
    let HeadBlock { rows, vocab, stride, .. } = dims;
    Ok(HeadLoss {
        labels: args.operand(0, rows as u64)?,
        logits: args.operand(1, count(&[vocab, stride]))?,
        stats: args.operand(2, stats_len(vocab, stride) as u64)?,
        loss: args.operand(3, rows as u64)?,
        log_z: args.operand(4, rows as u64)?,
        dims,
    }
    .into())
}

/// head_backward_w: x labels log_z g init? dw? logits | rows vocab cols most stride | ignore first
pub fn head_backward_w(args: &Args<'_>) -> Result<Op, EngineError> {
    let dims = block(args)?;
    let HeadBlock { rows, vocab, cols, stride, .. } = dims;
    Ok(HeadBackwardW {
        x: args.operand(0, count(&[rows, cols]))?,
        labels: args.operand(1, rows as u64)?,
        log_z: args.operand(2, rows as u64)?,
        g: args.operand(3, rows as u64)?,
        init: args.operand(4, count(&[vocab, cols]))?,
        dw: args.operand(5, count(&[vocab, cols]))?,
        logits: args.operand(6, count(&[vocab, stride]))?,
        dims,
    }
    .into())
}

/// head_backward_x: w labels dlogits dx | rows vocab cols most stride | ignore first
pub fn head_backward_x(args: &Args<'_>) -> Result<Op, EngineError> {
    let dims = block(args)?;
    let HeadBlock { rows, vocab, cols, stride, .. } = dims;
    let (w, storage) = args.weights(0, vocab, cols)?;
    Ok(HeadBackwardX {
        w,
        storage,
        labels: args.operand(1, rows as u64)?,
        dlogits: args.operand(2, count(&[vocab, stride]))?,
        dx: args.operand(3, count(&[rows, cols]))?,
        dims,
        threads: kernels::matmul::threads(),
    }
    .into())
}
