//! Beam search's part in the engine: the best continuations of every beam (opcode 49), and beams put in a new order (opcode 50).
//! Which of them live on is decided outside, from a few numbers per beam.

use super::rules::Rules;
use super::{best_of, check, scratch_len, Room};
use crate::softmax::log_sum_exp;
use crate::tile::{Fault, FaultCode, TileOp};

/// The `keep` best continuations of each beam by score + log-probability under the rules (which see log-probabilities, as Hugging Face's
/// do): pairs `[id, bits of the sum]`, the best first, the lowest ids first among equals, id −1 where there are no more.
#[derive(Clone, Copy, Debug)]
pub struct BeamScores {
    /// `[rows, stride]`, of which the first `vocab` of each row count.
    pub logits: *const f32,
    /// `[rows]`: the token that each beam has just read; it is remembered if `draw` is above 0.
    pub tokens: *const i32,
    /// `[rows]`: log-probability of each beam so far.
    pub scores: *const f32,
    /// `[rows, keep, 2]`
    pub report: *mut i32,
    /// Rows.
    pub rows: usize,
    /// Elements from one row of logits to the next.
    pub stride: usize,
    /// Continuations of each beam.
    pub keep: usize,
    /// What changes the log-probabilities first.
    pub rules: Rules,
}

impl TileOp for BeamScores {
    fn tiles(&self) -> usize {
        self.rows
    }

    fn scratch_len(&self) -> usize {
        // A second row for the log-probabilities.
        scratch_len(self.rules.vocab) + self.rules.vocab
    }

    unsafe fn run_tile(&self, tile: usize, scratch: *mut f32) -> Result<(), Fault> {
        let vocab = self.rules.vocab;
        // SAFETY: tile < rows; scratch is ours and as long as asked; the token is checked.
        unsafe {
            let logits = core::slice::from_raw_parts(self.logits.add(tile * self.stride), vocab);
            check(logits, tile)?;
            let token = *self.tokens.add(tile);
            if token < 0 || token as usize >= vocab {
                return Err(Fault { code: FaultCode::TokenOutOfRange, at: tile as u32, value: token });
            }
            if self.rules.draw > 0 {
                self.rules.push(tile, token);
            }
            let mut room = Room::new(scratch, vocab);
            core::ptr::write_bytes(scratch.add(scratch_len(vocab)), 0, vocab);
            let x = core::slice::from_raw_parts_mut(scratch.add(scratch_len(vocab)), vocab);
            let (max, rest) = log_sum_exp(logits.as_ptr(), vocab);
            let log_z = f64::from(max) + rest;
            if !log_z.is_finite() {
                return Err(Fault { code: FaultCode::NonFiniteLogits, at: tile as u32, value: 0 });
            }
            for (out, &logit) in room.x.iter_mut().zip(logits) {
                *out = (f64::from(logit) - log_z) as f32;
            }
            self.rules.apply(room.x, x, tile);
            let score = f64::from(*self.scores.add(tile));
            best_of(x, &mut room, self.keep, score, self.report.add(tile * self.keep * 2));
        }
        Ok(())
    }
}

/// `x[b] = x[parents[b]]` for all b at once, in place: 32-bit words, whatever they mean.
#[derive(Clone, Copy, Debug)]
pub struct PermuteRows {
    /// `[batch, pitch]`, of which `[batch, time, cols]` at the front of each is moved.
    pub x: *mut f32,
    /// `[batch]`
    pub parents: *const i32,
    /// Sequences.
    pub batch: usize,
    /// Rows of each that are in use.
    pub time: usize,
    /// Words of a row.
    pub cols: usize,
    /// Words from one sequence to the next.
    pub pitch: usize,
}

impl TileOp for PermuteRows {
    fn tiles(&self) -> usize {
        self.time
    }

    fn scratch_len(&self) -> usize {
        self.batch * self.cols
    }

    unsafe fn run_tile(&self, tile: usize, scratch: *mut f32) -> Result<(), Fault> {
        // SAFETY: parents are checked before they are followed; the row of a tile belongs to it in every sequence.
        unsafe {
            let parents = core::slice::from_raw_parts(self.parents, self.batch);
            if let Some(at) = parents.iter().position(|&p| p < 0 || p as usize >= self.batch) {
                return Err(Fault { code: FaultCode::PositionOutOfRange, at: at as u32, value: parents[at] });
            }
            let row = |b: usize| self.x.add(b * self.pitch + tile * self.cols);
            let moved = |b: &usize| parents[*b] as usize != *b;
            for b in (0..self.batch).filter(moved) {
                core::ptr::copy_nonoverlapping(row(parents[b] as usize), scratch.add(b * self.cols), self.cols);
            }
            for b in (0..self.batch).filter(moved) {
                core::ptr::copy_nonoverlapping(scratch.add(b * self.cols), row(b), self.cols);
            }
        }
        Ok(())
    }
}
