//! Sums: of columns, of rows, of everything, and the number of counted labels (opcodes 2, 6, 7, 27).

use crate::lanes::{columns_per_tile, load, pair, range, rows_per_tile, store, store_pair, sums};
use crate::tile::{blocks, Fault, TileOp};

/// Rows that are added to a column's sum while that is in a register.
const GROUP: usize = 4;

/// `out[c] = Σ_r x[r, c]`: one f32 chain over ascending rows per column, from 0 (bias gradients).
#[derive(Clone, Copy, Debug)]
pub struct ColumnSum {
    /// `[rows, cols]`
    pub x: *const f32,
    /// `[cols]`
    pub out: *mut f32,
    /// Rows.
    pub rows: usize,
    /// Columns.
    pub cols: usize,
}

impl ColumnSum {
    /// Adds `R` rows from `row` on to the sums of columns `start .. end`.
    ///
    /// # Safety
    /// The rows and columns exist.
    #[inline(always)]
    unsafe fn add_rows<const R: usize>(&self, row: usize, start: usize, end: usize) {
        let mut c = start;
        // SAFETY: row + r < rows, c + m <= end <= cols.
        unsafe {
            let rows: [*const f32; R] = core::array::from_fn(|r| self.x.add((row + r) * self.cols));
            while c + 16 <= end {
                let ((mut s0, mut s1), (mut s2, mut s3)) = (pair(self.out.add(c)), pair(self.out.add(c + 8)));
                for x in rows {
                    let ((x0, x1), (x2, x3)) = (pair(x.add(c)), pair(x.add(c).add(8)));
                    (s0, s1, s2, s3) = (s0 + x0, s1 + x1, s2 + x2, s3 + x3);
                }
                store_pair(s0, s1, self.out.add(c));
                store_pair(s2, s3, self.out.add(c + 8));
                c += 16;
            }
            while c < end {
                let m = (end - c).min(4);
                let sum = rows.iter().fold(load(self.out.add(c), m), |s, x| s + load(x.add(c), m));
                store(sum, self.out.add(c), m);
                c += m;
            }
        }
    }
}

impl TileOp for ColumnSum {
    fn tiles(&self) -> usize {
        blocks(self.cols, columns_per_tile(self.cols))
    }

    fn scratch_len(&self) -> usize {
        0
    }

    unsafe fn run_tile(&self, tile: usize, _scratch: *mut f32) -> Result<(), Fault> {
        let (start, end) = range(tile, columns_per_tile(self.cols), self.cols);
        // SAFETY: start <= end <= cols, row + GROUP <= rows.
        unsafe {
            core::ptr::write_bytes(self.out.add(start), 0, end - start);
            let mut row = 0;
            while row + GROUP <= self.rows {
                self.add_rows::<GROUP>(row, start, end);
                row += GROUP;
            }
            for row in row..self.rows {
                self.add_rows::<1>(row, start, end);
            }
        }
        Ok(())
    }
}

/// `out[r] = Σ_c x[r, c]`, f32 lanes in blocks of 256 that are added in f64.
#[derive(Clone, Copy, Debug)]
pub struct RowSum {
    /// `[rows, cols]`
    pub x: *const f32,
    /// `[rows]`
    pub out: *mut f32,
    /// Rows.
    pub rows: usize,
    /// Columns.
    pub cols: usize,
}

impl TileOp for RowSum {
    fn tiles(&self) -> usize {
        blocks(self.rows, rows_per_tile(self.cols))
    }

    fn scratch_len(&self) -> usize {
        0
    }

    unsafe fn run_tile(&self, tile: usize, _scratch: *mut f32) -> Result<(), Fault> {
        let (first, last) = range(tile, rows_per_tile(self.cols), self.rows);
        for row in first..last {
            // SAFETY: row < rows, i + m <= cols.
            unsafe {
                let x = self.x.add(row * self.cols);
                let [sum] = sums(self.cols, |i, m| [load(x.add(i), m)]);
                *self.out.add(row) = sum as f32;
            }
        }
        Ok(())
    }
}

/// `out[0] = scale·Σ x[i]`: one f64 chain over ascending `i`. One tile.
#[derive(Clone, Copy, Debug)]
pub struct SumAll {
    /// `[n]`
    pub x: *const f32,
    /// `[1]`
    pub out: *mut f32,
    /// Elements.
    pub n: usize,
    /// Factor of the sum (1/n for a mean).
    pub scale: f32,
}

impl TileOp for SumAll {
    fn tiles(&self) -> usize {
        1
    }

    fn scratch_len(&self) -> usize {
        0
    }

    unsafe fn run_tile(&self, _tile: usize, _scratch: *mut f32) -> Result<(), Fault> {
        let mut sum = 0.0f64;
        for i in 0..self.n {
            // SAFETY: i < n.
            sum += f64::from(unsafe { *self.x.add(i) });
        }
        // SAFETY: out holds one float.
        unsafe { *self.out = (sum * f64::from(self.scale)) as f32 };
        Ok(())
    }
}

/// `out[0]` = how many labels are not `ignore`; exact up to 2²⁴. One tile.
#[derive(Clone, Copy, Debug)]
pub struct CountLabels {
    /// `[n]`
    pub labels: *const i32,
    /// `[1]`
    pub out: *mut f32,
    /// Labels.
    pub n: usize,
    /// The label that does not count.
    pub ignore: i32,
}

