//! Scaled dot-product attention (opcodes 19 to 21; Vaswani et al., arXiv:1706.03762), forward and backward, by blocks:
//! `out = softmax(scale·Q·Kᵀ + visibility) · V` per head, with optional dropout on the probabilities.
//!
//! - `forward.rs`  out and the log-sum-exp of each row, by query blocks
//! - `backward.rs` dQ (and delta) by query blocks, dK and dV by key blocks, probabilities recomputed from the log-sum-exp
//! - `rows.rs`     the elementwise work on one row of scores
//! - `slices.rs`   safe functions on slices
//!
//! The full Tq x Tk matrix never exists: scratch holds one block of it. Masked and future entries are excluded, not made
//! very negative: their K and V may be NaN or infinite and change nothing. A row that sees no key gives zeros, a
//! log-sum-exp of −infinity, and no gradient. With `causal` the last query sees the last key (bottom right aligned).
//!
//! Numerics: f32; every element of out, dq, dk and dv is one chain over ascending keys (or queries), so neither block
//! sizes nor threads show in a bit.

mod backward;
mod forward;
mod rows;
mod slices;

pub use backward::{AttentionBackwardKv, AttentionBackwardQ};
pub use forward::Attention;
pub use slices::{attention_backward, attention_forward};

use crate::matmul::micro::{register_tile, Start, MAX_NR};
use crate::matmul::pack::{clear_steps, pack_columns, pack_rows, packed_len};
use crate::matmul::panels::{Left, Product, Steps, Wanted};
use crate::philox::Keep;

/// Sizes, strides and settings of attention. Strides are in elements: element (b, t, head, d) of q is
/// `q[b·q_batch + t·q_row + head·head_dim + d]`, likewise k and v; dq, dk and dv lie as q, k and v do. `out` and `dout` are
/// `[batch, tq, heads·head_dim]`, `lse` and `delta` `[batch, heads, tq]`.
#[derive(Clone, Copy, Debug)]
pub struct AttentionDims {
    /// Sequences.
    pub batch: usize,
    /// Queries per sequence.
    pub tq: usize,
    /// Keys (and values) per sequence.
    pub tk: usize,
    /// Elements from one query to the next.
    pub q_row: usize,
    /// Elements from one key to the next.
    pub k_row: usize,
    /// Elements from one value to the next.
    pub v_row: usize,
    /// Elements from one sequence's queries to the next one's.
    pub q_batch: usize,
    /// Elements from one sequence's keys to the next one's.
    pub k_batch: usize,
    /// Elements from one sequence's values to the next one's.
    pub v_batch: usize,
    /// Heads.
    pub heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Whether query i sees only the keys `..= i + tk − tq`.
    pub causal: bool,
    /// Factor of the scores, usually `1/√head_dim`.
    pub scale: f32,
    /// Dropout on the probabilities: probability (b, h, i, j) takes element `((b·heads + h)·tq + i)·tk + j`.
    pub dropout: Option<Keep>,
}

/// Rows of scores that one work item holds: with up to 512 columns 64 x 512 x 4 = 128 KiB, beside as much for packed K or V;
/// half the rows for longer sequences, so that both still share a 1 MiB second-level cache at 2048.
const fn block_rows(columns: usize) -> usize {
    if columns <= LONG {
        64
    } else {
        32
    }
}

const LONG: usize = 512;

/// Floats of a block of at most [`block_rows`] of `rows` rows, rounded up so that they grow with both dims: what the largest
/// extents need is then enough for all.
fn block_len(rows: usize, columns: usize) -> usize {
    let len = |columns: usize| block_rows(columns).min(rows) * Scores::row_len(columns);
    len(columns).max(len(columns.min(LONG)))
}

/// One head of one sequence.
#[derive(Clone, Copy)]
struct Head {
    b: usize,
    h: usize,
}

impl AttentionDims {
    /// Dims of contiguous q `[batch, tq, heads·head_dim]` and k, v `[batch, tk, heads·head_dim]`, scale `1/√head_dim`, no
    /// dropout.
    pub fn contiguous(batch: usize, tq: usize, tk: usize, heads: usize, head_dim: usize, causal: bool) -> Self {
        let c = heads * head_dim;
        Self {
            batch,
            tq,
            tk,
            q_row: c,
            k_row: c,
            v_row: c,
            q_batch: tq * c,
            k_batch: tk * c,
            v_batch: tk * c,
            heads,
            head_dim,
            causal,
            scale: 1.0 / (head_dim.max(1) as f32).sqrt(),
            dropout: None,
        }
    }

    /// Dims of q, k and v that are the thirds of one `[batch, t, 3·heads·head_dim]` buffer, otherwise as
    /// [`AttentionDims::contiguous`].
    pub fn packed_qkv(batch: usize, t: usize, heads: usize, head_dim: usize, causal: bool) -> Self {
        let row = 3 * heads * head_dim;
        let (q_row, k_row, v_row) = (row, row, row);
        let (q_batch, k_batch, v_batch) = (t * row, t * row, t * row);
        let same = Self::contiguous(batch, t, t, heads, head_dim, causal);
        Self { q_row, k_row, v_row, q_batch, k_batch, v_batch, ..same }
    }

    /// How far the diagonal is shifted: query i sees key i + shift last.
    fn shift(&self) -> isize {
        self.tk as isize - self.tq as isize
    }

