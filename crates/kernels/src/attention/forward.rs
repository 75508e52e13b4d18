//! Attention forward: one head and a run of blocks of queries at a time. V is packed once per run, each block's queries once,
//! and K is read in place.

use super::drop::{transposed, transposed_len};
use super::few::scale_row;
use super::strip::{exclude, exclude_before, exponentials, largest, log_sums, Strip, EIGHT};
use super::{few, pack_scaled_columns, AttentionDims, Head, Visibility, KEYS};
use crate::lanes::map2;
use crate::matmul::micro::{register_tile, RegisterTile, Start, MAX_NR};
use crate::matmul::pack::{clear_steps, pack_rows, packed_len};
use crate::matmul::panels::{Left, Product, Steps, Wanted};
use crate::tile::{Fault, FaultCode, TileOp};

/// Arguments of attention forward. Layouts: [`AttentionDims`].
#[derive(Clone, Copy, Debug)]
pub struct Attention {
    /// Queries.
    pub q: *const f32,
    /// Keys.
    pub k: *const f32,
    /// Values.
    pub v: *const f32,
    /// What queries see.
    pub visibility: Visibility,
    /// `[batch]`: sequence b has only the keys `..key_counts[b]`, from 1 to `tk` (else a [`FaultCode::PositionOutOfRange`]), and
    /// gets what it gets alone with that many; or null. Not with dropout, a mask or starts.
    pub key_counts: *const i32,
    /// `[batch, tq, heads·head_dim]`.
    pub out: *mut f32,
    /// `[batch, heads, tq]`: log-sum-exp of the visible scaled scores, −infinity where none is visible.
    pub lse: *mut f32,
    /// Sizes, strides, settings.
    pub dims: AttentionDims,
}

/// Work items that are aimed at where there are blocks enough: divisible by 2, 3, 4, 6 and 8 threads.
const ITEMS: usize = 24;
/// Keys up to which a block has 64 queries; beyond, 32 keep the strip of 8192 keys near 1 MiB.
const SHORT: usize = 1024;

/// Below this many queries `few.rs` does the work.
const FEW_QUERIES: usize = 4;

/// Queries of a block.
const fn block_rows(keys: usize) -> usize {
    if keys <= SHORT {
        64
    } else {
        32
    }
}

/// Floats from row to row of a strip of `queries`: an odd number of 64-byte lines, so that a column of keys falls into all
/// sets of a first-level cache.
const fn strip_row(queries: usize) -> usize {
    queries.next_multiple_of(2 * MAX_NR) + MAX_NR
}

/// Floats of the longest strip for at most these dims: grows with both.
fn strip_len(queries: usize, keys: usize) -> usize {
    let len = |keys: usize| keys * strip_row(queries.min(block_rows(keys)));
    len(keys).max(len(keys.min(SHORT)))
}

impl AttentionDims {
    fn query_blocks(&self) -> usize {
        self.tq.div_ceil(block_rows(self.tk))
    }

    /// Runs of blocks of one head, each with the values packed once.
    fn query_runs(&self) -> usize {
        ITEMS.div_ceil((self.batch * self.heads).max(1)).min(self.query_blocks())
    }
}

impl Attention {
    fn is_few(&self) -> bool {
        self.dims.tq < FEW_QUERIES && self.visibility.is_plain()
    }

    /// Runs of blocks of one head. Where queries have first keys, each block has values of its own.
    fn runs(&self) -> usize {
        if self.visibility.starts.is_null() {
            self.dims.query_runs()
        } else {
            self.dims.query_blocks()
        }
    }
}

impl TileOp for Attention {
    fn tiles(&self) -> usize {
        let d = &self.dims;
        if self.is_few() && d.tq > 0 {
            return d.batch * d.kv_heads * d.few_parts();
        }
        d.batch * d.heads * self.runs()
    }

    fn scratch_len(&self) -> usize {
        let d = &self.dims;
        let queries = block_rows(0);
        let values = d.tk.div_ceil(KEYS) * packed_len(KEYS, d.head_dim, MAX_NR);
        let drawn = if d.dropout.is_some() { KEYS * strip_row(queries) + transposed_len(KEYS) } else { 0 };
        let blocks = strip_len(d.tq, d.tk) + packed_len(d.head_dim, queries, MAX_NR) + values + 2 * queries + drawn;
        let few = few::scratch_len(&AttentionDims { tq: d.tq.min(FEW_QUERIES - 1), ..*d });
        blocks.max(few)
    }

    unsafe fn run_tile(&self, tile: usize, scratch: *mut f32) -> Result<(), Fault> {
        let d = &self.dims;
        let heads = d.batch * d.heads;
        let b = if self.is_few() { tile / (d.kv_heads * d.few_parts()) } else { tile % heads / d.heads };
        // SAFETY: the blocks lie inside the operands the caller vouches for.
        unsafe {
            let alone;
            let op = if self.key_counts.is_null() {
                self
            } else {
                alone = self.sequence(b)?;
                &alone
            };
            if self.is_few() {
                few::forward(op, tile, scratch);
            } else {
                // The cut is that of the longest sequence.
                let (blocks, runs, rows) = (d.query_blocks(), self.runs(), block_rows(d.tk));
                let run = runs - 1 - tile / heads; // late queries see most keys: longest first
                let (first, last) = (run * blocks / runs, (run + 1) * blocks / runs);
                op.run(d.head(tile % heads), (first * rows, d.tq.min(last * rows)), rows, scratch);
            }
        }
        Ok(())
    }
}

