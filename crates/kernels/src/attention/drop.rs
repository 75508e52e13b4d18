//! Dropout's factors of a block of probabilities, as rows of queries and transposed.

use super::{AttentionDims, Head};
use crate::philox::Keep;
use simd::{F32x4, LANES};

/// Floats that [`factors`] writes for a row of `n`.
pub(super) const fn factors_len(n: usize) -> usize {
    n + 32
}

/// Dropout's factors of the `n` elements from `first` on. Returns where they begin inside `buffer`; at least three more
/// floats follow them.
///
/// # Safety
/// `buffer` writable for [`factors_len`] of `n`.
#[inline(never)]
pub(super) unsafe fn factors(keep: &Keep, first: u64, n: usize, buffer: *mut f32) -> *mut f32 {
    let (block, lead) = (first / 4, (first % 4) as usize);
    for at in (0..lead + n).step_by(16) {
        for (v, factors) in keep.factors16(block + at as u64 / 4).into_iter().enumerate() {
            // SAFETY: at + 16 <= lead + n + 15 <= n + 18.
            unsafe { factors.store(buffer.add(at + 4 * v)) };
        }
    }
    buffer.wrapping_add(lead)
}

/// Floats of the buffer that [`transposed`] needs for `keys`.
pub(super) const fn transposed_len(keys: usize) -> usize {
    LANES * factors_len(keys)
}

/// `out[j·row + i]` = the factor of (query `first_query + i`, key `first_key + j`), where that query may see the key within its
/// causal limit; other entries hold anything.
///
/// # Safety
/// `out` writable for `keys` rows of `queries` rounded up to four floats, `buffer` for [`transposed_len`] of `keys`.
#[inline(never)]
pub(super) unsafe fn transposed(
    d: &AttentionDims,
    keep: &Keep,
    head: Head,
    (first_query, queries): (usize, usize),
    (first_key, keys): (usize, usize),
    (out, row): (*mut f32, usize),
    buffer: *mut f32,
) {
    for i in (0..queries).step_by(LANES) {
        let last = first_query + queries.min(i + LANES) - 1;
        let seen = d.end(last).saturating_sub(first_key).min(keys);
        // SAFETY (whole body): a query beyond the last repeats the last, whose column is never read.
        unsafe {
            let drawn: [*mut f32; LANES] = core::array::from_fn(|lane| {
                let query = last.min(first_query + i + lane);
                let to = buffer.add(lane * factors_len(keys));
                factors(keep, d.element(head, query) + first_key as u64, seen, to)
            });
            for j in (0..seen).step_by(LANES) {
                let columns = F32x4::transpose4(drawn.map(|factors| F32x4::load(factors.add(j))));
                for (t, column) in columns.into_iter().enumerate().take(keys - j) {
                    column.store(out.add((j + t) * row + i));
                }
            }
        }
    }
}
