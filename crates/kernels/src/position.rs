//! Position tables: adding one to a batch of sequences and its gradient (opcodes 16 and 17), and the sinusoidal table.

use crate::init::NormalStream;
use crate::lanes::{map2, range, rows_per_tile};
use crate::scalar_math;
use crate::tile::{blocks, Fault, FaultCode, TileOp};

/// Refuses sequences that run past the table, naming the first row and position that do.
pub(crate) fn check(position: usize, time: usize, table_rows: usize) -> Result<(), Fault> {
    if position + time <= table_rows {
        return Ok(());
    }
    let first = table_rows.max(position);
    Err(Fault { code: FaultCode::PositionOutOfRange, at: (first - position) as u32, value: first as i32 })
}

/// `indices[b]`, which must lie in `0..limit`, or `own` where there are none.
///
/// # Safety
/// `indices` null or readable at `b`.
#[inline(always)]
pub(crate) unsafe fn index_at(indices: *const i32, b: usize, own: usize, limit: usize) -> Result<usize, Fault> {
    if indices.is_null() {
        return Ok(own);
    }
    // SAFETY: promised by the caller.
    let value = unsafe { *indices.add(b) };
    if value < 0 || value as usize >= limit {
        return Err(Fault { code: FaultCode::PositionOutOfRange, at: b as u32, value });
    }
    Ok(value as usize)
}

/// `out[b, t] = x[b, t] + table[position + t]`, or `table[positions[b] + t]`. `out` may be `x`. A position beyond the table is a
/// [`FaultCode::PositionOutOfRange`].
#[derive(Clone, Copy, Debug)]
pub struct AddPosition {
    /// `[batch, time, cols]`
    pub x: *const f32,
    /// `[table_rows, cols]`
    pub table: *const f32,
    /// `[batch]`: the position of each sequence's first step, or null (`position`)
    pub positions: *const i32,
    /// `[batch, time, cols]`
    pub out: *mut f32,
    /// Sequences.
    pub batch: usize,
    /// Steps of a sequence.
    pub time: usize,
    /// Features.
    pub cols: usize,
    /// Position of the first step.
    pub position: usize,
    /// Rows of the table.
    pub table_rows: usize,
}

impl TileOp for AddPosition {
    fn tiles(&self) -> usize {
        blocks(self.batch * self.time, rows_per_tile(self.cols))
    }

    fn scratch_len(&self) -> usize {
        0
    }

    unsafe fn run_tile(&self, tile: usize, _scratch: *mut f32) -> Result<(), Fault> {
        check(self.position, self.time, self.table_rows)?;
        let (first, last) = range(tile, rows_per_tile(self.cols), self.batch * self.time);
        let limit = self.table_rows + 1 - self.time;
        for row in first..last {
            // SAFETY: row < batch·time, table_row < table_rows as checked.
            unsafe {
                let table_row = index_at(self.positions, row / self.time, self.position, limit)? + row % self.time;
                let (x, out) = (self.x.add(row * self.cols), self.out.add(row * self.cols));
                map2(x, self.table.add(table_row * self.cols), out, self.cols, |x, p| x + p);
            }
        }
        Ok(())
    }
}

/// `dtable[position + t] = Σ_b dy[b, t]` over ascending `b`; every other row of the table gets 0.
#[derive(Clone, Copy, Debug)]
pub struct AddPositionBackward {
    /// `[batch, time, cols]`
    pub dy: *const f32,
    /// `[table_rows, cols]`
    pub dtable: *mut f32,
    /// Sequences.
    pub batch: usize,
    /// Steps of a sequence.
    pub time: usize,
    /// Features.
    pub cols: usize,
    /// Position of the first step.
    pub position: usize,
    /// Rows of the table.
    pub table_rows: usize,
}

impl AddPositionBackward {
    fn height(&self) -> usize {
        rows_per_tile(self.cols * self.batch.max(1))
    }
}

impl TileOp for AddPositionBackward {
    fn tiles(&self) -> usize {
        blocks(self.table_rows, self.height())
    }

    fn scratch_len(&self) -> usize {
        0
    }

    unsafe fn run_tile(&self, tile: usize, _scratch: *mut f32) -> Result<(), Fault> {
        check(self.position, self.time, self.table_rows)?;
        let (first, last) = range(tile, self.height(), self.table_rows);
        for row in first..last {
            // SAFETY: row < table_rows, t < time, b < batch.
            unsafe {
                let d = self.dtable.add(row * self.cols);
                core::ptr::write_bytes(d, 0, self.cols);
                if row < self.position || row >= self.position + self.time {
                    continue;
                }
                for b in 0..self.batch {
                    let dy = self.dy.add((b * self.time + row - self.position) * self.cols);
                    map2(d, dy, d, self.cols, |d, dy| d + dy);
                }
            }
        }
        Ok(())
    }
}

