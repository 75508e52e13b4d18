//! Opcodes 1 and 64.

use super::args::{count, Args};
use super::Op;
use crate::error::EngineError;
use kernels::matmul::{threads, Activation, Form, Matmul};
use kernels::stored::Storage;

/// matmul: a b init? bias? out act? | batch m n k | form activation
pub fn matmul(args: &Args<'_>) -> Result<Op, EngineError> {
    let dims = [0, 1, 2, 3].map(|i| args.dim(i));
    let form = Form::from_word(args.word(0)).ok_or_else(|| args.error("form must be known".into()))?;
    product(args, dims, form, args.word(1))
}

/// matmul_q8: a b init? bias? out act? | m n k | activation
pub fn matmul_q8(args: &Args<'_>) -> Result<Op, EngineError> {
    let [m, n, k] = [0, 1, 2].map(|i| args.dim(i));
    product(args, [1, m, n, k], Form::Q8, args.word(0))
}

fn product(args: &Args<'_>, [batch, m, n, k]: [usize; 4], form: Form, activation: u32) -> Result<Op, EngineError> {
    let activation = Activation::from_word(activation).ok_or_else(|| args.error("activation must be known".into()))?;
    if args.present(5) != (activation != Activation::None) {
        return Err(args.error("act must be present exactly when there is an activation".into()));
    }
    let result = count(&[batch, m, n]);
    let (rows, columns) = if matches!(form, Form::Nn | Form::Tn) { (k, n) } else { (n, k) };
    let (b, storage) = args.weights(1, batch.saturating_mul(rows), columns)?;
    if storage != Storage::F32 && (batch != 1 || form == Form::Tn) {
        return Err(args.error(format!("b must be f32 in the form TN and with a batch, got a batch of {batch}")));
    }
    Ok(Matmul {
        a: args.operand(0, count(&[batch, m, k]))?,
        b,
        init: args.operand(2, result)?,
        bias: args.operand(3, n as u64)?,
        out: args.operand(4, result)?,
        act: args.operand(5, result)?,
        batch,
        m,
        n,
        k,
        form,
        storage,
        activation,
        threads: threads(),
    }
    .into())
}