impl TileOp for CountLabels {
    fn tiles(&self) -> usize {
        1
    }

    fn scratch_len(&self) -> usize {
        0
    }

    unsafe fn run_tile(&self, _tile: usize, _scratch: *mut f32) -> Result<(), Fault> {
        let mut count = 0u32;
        for i in 0..self.n {
            // SAFETY: i < n.
            count += u32::from(unsafe { *self.labels.add(i) } != self.ignore);
        }
        // SAFETY: out holds one float.
        unsafe { *self.out = count as f32 };
        Ok(())
    }
}

/// `out[c] = Σ_r x[r, c]`, `x` being `[rows, out.len()]`. # Panics if the lengths disagree.
pub fn column_sum(x: &[f32], out: &mut [f32], rows: usize) {
    let cols = out.len();
    assert_eq!(x.len(), rows * cols, "column_sum: x must be [rows, cols]");
    let op = ColumnSum { x: x.as_ptr(), out: out.as_mut_ptr(), rows, cols };
    // SAFETY: lengths checked.
    unsafe { crate::run_all(&op) }.expect("column_sum has no faults");
}

/// `out[r] = Σ_c x[r, c]`, `x` being `[out.len(), cols]`. # Panics if the lengths disagree.
pub fn row_sum(x: &[f32], out: &mut [f32], cols: usize) {
    let rows = out.len();
    assert_eq!(x.len(), rows * cols, "row_sum: x must be [rows, cols]");
    let op = RowSum { x: x.as_ptr(), out: out.as_mut_ptr(), rows, cols };
    // SAFETY: lengths checked.
    unsafe { crate::run_all(&op) }.expect("row_sum has no faults");
}

/// `scale·Σ x`.
pub fn sum_all(x: &[f32], scale: f32) -> f32 {
    let mut out = 0.0;
    // SAFETY: the slice holds n floats.
    unsafe { crate::run_all(&SumAll { x: x.as_ptr(), out: &mut out, n: x.len(), scale }) }
        .expect("sum_all has no faults");
    out
}

/// How many labels are not `ignore`.
pub fn count_labels(labels: &[i32], ignore: i32) -> f32 {
    let mut out = 0.0;
    let op = CountLabels { labels: labels.as_ptr(), out: &mut out, n: labels.len(), ignore };
    // SAFETY: the slice holds n labels.
    unsafe { crate::run_all(&op) }.expect("count_labels has no faults");
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lanes::TILE;
    use crate::testkit::{close, same_bits, Cases, Rng};

    fn shapes() -> Vec<(usize, usize)> {
        let mut shapes: Vec<(usize, usize)> = (0..=67).flat_map(|n| [(5, n), (n, 5)]).collect();
        shapes.extend([(1000, 33), (33, 1000), (3, TILE + 7), (TILE, 3), (257, 129), (1, 1)]);
        shapes
    }

    #[test]
    fn column_sums_are_one_ascending_chain() {
        let (mut rng, mut cases) = (Rng::new(1), Cases::new());
        for (rows, cols) in shapes() {
            let x = rng.normals(rows * cols);
            let mut out = vec![f32::NAN; cols];
            column_sum(&x, &mut out, rows);
            let chain = |c: usize| (0..rows).fold(0.0f32, |s, r| s + x[r * cols + c]);
            let want: Vec<f32> = (0..cols).map(chain).collect();
            cases.check(|| format!("{rows}x{cols}"), same_bits(&out, &want));
        }
        cases.finish();
    }

    #[test]
    fn row_sums_equal_f64_sums() {
        let (mut rng, mut cases) = (Rng::new(2), Cases::new());
        for (rows, cols) in shapes() {
            let x = rng.normals(rows * cols);
            let mut out = vec![f32::NAN; rows];
            row_sum(&x, &mut out, cols);
            let row = |r: usize| x[r * cols..(r + 1) * cols].iter().map(|&v| v as f64).sum::<f64>();
            let want: Vec<f64> = (0..rows).map(row).collect();
            let bound = 1e-7 * (cols as f64 + 1.0);
            cases.check(|| format!("{rows}x{cols}"), close(&out, &want, bound, 1e-7));
        }
        cases.finish();
    }

    #[test]
    fn totals_are_f64_chains() {
        let mut rng = Rng::new(3);
        for n in (0..=67).chain([4095, 4096, 100_000]) {
            let x = rng.normals(n);
            let want = x.iter().fold(0.0f64, |s, &v| s + v as f64);
            assert_eq!(sum_all(&x, 1.0), want as f32, "n {n}");
            assert_eq!(sum_all(&x, 0.25), (want * 0.25) as f32, "n {n}");
        }
        assert_eq!(sum_all(&[1e8, 1.0, -1e8], 1.0), 1.0); // f32 would give 0
    }

    #[test]
    fn labels_are_counted_except_the_ignored() {
        for n in 0..=67usize {
            let labels: Vec<i32> = (0..n as i32).map(|i| if i % 3 == 0 { -100 } else { i }).collect();
            assert_eq!(count_labels(&labels, -100), (n - n.div_ceil(3)) as f32);
            assert_eq!(count_labels(&labels, -1), n as f32);
        }
    }
}