/// `out = x + table[position ..]` for every sequence; `x` and `out` are `[batch, time, cols]`. # Panics if lengths disagree.
pub fn add_position(
    x: &[f32],
    table: &[f32],
    out: &mut [f32],
    [batch, time, cols]: [usize; 3],
    position: usize,
    table_rows: usize,
) -> Result<(), Fault> {
    assert!(
        x.len() == batch * time * cols && out.len() == x.len(),
        "add_position: x and out must be [batch, time, cols]"
    );
    assert_eq!(table.len(), table_rows * cols, "add_position: table must be [table_rows, cols]");
    let op = AddPosition {
        x: x.as_ptr(),
        table: table.as_ptr(),
        positions: core::ptr::null(),
        out: out.as_mut_ptr(),
        batch,
        time,
        cols,
        position,
        table_rows,
    };
    // SAFETY: lengths checked.
    unsafe { crate::run_all(&op) }
}

/// Gradient of [`add_position`] with respect to the table. # Panics if lengths disagree.
pub fn add_position_backward(
    dy: &[f32],
    dtable: &mut [f32],
    [batch, time, cols]: [usize; 3],
    position: usize,
    table_rows: usize,
) -> Result<(), Fault> {
    assert_eq!(dy.len(), batch * time * cols, "add_position_backward: dy must be [batch, time, cols]");
    assert_eq!(dtable.len(), table_rows * cols, "add_position_backward: dtable must be [table_rows, cols]");
    let op =
        AddPositionBackward { dy: dy.as_ptr(), dtable: dtable.as_mut_ptr(), batch, time, cols, position, table_rows };
    // SAFETY: lengths checked.
    unsafe { crate::run_all(&op) }
}

