//! What queries may see beside the causal limit: masks of keys, masks of (query, key) pairs, and a first key for each query (documents
//! that lie behind each other in one row). Excluded scores become minus infinity before the softmax and exact zeros in backward.
//!
//! A query whose first key is s has the bits it would have in a sequence that begins at s: the sum of its exponentials is parted into
//! [`SUM_KEYS`] from s on, and everything else is a chain in which excluded keys (and queries) are exact zeros or do not appear.

use super::strip::Strip;
use super::{AttentionDims, Head, SUM_KEYS};
use crate::lanes::load;
use simd::{F32x4, I32x4, LANES};

/// What restricts the keys a query sees; null where nothing does.
#[derive(Clone, Copy, Debug)]
pub struct Visibility {
    /// `[batch, tk]`, 0 drops the key; or null.
    pub key_mask: *const i32,
    /// `[masks, tq, tk]`, added to the scaled scores; minus infinity leaves a pair out, whatever its score is. Or null. A key and a value
    /// that this or a start leaves out are still multiplied by 0 for a query beside others that see them: they have to be finite.
    pub mask: *const f32,
    /// 1 (for all), `batch` or `batch·heads`.
    pub masks: usize,
    /// `[batch, tq]`: the first key of each query; any number, one beyond the last key leaves it none. Or null.
    pub starts: *const i32,
}

impl Visibility {
    /// No restriction.
    pub const ALL: Self =
        Self { key_mask: core::ptr::null(), mask: core::ptr::null(), masks: 0, starts: core::ptr::null() };

    /// Whether keys are dropped for all queries of a sequence or not at all.
    pub(super) fn is_plain(&self) -> bool {
        self.mask.is_null() && self.starts.is_null()
    }

    /// The starts of four queries from `first` on, a query beyond the last of `count` as the last; negative ones are 0.
    #[inline(always)]
    unsafe fn four(&self, d: &AttentionDims, head: Head, first: usize, count: usize) -> [i32; LANES] {
        // SAFETY: queries below tq.
        [0, 1, 2, 3].map(|lane| unsafe {
            if self.starts.is_null() {
                0
            } else {
                (*self.starts.add(head.b * d.tq + first + lane.min(count - 1))).max(0)
            }
        })
    }

    /// The least and the greatest start of some queries, at most `tk`; zeros without starts.
    ///
    /// # Safety
    /// `starts` as [`Visibility`] says, queries below `tq`.
    #[inline(never)]
    pub(super) unsafe fn range(&self, d: &AttentionDims, b: usize, (first, count): (usize, usize)) -> (usize, usize) {
        if self.starts.is_null() {
            return (0, 0);
        }
        let (mut least, mut most) = (d.tk, 0);
        for i in first..first + count {
            // SAFETY: i < tq.
            let start = unsafe { *self.starts.add(b * d.tq + i) }.max(0) as usize;
            (least, most) = (least.min(start), most.max(start));
        }
        (least, most)
    }

    /// Adds the mask to the scores of some queries (columns) by some keys (rows of `s`), with minus infinity for every pair that it or a
    /// start leaves out; there `dp`, laid out as `s`, becomes 0 (null: none).
    ///
    /// # Safety
    /// Operands as [`Visibility`] says; the strips valid for `keys` rows of `queries` rounded up to four floats.
    #[inline(never)]
    pub(super) unsafe fn exclude(
        &self,
        d: &AttentionDims,
        head: Head,
        (first, queries): (usize, usize),
        (key, keys): (usize, usize),
        s: Strip,
        dp: *mut f32,
    ) {
        let lowest = F32x4::splat(f32::NEG_INFINITY);
        // SAFETY (whole body): queries below tq, keys below tk.
        unsafe {
            if self.mask.is_null() && self.range(d, head.b, (first, queries)).1 <= key {
                return;
            }
            let of_mask = match self.masks {
                masks if masks == d.batch * d.heads => head.b * d.heads + head.h,
                masks if masks == d.batch => head.b,
                _ => 0,
            };
            for i in (0..queries).step_by(LANES) {
                let starts = I32x4::from_array(self.four(d, head, first + i, queries - i));
                let row = |lane: usize| of_mask * d.tq + first + (i + lane).min(queries - 1);
                let rows = [0, 1, 2, 3].map(|lane| self.mask.wrapping_add(row(lane) * d.tk + key));
                for j in (0..keys).step_by(LANES) {
                    let count = LANES.min(keys - j);
                    let mut columns = [F32x4::zero(); LANES];
                    if !self.mask.is_null() {
                        columns = F32x4::transpose4(rows.map(|row| load(row.wrapping_add(j), count)));
                    }
                    for (t, column) in columns.into_iter().enumerate().take(count) {
                        let at = s.at(j + t).add(i);
                        let out = I32x4::splat((key + j + t) as i32).lt(starts) | column.eq(lowest);
                        F32x4::select(out, lowest, F32x4::load(at) + column).store(at);
                        if !dp.is_null() {
                            let at = dp.add((j + t) * s.row + i);
                            F32x4::select(out, F32x4::zero(), F32x4::load(at)).store(at);
                        }
                    }
                }
            }
        }
    }

    /// The sums of the exponentials of the queries `first ..` (`count` of them, at most eight are looked at) once more, where their parts
    /// do not begin with `from`: those of a query begin with its first key. `e` is the strip from column `first` on; its keys are `from .. seen`.
    ///
    /// # Safety
    /// `e` readable for eight floats at each of these keys, `sums` valid for eight; operands as [`Visibility`] says.
    #[inline(never)]
    pub(super) unsafe fn sums(
        &self,
        d: &AttentionDims,
        head: Head,
        (first, count): (usize, usize),
        (from, seen): (usize, usize),
        e: Strip,
        sums: *mut f32,
    ) {
        for i in (0..count.min(2 * LANES)).step_by(LANES) {
            let within = I32x4::splat(SUM_KEYS as i32 - 1);
            // SAFETY (whole body): as promised by the caller.
            unsafe {
                let starts = I32x4::from_array(self.four(d, head, first + i, count - i));
                if ((I32x4::splat(from as i32) - starts) & within).eq(I32x4::zero()).all() {
                    continue;
                }
                let (mut total, mut part) = (F32x4::zero(), F32x4::zero());
                for j in from..seen {
                    let begins = ((I32x4::splat(j as i32) - starts) & within).eq(I32x4::zero());
                    total = F32x4::select(begins, total + part, total);
                    part = F32x4::select(begins, F32x4::zero(), part) + F32x4::load(e.at(j).add(i));
                }
                (total + part).store(sums.add(i));
            }
        }
    }
}

const _: () = assert!(SUM_KEYS.is_power_of_two());
