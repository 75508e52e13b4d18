//! Scaled dot-product attention (opcodes 19 to 21 and 40; Vaswani et al., arXiv:1706.03762), forward and backward, by blocks:
//! `out = softmax(scale·Q·Kᵀ + visibility) · V` per head, with optional dropout on the probabilities.
//!
//! - `forward.rs`   out and the log-sum-exp of each row, by blocks of queries; `few.rs` the same for one to three queries
//! - `backward.rs`  dQ, dK and dV, a head at a time or by queries and by keys; `rectangle.rs` the work on one block of scores
//! - `strip.rs`     softmax on transposed scores
//! - `drop.rs`      dropout's factors of a block
//! - `visibility.rs` masks and first keys
//! - `slices.rs`    safe functions on slices
//!
//! The full Tq x Tk matrix never exists: scratch holds one block of it, transposed (a row per key, a column per query), which makes
//! the work of eight queries plain vector operations. Masked and future entries are excluded, not made
//! very negative: their K and V may be NaN or infinite and change nothing. A row that sees no key gives zeros, a
//! log-sum-exp of −infinity, and no gradient. With `causal` the last query sees the last key (bottom right aligned).
//!
//! Numerics: f32; queries are scaled before they are multiplied; every element of out, dq, dk and dv is one chain over ascending
//! keys (or queries), so neither block sizes nor the cut of the work nor threads show in a bit.

mod backward;
mod drop;
mod few;
mod forward;
mod rectangle;
mod slices;
mod strip;
mod visibility;

pub use backward::{AttentionBackward, AttentionBackwardKv, AttentionBackwardQ};
pub use forward::Attention;
pub use rectangle::BackwardInputs;
pub use slices::{attention_backward, attention_forward, Limits};
pub use visibility::Visibility;

use crate::lanes::map1;
use crate::matmul::pack::pack_columns;
use crate::philox::Keep;
use simd::F32x4;

/// Sizes, strides and settings of attention. Strides are in elements: element (b, t, head, d) of q is
/// `q[b·q_batch + t·q_row + head·head_dim + d]`, likewise k and v; dq, dk and dv lie as q, k and v do. `out` and `dout` are
/// `[batch, tq, heads·head_dim]`, `lse` and `delta` `[batch, heads, tq]`. Head h reads head `h / (heads / kv_heads)` of k and v
/// (Ainslie et al., arXiv:2305.13245), whose rows are `kv_heads·head_dim` wide.
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
    /// Heads of k and v; divides `heads`.
    pub kv_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Whether query i sees only the keys `..= i + tk − tq`.
    pub causal: bool,
    /// Factor of the scores, usually `1/√head_dim`.
    pub scale: f32,
    /// Dropout on the probabilities: probability (b, h, i, j) takes element `((b·heads + h)·tq + i)·tk + j`.
    pub dropout: Option<Keep>,
}

/// Keys of forward that are worked on at a time: V's panels (128 x 16 x 4 = 8 KiB) stay in a first-level cache.
const KEYS: usize = 128;

/// Exponentials that are added in f32 one by one; what comes after begins a new part.
const SUM_KEYS: usize = 64;

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
            kv_heads: heads,
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

    /// Dims of k and v with fewer heads than q, contiguous, otherwise as [`AttentionDims::contiguous`].
    pub fn grouped(
        batch: usize,
        tq: usize,
        tk: usize,
        [heads, kv_heads]: [usize; 2],
        head_dim: usize,
        causal: bool,
    ) -> Self {
        let (row, pitch) = (kv_heads * head_dim, tk * kv_heads * head_dim);
        let same = Self::contiguous(batch, tq, tk, heads, head_dim, causal);
        Self { kv_heads, k_row: row, v_row: row, k_batch: pitch, v_batch: pitch, ..same }
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

    fn head(&self, index: usize) -> Head {
        Head { b: index / self.heads, h: index % self.heads }
    }

    /// Heads that share one head of k and v.
    fn group(&self) -> usize {
        self.heads / self.kv_heads
    }

    /// The first of the heads that share head `index` of k and v, counted over all sequences.
    fn group_head(&self, index: usize) -> Head {
        self.head(index * self.group())
    }

    fn q_at(&self, head: Head, i: usize) -> usize {
        head.b * self.q_batch + i * self.q_row + head.h * self.head_dim
    }

    fn k_at(&self, head: Head, j: usize) -> usize {
        head.b * self.k_batch + j * self.k_row + head.h / self.group() * self.head_dim
    }

    fn v_at(&self, head: Head, j: usize) -> usize {
        head.b * self.v_batch + j * self.v_row + head.h / self.group() * self.head_dim
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

/// Packs `scale·x`, transposed: `count` rows of `width` become the columns of a product, zeros up to a whole panel
/// of `nr`.
///
/// # Safety
/// `x` readable for `count` rows `row` apart, `packed` writable for `packed_len(width, count, MAX_NR)`.
#[inline(never)]
unsafe fn pack_scaled_columns(
    x: *const f32,
    row: usize,
    width: usize,
    count: usize,
    scale: f32,
    nr: usize,
    packed: *mut f32,
) {
    let scale = F32x4::splat(scale);
    // SAFETY: as promised by the caller.
    unsafe {
        pack_columns(x, row, width, count, nr, packed);
        map1(packed, strip::apart(packed), count.next_multiple_of(nr) * width, |x| x * scale);
    }
}

#[cfg(test)]
mod naive;
#[cfg(test)]
mod tests;
