//! Opcodes 2 to 8 and 27: elementwise functions, sums and fills.

use super::args::{count, Args};
use super::Op;
use crate::error::EngineError;
use kernels::binary::{Binary, BinaryKind, BinaryMode};
use kernels::fill::Fill;
use kernels::reduce::{ColumnSum, CountLabels, RowSum, SumAll};
use kernels::unary::{Unary, UnaryBackward, UnaryKind};

/// column_sum: x out | rows cols
pub fn column_sum(args: &Args<'_>) -> Result<Op, EngineError> {
    let [rows, cols] = [args.dim(0), args.dim(1)];
    let (x, out) = (args.operand(0, count(&[rows, cols]))?, args.operand(1, cols as u64)?);
    Ok(ColumnSum { x, out, rows, cols }.into())
}

/// row_sum: x out | rows cols
pub fn row_sum(args: &Args<'_>) -> Result<Op, EngineError> {
    let [rows, cols] = [args.dim(0), args.dim(1)];
    let (x, out) = (args.operand(0, count(&[rows, cols]))?, args.operand(1, rows as u64)?);
    Ok(RowSum { x, out, rows, cols }.into())
}

/// sum_all: x out | n | scale
pub fn sum_all(args: &Args<'_>) -> Result<Op, EngineError> {
    let n = args.dim(0);
    Ok(SumAll { x: args.operand(0, n as u64)?, out: args.operand(1, 1)?, n, scale: args.float(0) }.into())
}

/// count_labels: labels out | n | ignore
pub fn count_labels(args: &Args<'_>) -> Result<Op, EngineError> {
    let n = args.dim(0);
    let (labels, out) = (args.operand(0, n as u64)?, args.operand(1, 1)?);
    Ok(CountLabels { labels, out, n, ignore: args.word(0) as i32 }.into())
}

/// fill: out | n | value
pub fn fill(args: &Args<'_>) -> Result<Op, EngineError> {
    let n = args.dim(0);
    Ok(Fill { out: args.operand(0, n as u64)?, n, value: args.float(0) }.into())
}

/// unary: x out | n | kind c
pub fn unary(args: &Args<'_>) -> Result<Op, EngineError> {
    let n = args.dim(0);
    let (x, out) = (args.operand(0, n as u64)?, args.operand(1, n as u64)?);
    Ok(Unary { x, out, n, kind: unary_kind(args)?, c: args.float(1) }.into())
}

/// unary_backward: x y dy dx | n | kind c
pub fn unary_backward(args: &Args<'_>) -> Result<Op, EngineError> {
    let n = args.dim(0);
    Ok(UnaryBackward {
        x: args.operand(0, n as u64)?,
        y: args.operand(1, n as u64)?,
        dy: args.operand(2, n as u64)?,
        dx: args.operand(3, n as u64)?,
        n,
        kind: unary_kind(args)?,
        c: args.float(1),
    }
    .into())
}

fn unary_kind(args: &Args<'_>) -> Result<UnaryKind, EngineError> {
    UnaryKind::from_word(args.word(0)).ok_or_else(|| args.error(format!("kind must be known, got {}", args.word(0))))
}

/// binary: a b out | outer inner | kind mode
pub fn binary(args: &Args<'_>) -> Result<Op, EngineError> {
    let [outer, inner] = [args.dim(0), args.dim(1)];
    let unknown = || args.error(format!("kind and mode must be known, got {} and {}", args.word(0), args.word(1)));
    let kind = BinaryKind::from_word(args.word(0)).ok_or_else(unknown)?;
    let mode = BinaryMode::from_word(args.word(1)).ok_or_else(unknown)?;
    let n = count(&[outer, inner]);
    let of_b = match mode {
        BinaryMode::Same => n,
        BinaryMode::Row => inner as u64,
        BinaryMode::Column => outer as u64,
        BinaryMode::Scalar => 1,
    };
    let (a, b, out) = (args.operand(0, n)?, args.operand(1, of_b)?, args.operand(2, n)?);
    Ok(Binary { a, b, out, outer, inner, kind, mode }.into())
}
