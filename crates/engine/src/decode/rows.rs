//! Opcodes 9, 10, 22 and 23: softmax and cross-entropy over rows of logits.

use super::args::{count, Args};
use super::Op;
use crate::error::EngineError;
use kernels::cross_entropy::{CrossEntropy, CrossEntropyBackward};
use kernels::softmax::{Softmax, SoftmaxBackward};

/// softmax: x out | rows cols | log
pub fn softmax(args: &Args<'_>) -> Result<Op, EngineError> {
    let [rows, cols] = [args.dim(0), args.dim(1)];
    let n = count(&[rows, cols]);
    Ok(Softmax { x: args.operand(0, n)?, out: args.operand(1, n)?, rows, cols, log: args.word(0) != 0 }.into())
}

/// softmax_backward: y dy dx | rows cols | log
pub fn softmax_backward(args: &Args<'_>) -> Result<Op, EngineError> {
    let [rows, cols] = [args.dim(0), args.dim(1)];
    let n = count(&[rows, cols]);
    let (y, dy, dx) = (args.operand(0, n)?, args.operand(1, n)?, args.operand(2, n)?);
    Ok(SoftmaxBackward { y, dy, dx, rows, cols, log: args.word(0) != 0 }.into())
}

/// cross_entropy: logits labels loss log_z | rows vocab | ignore
pub fn cross_entropy(args: &Args<'_>) -> Result<Op, EngineError> {
    let [rows, vocab] = [args.dim(0), args.dim(1)];
    Ok(CrossEntropy {
        logits: args.operand(0, count(&[rows, vocab]))?,
        labels: args.operand(1, rows as u64)?,
        loss: args.operand(2, rows as u64)?,
        log_z: args.operand(3, rows as u64)?,
        rows,
        vocab,
        ignore: args.word(0) as i32,
    }
    .into())
}

/// cross_entropy_backward: logits labels log_z g gz? dlogits | rows vocab | ignore
pub fn cross_entropy_backward(args: &Args<'_>) -> Result<Op, EngineError> {
    let [rows, vocab] = [args.dim(0), args.dim(1)];
    Ok(CrossEntropyBackward {
        logits: args.operand(0, count(&[rows, vocab]))?,
        labels: args.operand(1, rows as u64)?,
        log_z: args.operand(2, rows as u64)?,
        g: args.operand(3, rows as u64)?,
        gz: args.operand(4, rows as u64)?,
        dlogits: args.operand(5, count(&[rows, vocab]))?,
        rows,
        vocab,
        ignore: args.word(0) as i32,
    }
    .into())
}