/// What a run of blocks shares.
struct Run {
    /// One tile for the whole work item: what is packed for one is not what another reads.
    tile: RegisterTile,
    head: Head,
    mask: *const i32,
    /// Keys that any of its queries sees are `from .. keys`.
    from: usize,
    keys: usize,
    /// The first key that the mask keeps.
    first_kept: usize,
    /// Packed values, [`KEYS`] at a time.
    values: *const f32,
    queries: *mut f32,
    /// Largest scores and sums, one per query of a block.
    largest: *mut f32,
    sums: *mut f32,
    drawn: *mut f32,
    strip: *mut f32,
}

impl Attention {
    /// The same with the keys of sequence `b`.
    ///
    /// # Safety
    /// As `run_tile`; `key_counts` is there.
    unsafe fn sequence(&self, b: usize) -> Result<Self, Fault> {
        let d = &self.dims;
        // SAFETY: b < batch.
        let count = unsafe { *self.key_counts.add(b) };
        if count < 1 || count as usize > d.tk {
            return Err(Fault { code: FaultCode::PositionOutOfRange, at: b as u32, value: count });
        }
        let tk = count as usize;
        // A mask stays `[batch, tk of all]`: its row b begins further on than `b·tk`.
        let mut visibility = self.visibility;
        if !visibility.key_mask.is_null() {
            visibility.key_mask = visibility.key_mask.wrapping_add(b * (d.tk - tk));
        }
        Ok(Self { visibility, dims: AttentionDims { tk, ..*d }, ..*self })
    }

    /// The queries `first .. last`, `rows` at a time.
    unsafe fn run(&self, head: Head, (first, last): (usize, usize), rows: usize, scratch: *mut f32) {
        let d = &self.dims;
        let keys = d.end(last - 1);
        let mask = d.mask_of(self.visibility.key_mask, head);
        let strip = scratch;
        let queries = strip.wrapping_add(strip_len(d.tq, d.tk));
        let largest = queries.wrapping_add(packed_len(d.head_dim, block_rows(0), MAX_NR));
        let sums = largest.wrapping_add(block_rows(0));
        let values = sums.wrapping_add(block_rows(0));
        let drawn = values.wrapping_add(d.tk.div_ceil(KEYS) * packed_len(KEYS, d.head_dim, MAX_NR));
        // SAFETY (whole body): scratch is as long as scratch_len says, operands as the caller vouches.
        unsafe {
            let first_kept = if mask.is_null() { 0 } else { (0..keys).position(|j| *mask.add(j) != 0).unwrap_or(keys) };
            let tile = register_tile();
            let from = self.visibility.range(d, head.b, (first, last - first)).0.min(keys);
            self.pack_values(head, (from, keys), mask, tile, values);
            let run = Run { tile, head, mask, from, keys, first_kept, values, queries, largest, sums, drawn, strip };
            for block in (first..last).step_by(rows) {
                self.block(&run, block, rows.min(last - block));
            }
        }
    }

    unsafe fn pack_values(
        &self,
        head: Head,
        (from, keys): (usize, usize),
        mask: *const i32,
        tile: RegisterTile,
        values: *mut f32,
    ) {
        let d = &self.dims;
        let nr = tile.nr();
        for key in (from..keys).step_by(KEYS) {
            let count = KEYS.min(keys - key);
            // SAFETY: keys below tk, scratch for all parts.
            unsafe {
                let part = values.add(values_at(d, key - from));
                pack_rows(self.v.add(d.v_at(head, key)), d.v_row, count, d.head_dim, nr, part);
                if !mask.is_null() {
                    clear_steps(part, count, d.head_dim, nr, mask.add(key));
                }
            }
        }
    }

