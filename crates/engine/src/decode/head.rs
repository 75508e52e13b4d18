//! Opcodes 24 to 26: the output layer fused with its loss.

use super::args::{count, Args};
use super::Op;
use crate::error::EngineError;
use kernels::linear_cross_entropy::{LinearCrossEntropy, LinearCrossEntropyBackwardW, LinearCrossEntropyBackwardX};

/// linear_cross_entropy: x w labels loss log_z | rows vocab cols | ignore
pub fn linear_cross_entropy(args: &Args<'_>) -> Result<Op, EngineError> {
    let [rows, vocab, cols] = [0, 1, 2].map(|i| args.dim(i));
    Ok(LinearCrossEntropy {
        x: args.operand(0, count(&[rows, cols]))?,
        w: args.operand(1, count(&[vocab, cols]))?,
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
    Ok(LinearCrossEntropyBackwardX {
        x: args.operand(0, count(&[rows, cols]))?,
        w: args.operand(1, count(&[vocab, cols]))?,
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
