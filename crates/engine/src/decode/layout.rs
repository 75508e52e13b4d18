//! Opcodes 14 to 18, 32 and 34: lookups, positions, dropout and copies.

use super::args::{count, span, Args};
use super::Op;
use crate::error::EngineError;
use kernels::copy_rows::CopyRows;
use kernels::dropout::Dropout;
use kernels::embedding::{Embedding, EmbeddingBackward};
use kernels::position::{AddPosition, AddPositionBackward};
use kernels::transpose::Transpose;

/// embedding: table ids out | rows cols vocab
pub fn embedding(args: &Args<'_>) -> Result<Op, EngineError> {
    let [rows, cols, vocab] = [0, 1, 2].map(|i| args.dim(i));
    let (table, storage) = args.weights(0, vocab, cols)?;
    Ok(Embedding {
        table,
        storage,
        ids: args.operand(1, rows as u64)?,
        out: args.operand(2, count(&[rows, cols]))?,
        rows,
        cols,
        vocab,
    }
    .into())
}

/// embedding_backward: ids dy init? dtable | rows cols vocab
pub fn embedding_backward(args: &Args<'_>) -> Result<Op, EngineError> {
    let [rows, cols, vocab] = [0, 1, 2].map(|i| args.dim(i));
    Ok(EmbeddingBackward {
        ids: args.operand(0, rows as u64)?,
        dy: args.operand(1, count(&[rows, cols]))?,
        init: args.operand(2, count(&[vocab, cols]))?,
        dtable: args.operand(3, count(&[vocab, cols]))?,
        rows,
        cols,
        vocab,
    }
    .into())
}

/// add_position: x table positions? out | batch time cols position table_rows
pub fn add_position(args: &Args<'_>) -> Result<Op, EngineError> {
    let [batch, time, cols, position, table_rows] = positions(args)?;
    let n = count(&[batch, time, cols]);
    let (x, table, out) = (args.operand(0, n)?, args.operand(1, count(&[table_rows, cols]))?, args.operand(3, n)?);
    let positions = args.operand(2, batch as u64)?;
    Ok(AddPosition { x, table, positions, out, batch, time, cols, position, table_rows }.into())
}

/// add_position_backward: dy dtable | batch time cols position table_rows
pub fn add_position_backward(args: &Args<'_>) -> Result<Op, EngineError> {
    let [batch, time, cols, position, table_rows] = positions(args)?;
    let (dy, dtable) = (args.operand(0, count(&[batch, time, cols]))?, args.operand(1, count(&[table_rows, cols]))?);
    Ok(AddPositionBackward { dy, dtable, batch, time, cols, position, table_rows }.into())
}

/// The dims of positions, which must lie inside the table. (At load, position and time need not fit at their maxima together.)
pub(super) fn positions(args: &Args<'_>) -> Result<[usize; 5], EngineError> {
    let dims = [0, 1, 2, 3, 4].map(|i| args.dim(i));
    let [_, time, _, position, table_rows] = dims;
    if !args.rehearsal() && position + time > table_rows {
        return Err(args.error(format!("position + time must be at most {table_rows}, got {position} + {time}")));
    }
    Ok(dims)
}

/// dropout: x out | n | p path_lo path_hi seed_lo seed_hi step micro
pub fn dropout(args: &Args<'_>) -> Result<Op, EngineError> {
    let n = args.dim(0);
    let mask = args.dropout(0)?;
    let (x, out) = (args.operand(0, n as u64)?, args.operand(1, n as u64)?);
    let ([path_lo, path_hi], [seed_lo, seed_hi]) = (mask.path, mask.seed);
    Ok(Dropout { x, out, n, p: mask.p, path_lo, path_hi, seed_lo, seed_hi, step: mask.step, micro: mask.micro }.into())
}

/// copy_rows: src positions? dst | batch time cols src_row src_batch src_offset dst_row dst_batch dst_offset
pub fn copy_rows(args: &Args<'_>) -> Result<Op, EngineError> {
    let [batch, time, cols, src_row, src_batch, src_offset, dst_row, dst_batch, dst_offset] =
        [0, 1, 2, 3, 4, 5, 6, 7, 8].map(|i| args.dim(i));
    args.distinct("dst", &[(batch, dst_batch), (time, dst_row)], cols)?;
    let reach = |offset: usize, row: usize, pitch: usize| {
        let elements = span(&[(batch, pitch), (time, row)], cols);
        // At load, an offset and a count of rows need not fit at their maxima together.
        if elements == 0 || args.rehearsal() {
            0
        } else {
            elements.saturating_add(offset as u64)
        }
    };
    let positions = args.operand(1, batch as u64)?;
    let src = args.operand(0, reach(src_offset, src_row, src_batch))?;
    let mut last = reach(dst_offset, dst_row, dst_batch);
    if args.present(1) {
        if dst_row < cols.max(1) || dst_batch % dst_row != 0 {
            let rule = "dst_batch must be rows of at least cols elements with positions";
            return Err(args.error(format!("{rule}, got {dst_batch} by {dst_row} for {cols}")));
        }
        if last > 0 {
            // Any row of any sequence.
            last = count(&[batch, dst_batch]).saturating_add(dst_offset as u64);
        }
    }
    let dst = args.operand(2, last)?;
    Ok(CopyRows {
        src,
        dst,
        positions,
        batch,
        time,
        cols,
        src_row,
        src_batch,
        src_offset,
        dst_row,
        dst_batch,
        dst_offset,
    }
    .into())
}

/// transpose: x out | batch m n
pub fn transpose(args: &Args<'_>) -> Result<Op, EngineError> {
    let [batch, m, n] = [0, 1, 2].map(|i| args.dim(i));
    let elements = count(&[batch, m, n]);
    Ok(Transpose { x: args.operand(0, elements)?, out: args.operand(1, elements)?, batch, m, n }.into())
}
