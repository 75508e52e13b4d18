//! Opcodes 33, 49 and 50: drawing tokens, the continuations of beams, and beams in a new order.

use super::args::{count, Args};
use super::Op;
use crate::error::EngineError;
use kernels::sample::beam::{BeamScores, PermuteRows};
use kernels::sample::{Rules, Sample, STATE};

/// sample: logits bias? lists? counts? state? positions? out report? | rows vocab stride list columns | temperature top_k top_p seed_lo
/// seed_hi draw min_p repetition presence frequency min_new top_n
pub fn sample(args: &Args<'_>) -> Result<Op, EngineError> {
    let [rows, vocab, stride, list, columns] = [0, 1, 2, 3, 4].map(|i| args.dim(i));
    if columns < 2 {
        return Err(args.error(format!("columns must be at least 2, got {columns}")));
    }
    Ok(Sample {
        logits: args.operand(0, logits(args, rows, vocab, stride)?)?,
        rules: rules(args, 1, Sizes { rows, vocab, list }, [7, 8, 9, 10, 5])?,
        positions: args.operand(5, rows as u64)?,
        out: args.operand(6, rows as u64)?,
        report: args.operand(7, count(&[rows, columns]))?,
        rows,
        stride,
        columns,
        temperature: args.scalar(0),
        top_k: args.scalar_word(1),
        top_p: args.scalar(2),
        seed_lo: args.scalar_word(3),
        seed_hi: args.scalar_word(4),
        min_p: args.scalar_or(6, 0.0),
        top_n: args.scalar_or(11, 0.0) as u32,
    }
    .into())
}

/// beam_scores: logits tokens scores bias? lists? counts? state? report | rows vocab stride list keep | repetition presence frequency
/// min_new draw
pub fn beam_scores(args: &Args<'_>) -> Result<Op, EngineError> {
    let [rows, vocab, stride, list, keep] = [0, 1, 2, 3, 4].map(|i| args.dim(i));
    Ok(BeamScores {
        logits: args.operand(0, logits(args, rows, vocab, stride)?)?,
        tokens: args.operand(1, rows as u64)?,
        scores: args.operand(2, rows as u64)?,
        rules: rules(args, 3, Sizes { rows, vocab, list }, [0, 1, 2, 3, 4])?,
        report: args.operand(7, count(&[rows, keep, 2]))?,
        rows,
        stride,
        keep,
    }
    .into())
}

/// permute_rows: x parents | batch time cols pitch
pub fn permute_rows(args: &Args<'_>) -> Result<Op, EngineError> {
    let [batch, time, cols, pitch] = [0, 1, 2, 3].map(|i| args.dim(i));
    args.distinct("x", &[(batch, pitch), (time, cols)], cols)?;
    let (x, parents) = (args.operand(0, count(&[batch, pitch]))?, args.operand(1, batch as u64)?);
    Ok(PermuteRows { x, parents, batch, time, cols, pitch }.into())
}

struct Sizes {
    rows: usize,
    vocab: usize,
    list: usize,
}

/// Floats of rows that lie `stride` apart.
fn logits(args: &Args<'_>, rows: usize, vocab: usize, stride: usize) -> Result<u64, EngineError> {
    if vocab == 0 || stride < vocab {
        return Err(args.error(format!("vocab must be from 1 to stride, got {vocab} and {stride}")));
    }
    Ok(count(&[rows, stride]))
}

/// bias, lists, counts and state from operand `first` on; `params`: repetition presence frequency min_new draw.
fn rules(args: &Args<'_>, first: usize, sizes: Sizes, params: [usize; 5]) -> Result<Rules, EngineError> {
    let Sizes { rows, vocab, list } = sizes;
    Ok(Rules {
        bias: args.operand(first, vocab as u64)?,
        lists: args.operand(first + 1, list as u64)?,
        counts: args.operand(first + 2, count(&[rows, vocab]))?,
        state: args.operand(first + 3, count(&[rows, STATE]))?,
        vocab,
        list,
        repetition: args.scalar_or(params[0], 1.0),
        presence: args.scalar_or(params[1], 0.0),
        frequency: args.scalar_or(params[2], 0.0),
        min_new: args.scalar_or(params[3], 0.0) as u32,
        draw: args.scalar_or(params[4], 0.0) as u32,
    })
}