    /// Queries `first .. first + rows`.
    unsafe fn block(&self, run: &Run, first: usize, rows: usize) {
        let d = &self.dims;
        let (from, keys) = (run.from, d.end(first + rows - 1).max(run.from));
        let width = rows.next_multiple_of(MAX_NR);
        let strip = Strip { ptr: run.strip, row: strip_row(rows) };
        // SAFETY (whole body): as in run.
        unsafe {
            let q = self.q.add(d.q_at(run.head, first));
            pack_scaled_columns(q, d.q_row, d.head_dim, rows, d.scale, run.tile.nr(), run.queries);
            for key in (from..keys).step_by(KEYS) {
                self.scores(run, strip, (first, rows), (key, KEYS.min(keys - key)));
            }
            for i in (0..width).step_by(MAX_NR) {
                let seen = d.end(first + i + MAX_NR - 1).min(keys);
                largest(strip.at(from).add(i), strip.row, seen.saturating_sub(from), run.largest.add(i));
            }
            // Where nothing is visible the largest score is minus infinity, from which nothing can be subtracted.
            if self.visibility.is_plain() {
                let blind = |i: usize| d.end(first + i).min(keys) <= run.first_kept;
                for i in (0..width).take_while(|&i| blind(i)) {
                    *run.largest.add(i) = 0.0;
                }
            } else {
                for i in (0..width).filter(|&i| *run.largest.add(i) == f32::NEG_INFINITY) {
                    *run.largest.add(i) = 0.0;
                }
            }
            for i in (0..width).step_by(EIGHT) {
                let seen = d.end(first + i + EIGHT - 1).min(keys);
                let column = Strip { ptr: strip.ptr.add(i), row: strip.row };
                let sums = run.sums.add(i);
                exponentials(column.at(from), strip.row, seen.saturating_sub(from), run.largest.add(i), sums);
                if !self.visibility.starts.is_null() && i < rows {
                    self.visibility.sums(d, run.head, (first + i, rows - i), (from, seen), column, sums);
                }
                let lse = self.lse.wrapping_add(d.lse_at(run.head, first + i));
                log_sums(run.largest.add(i), run.sums.add(i), lse, rows.saturating_sub(i));
            }
            self.mix(run, strip, (first, rows), keys);
        }
    }

    /// Scores of some keys, with minus infinity for what is excluded.
    unsafe fn scores(&self, run: &Run, strip: Strip, (first, rows): (usize, usize), (key, keys): (usize, usize)) {
        let d = &self.dims;
        let late = first as isize + d.shift() - key as isize; // key `key + r` is seen from query column r − late on
                                                              // SAFETY (whole body): as in run.
        unsafe {
            let product = Product {
                left: Left { ptr: self.k.add(d.k_at(run.head, key)), row: d.k_row, step: 1 },
                rows: keys,
                packed: run.queries,
                cols: rows.next_multiple_of(run.tile.nr()),
                depth: d.head_dim,
                start: Start::zero(),
                out: strip.at(key),
                out_row: strip.row,
                wanted: if d.causal { Wanted::Above(late) } else { Wanted::All },
                steps: Steps::All,
            };
            product.run(run.tile);
            if !self.visibility.is_plain() {
                let none = core::ptr::null_mut();
                let to = Strip { ptr: strip.at(key), row: strip.row };
                self.visibility.exclude(d, run.head, (first, rows), (key, keys), to, none);
            }
            if d.causal {
                for r in (late + 1).max(0)..keys as isize {
                    exclude_before(strip.at(key + r as usize), (r - late) as usize);
                }
            }
            if !run.mask.is_null() {
                for j in (key..key + keys).filter(|&j| *run.mask.add(j) == 0) {
                    exclude(strip.at(j), rows.next_multiple_of(MAX_NR));
                }
            }
        }
    }

    /// `out = Pᵀ·V ÷ sums`, [`KEYS`] at a time, with dropout on the way.
    unsafe fn mix(&self, run: &Run, strip: Strip, (first, rows): (usize, usize), keys: usize) {
        let d = &self.dims;
        let out = self.out.wrapping_add(d.out_at(run.head, first));
        // SAFETY (whole body): as in run.
        unsafe {
            let mut key = run.from;
            loop {
                let count = KEYS.min(keys - key);
                if let Some(keep) = &d.dropout {
                    let to = (run.drawn, strip.row);
                    let buffer = run.drawn.add(KEYS * strip.row);
                    transposed(d, keep, run.head, (first, rows), (key, count), to, buffer);
                    let from = |r: usize| d.first(key + r).saturating_sub(first) / EIGHT * EIGHT;
                    for r in 0..count {
                        let (from, p) = (from(r), strip.at(key + r));
                        let n = rows.next_multiple_of(EIGHT) - from;
                        map2(p.add(from), run.drawn.add(r * strip.row + from), p.add(from), n, |x, f| x * f);
                    }
                }
                let start = if key == run.from {
                    Start::zero()
                } else {
                    Start { from: out, row: d.out_row(), add: core::ptr::null() }
                };
                let end = first as isize + d.shift() + 1 - key as isize;
                let product = Product {
                    left: Left { ptr: strip.at(key), row: 1, step: strip.row },
                    rows,
                    packed: run.values.add(values_at(d, key - run.from)),
                    cols: d.head_dim,
                    depth: KEYS.min(run.keys - key), // as packed; this block's rows may end earlier
                    start,
                    out,
                    out_row: d.out_row(),
                    wanted: Wanted::All,
                    steps: if d.causal { Steps::Ending(end) } else { Steps::All },
                };
                product.run(run.tile);
                key += count;
                if key >= keys {
                    break;
                }
            }
            for i in 0..rows {
                let (sum, row) = (*run.sums.add(i), out.wrapping_add(i * d.out_row()));
                if sum != 0.0 {
                    scale_row(row, row, d.head_dim, 1.0 / sum);
                }
            }
        }
    }
}

/// Where the packed values from `key` (a multiple of [`KEYS`], counted from the first) on begin.
fn values_at(d: &AttentionDims, key: usize) -> usize {
    key / KEYS * packed_len(KEYS, d.head_dim, MAX_NR)
}
