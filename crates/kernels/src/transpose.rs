//! Swaps the last two axes (opcode 34): `out[b, j, i] = x[b, i, j]`.

use crate::lanes::{load, range, store, TILE};
use crate::tile::{blocks, Fault, TileOp};
use simd::F32x4;

/// `[batch, m, n]` to `[batch, n, m]`.
#[derive(Clone, Copy, Debug)]
pub struct Transpose {
    /// `[batch, m, n]`
    pub x: *const f32,
    /// `[batch, n, m]`
    pub out: *mut f32,
    /// Matrices.
    pub batch: usize,
    /// Rows of `x`.
    pub m: usize,
    /// Columns of `x`.
    pub n: usize,
}

impl Transpose {
    /// Columns of `x` (rows of the result) that one tile takes: a multiple of four.
    fn width(&self) -> usize {
        (TILE / self.m.max(1) / 4).max(1) * 4
    }
}

impl TileOp for Transpose {
    fn tiles(&self) -> usize {
        if self.m == 0 {
            return 0;
        }
        self.batch * blocks(self.n, self.width())
    }

    fn scratch_len(&self) -> usize {
        0
    }

    unsafe fn run_tile(&self, tile: usize, _scratch: *mut f32) -> Result<(), Fault> {
        let across = blocks(self.n, self.width());
        let (start, end) = range(tile % across, self.width(), self.n);
        let matrix = tile / across * self.m * self.n;
        // SAFETY: i + rows <= m and j + cols <= n in every block of four by four.
        unsafe {
            let (x, out) = (self.x.add(matrix), self.out.add(matrix));
            for j in (start..end).step_by(4) {
                for i in (0..self.m).step_by(4) {
                    let (x, out) = (x.add(i * self.n + j), out.add(j * self.m + i));
                    let (rows, cols) = ((self.m - i).min(4), (end - j).min(4));
                    if rows == 4 && cols == 4 {
                        self.block(x, out, 4, 4);
                    } else {
                        self.block(x, out, rows, cols);
                    }
                }
            }
        }
        Ok(())
    }
}

impl Transpose {
    /// Transposes a block of `rows` by `cols`, at most four each.
    ///
    /// # Safety
    /// The block lies inside both matrices.
    #[inline(always)]
    unsafe fn block(&self, x: *const f32, out: *mut f32, rows: usize, cols: usize) {
        let mut lines = [[0.0; 4]; 4];
        // SAFETY: promised by the caller.
        unsafe {
            for r in 0..rows {
                lines[r] = load(x.add(r * self.n), cols).to_array();
            }
            for c in 0..cols {
                let column = F32x4::from_array([lines[0][c], lines[1][c], lines[2][c], lines[3][c]]);
                store(column, out.add(c * self.m), rows);
            }
        }
    }
}

/// `out[b, j, i] = x[b, i, j]`. # Panics if a length is not `batch·m·n`.
pub fn transpose(x: &[f32], out: &mut [f32], batch: usize, m: usize, n: usize) {
    assert!(x.len() == batch * m * n && out.len() == x.len(), "transpose: x and out must have batch·m·n elements");
    let op = Transpose { x: x.as_ptr(), out: out.as_mut_ptr(), batch, m, n };
    // SAFETY: lengths checked.
    unsafe { crate::run_all(&op) }.expect("transpose has no faults");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::{same_bits, Cases, Rng};

    #[test]
    fn every_shape_is_transposed() {
        let (mut rng, mut cases) = (Rng::new(1), Cases::new());
        let mut shapes: Vec<(usize, usize, usize)> = (0..=19).flat_map(|m| (0..=19).map(move |n| (2, m, n))).collect();
        shapes.extend((20..=67).flat_map(|k| [(1, k, 5), (3, 5, k)]));
        shapes.extend([(1, 300, 130), (1, 1, 20_000), (1, 20_000, 1), (1, 20_000, 6), (0, 3, 3)]);
        for (batch, m, n) in shapes {
            let x = rng.normals(batch * m * n);
            let mut out = vec![f32::NAN; x.len()];
            transpose(&x, &mut out, batch, m, n);
            let mut want = vec![0.0; x.len()];
            for b in 0..batch {
                for i in 0..m {
                    for j in 0..n {
                        want[(b * n + j) * m + i] = x[(b * m + i) * n + j];
                    }
                }
            }
            cases.check(|| format!("{batch}x{m}x{n}"), same_bits(&out, &want));
        }
        cases.finish();
    }
}