    /// Keys `..end` are within query i's causal limit.
    fn end(&self, i: usize) -> usize {
        if self.causal {
            (i as isize + self.shift() + 1).clamp(0, self.tk as isize) as usize
        } else {
            self.tk
        }
    }

    /// Queries `first..` have key j within their causal limit.
    fn first(&self, j: usize) -> usize {
        if self.causal {
            (j as isize - self.shift()).clamp(0, self.tq as isize) as usize
        } else {
            0
        }
    }

    fn query_blocks(&self) -> usize {
        self.tq.div_ceil(block_rows(self.tk))
    }

    fn key_blocks(&self) -> usize {
        self.tk.div_ceil(block_rows(self.tq))
    }

    /// The head and the block of a tile; blocks run fastest.
    fn head(&self, tile: usize, blocks: usize) -> (Head, usize) {
        let head = tile / blocks;
        (Head { b: head / self.heads, h: head % self.heads }, tile % blocks)
    }

    fn q_at(&self, head: Head, i: usize) -> usize {
        head.b * self.q_batch + i * self.q_row + head.h * self.head_dim
    }

    fn k_at(&self, head: Head, j: usize) -> usize {
        head.b * self.k_batch + j * self.k_row + head.h * self.head_dim
    }

    fn v_at(&self, head: Head, j: usize) -> usize {
        head.b * self.v_batch + j * self.v_row + head.h * self.head_dim
    }

    /// Elements from row to row of out and dout.
    fn out_row(&self) -> usize {
        self.heads * self.head_dim
    }

    fn out_at(&self, head: Head, i: usize) -> usize {
        (head.b * self.tq + i) * self.out_row() + head.h * self.head_dim
    }

    fn lse_at(&self, head: Head, i: usize) -> usize {
        (head.b * self.heads + head.h) * self.tq + i
    }

    /// Dropout's element number of (query i, key 0).
    fn element(&self, head: Head, i: usize) -> u64 {
        self.lse_at(head, i) as u64 * self.tk as u64
    }

    /// This sequence's key mask, or null.
    fn mask_of(&self, key_mask: *const i32, head: Head) -> *const i32 {
        if key_mask.is_null() {
            key_mask
        } else {
            key_mask.wrapping_add(head.b * self.tk)
        }
    }
}

/// A block of scores in scratch: rows of `row` floats (a multiple of the widest panel).
#[derive(Clone, Copy)]
struct Scores {
    ptr: *mut f32,
    row: usize,
}

impl Scores {
    fn row_len(columns: usize) -> usize {
        columns.next_multiple_of(MAX_NR)
    }

    fn at(&self, row: usize) -> *mut f32 {
        self.ptr.wrapping_add(row * self.row)
    }
}

/// Floats that hold `count` rows of `head_dim` packed either way.
fn packing_len(count: usize, head_dim: usize) -> usize {
    packed_len(head_dim, count, MAX_NR).max(packed_len(count, head_dim, MAX_NR))
}

/// Rows of one head: `ptr` the first, `stride` elements from one to the next.
#[derive(Clone, Copy)]
struct Rows {
    ptr: *const f32,
    stride: usize,
    count: usize,
}

/// `scores[i, j] = left[i] · right[j]` over the head's width, where wanted.
///
/// # Safety
/// Rows readable for `head_dim`, `scores` writable for `left.count` rows, `packed` for [`packing_len`] of the right rows.
unsafe fn dot_rows(left: Rows, right: Rows, head_dim: usize, wanted: Wanted, scores: Scores, packed: *mut f32) {
    let tile = register_tile();
    // SAFETY: as promised by the caller.
    unsafe {
        pack_columns(right.ptr, right.stride, head_dim, right.count, tile.nr(), packed);
        let product = Product {
            left: Left { ptr: left.ptr, row: left.stride, step: 1 },
            rows: left.count,
            packed,
            cols: right.count,
            depth: head_dim,
            start: Start::zero(),
            out: scores.ptr,
            out_row: scores.row,
            wanted,
            steps: Steps::All,
        };
        product.run(tile);
    }
}

/// `out[i] = Σ_j scores[i, j] · right[j]` over each row's steps; right rows whose `keep` is 0 are never multiplied.
///
/// # Safety
/// As [`dot_rows`]; `keep` null or readable for the right rows; `out` writable for `rows` rows of `head_dim`.
unsafe fn mix_rows(
    scores: Scores,
    rows: usize,
    right: Rows,
    head_dim: usize,
    keep: *const i32,
    steps: Steps,
    (out, out_row): (*mut f32, usize),
    packed: *mut f32,
) {
    let tile = register_tile();
    // SAFETY: as promised by the caller.
    unsafe {
        pack_rows(right.ptr, right.stride, right.count, head_dim, tile.nr(), packed);
        if !keep.is_null() {
            clear_steps(packed, right.count, head_dim, tile.nr(), keep);
        }
        let product = Product {
            left: Left { ptr: scores.ptr, row: scores.row, step: 1 },
            rows,
            packed,
            cols: head_dim,
            depth: right.count,
            start: Start::zero(),
            out,
            out_row,
            wanted: Wanted::All,
            steps,
        };
        product.run(tile);
    }
}

#[cfg(test)]
mod naive;
#[cfg(test)]
mod tests;
