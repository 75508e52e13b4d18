//! Opcode 1.

use super::args::{count, Args};
use super::Op;
use crate::error::EngineError;
use kernels::matmul::{threads, Activation, Form, Matmul};

/// matmul: a b init? bias? out act? | batch m n k | form activation
pub fn matmul(args: &Args<'_>) -> Result<Op, EngineError> {
    let [batch, m, n, k] = [0, 1, 2, 3].map(|i| args.dim(i));
    let form = Form::from_word(args.word(0)).ok_or_else(|| args.error("form must be known".into()))?;
    let activation =
        Activation::from_word(args.word(1)).ok_or_else(|| args.error("activation must be known".into()))?;
    if args.present(5) != (activation != Activation::None) {
        return Err(args.error("act must be present exactly when there is an activation".into()));
    }
    let result = count(&[batch, m, n]);
    Ok(Matmul {
        a: args.operand(0, count(&[batch, m, k]))?,
        b: args.operand(1, count(&[batch, k, n]))?,
        init: args.operand(2, result)?,
        bias: args.operand(3, n as u64)?,
        out: args.operand(4, result)?,
        act: args.operand(5, result)?,
        batch,
        m,
        n,
        k,
        form,
        activation,
        threads: threads(),
    }
    .into())
}