/// The sinusoidal table of "Attention is all you need" (arXiv:1706.03762, section 3.5), `[out.len() / cols, cols]`:
/// `out[p, 2i] = sin(p / 10000^(2i/cols))`, `out[p, 2i+1] = cos` of the same angle, plus `noise` times a standard normal of the
/// stream (`noise` 0: none). The same bits on every engine. Error 1e-7. # Panics if `cols` does not divide the length.
pub fn fill_sinusoidal(out: &mut [f32], cols: usize, noise: f64, seed: [u32; 2], path: [u32; 2]) {
    assert!(cols > 0 && out.len().is_multiple_of(cols), "sinusoidal table: the length must be rows of cols");
    let ln_10000 = scalar_math::ln(10_000.0);
    for i in 0..cols.div_ceil(2) {
        let frequency = scalar_math::exp(-((2 * i) as f64 / cols as f64) * ln_10000);
        for (p, row) in out.chunks_exact_mut(cols).enumerate() {
            let (sine, cosine) = scalar_math::sin_cos(p as f64 * frequency);
            row[2 * i] = sine as f32;
            if 2 * i + 1 < cols {
                row[2 * i + 1] = cosine as f32;
            }
        }
    }
    if noise != 0.0 {
        let normals = NormalStream::new(seed, path);
        for (block, four) in out.chunks_mut(4).enumerate() {
            for (v, e) in four.iter_mut().zip(normals.block(block as u64)) {
                *v = (f64::from(*v) + noise * e) as f32;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::{close, same_bits, Cases, Rng};

    #[test]
    fn forward_and_backward_equal_scalar_sums() {
        let (mut rng, mut cases) = (Rng::new(1), Cases::new());
        let widths = (0..=67).map(|c| (3usize, 4usize, c)).chain([
            (0, 4, 3),
            (2, 0, 3),
            (1, 1, 1),
            (9, 300, 65),
            (2, 3, 20_000),
        ]);
        for (batch, time, cols) in widths {
            for (position, rows) in [(0, time), (0, time + 3), (2, time + 2), (1, time + 5)] {
                let (x, table) = (rng.normals(batch * time * cols), rng.normals(rows * cols));
                let mut out = vec![f32::NAN; x.len()];
                add_position(&x, &table, &mut out, [batch, time, cols], position, rows).unwrap();
                let at = |i: usize| (position + i / cols % time) * cols + i % cols;
                let want: Vec<f32> = (0..x.len()).map(|i| x[i] + table[at(i)]).collect();
                cases.check(|| format!("{batch}x{time}x{cols} at {position} of {rows}"), same_bits(&out, &want));
                let mut d = vec![f32::NAN; table.len()];
                add_position_backward(&x, &mut d, [batch, time, cols], position, rows).unwrap();
                let mut want = vec![0.0f32; table.len()];
                (0..x.len()).for_each(|i| want[at(i)] += x[i]);
                cases.check(|| format!("backward {batch}x{time}x{cols} at {position} of {rows}"), same_bits(&d, &want));
            }
        }
        cases.finish();
    }

    #[test]
    fn each_sequence_may_have_a_position_of_its_own() {
        let (mut rng, mut cases) = (Rng::new(2), Cases::new());
        for (time, cols, rows) in [(1usize, 5usize, 4usize), (3, 8, 9), (2, 67, 2), (1, 20_000, 3)] {
            let (x, table) = (rng.normals(3 * time * cols), rng.normals(rows * cols));
            let positions: Vec<i32> = (0..3).map(|_| rng.below(rows - time + 1) as i32).collect();
            let mut out = vec![f32::NAN; x.len()];
            let op = |positions: &[i32], out: &mut [f32]| AddPosition {
                x: x.as_ptr(),
                table: table.as_ptr(),
                positions: positions.as_ptr(),
                out: out.as_mut_ptr(),
                batch: 3,
                time,
                cols,
                position: 0,
                table_rows: rows,
            };
            // SAFETY: all lengths are those of the dims.
            unsafe { crate::testkit::run_reversed(&op(&positions, &mut out)) }.unwrap();
            let want: Vec<f32> = (x.chunks(time * cols).zip(&positions))
                .flat_map(|(x, &at)| x.iter().zip(&table[at as usize * cols..]).map(|(x, p)| x + p))
                .collect();
            cases.check(|| format!("{time}x{cols} of {rows}"), same_bits(&out, &want));
            for value in [-1, (rows - time + 1) as i32] {
                // SAFETY: as above.
                let fault = unsafe { crate::run_all(&op(&[0, value, 0], &mut out)) }.unwrap_err();
                assert_eq!(fault, Fault { code: FaultCode::PositionOutOfRange, at: 1, value });
            }
        }
        cases.finish();
    }

    #[test]
    fn positions_beyond_the_table_are_named() {
        let fault = |at, value| Err(Fault { code: FaultCode::PositionOutOfRange, at, value });
        assert_eq!(add_position(&[0.0; 6], &[0.0; 4], &mut [0.0; 6], [1, 3, 2], 0, 2), fault(2, 2));
        assert_eq!(add_position(&[0.0; 6], &[0.0; 4], &mut [0.0; 6], [1, 3, 2], 5, 2), fault(0, 5));
        assert_eq!(add_position_backward(&[0.0; 6], &mut [0.0; 6], [1, 3, 2], 1, 3), fault(2, 3));
    }

    #[test]
    fn the_sinusoidal_table_follows_the_paper() {
        for (rows, cols) in [(1usize, 1usize), (5, 2), (7, 3), (64, 48), (1024, 128), (0, 4)] {
            let mut out = vec![f32::NAN; rows * cols];
            fill_sinusoidal(&mut out, cols, 0.0, [0, 0], [0, 0]);
            let want: Vec<f64> = (0..rows * cols)
                .map(|j| {
                    let (p, c) = ((j / cols) as f64, j % cols);
                    let angle = p / 10_000f64.powf((c / 2 * 2) as f64 / cols as f64);
                    if c % 2 == 0 {
                        angle.sin()
                    } else {
                        angle.cos()
                    }
                })
                .collect();
            close(&out, &want, 1e-7, 0.0).unwrap_or_else(|e| panic!("{rows}x{cols}: {e}"));
        }
    }

    #[test]
    fn noise_has_its_size_and_its_seed() {
        let table = |noise: f64, seed: u32| {
            let mut out = vec![0.0; 200 * 50];
            fill_sinusoidal(&mut out, 50, noise, [seed, 0], [1, 2]);
            out
        };
        let (plain, noisy) = (table(0.0, 1), table(0.02, 1));
        let n = plain.len() as f64;
        let deviation: Vec<f64> = noisy.iter().zip(&plain).map(|(&a, &b)| a as f64 - b as f64).collect();
        let mean = deviation.iter().sum::<f64>() / n;
        let std = (deviation.iter().map(|d| d * d).sum::<f64>() / n).sqrt();
        assert!(mean.abs() < 1e-3 && (std - 0.02).abs() < 1e-3, "mean {mean} std {std}");
        assert_eq!(noisy, table(0.02, 1));
        assert_ne!(noisy, table(0.02, 2));
    }
}
