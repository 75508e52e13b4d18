//! Copies rows between strided layouts (opcode 32): writing into a KV cache, taking a slice of [B, T, 3C], the last step of a sequence.

use crate::lanes::{range, rows_per_tile};
use crate::tile::{blocks, Fault, TileOp};

/// `dst[dst_offset + b·dst_batch + t·dst_row + c] = src[src_offset + b·src_batch + t·src_row + c]`; strides and offsets in elements.
#[derive(Clone, Copy, Debug)]
pub struct CopyRows {
    /// Source.
    pub src: *const f32,
    /// Destination; rows of it never overlap each other nor the source.
    pub dst: *mut f32,
    /// Sequences.
    pub batch: usize,
    /// Rows of a sequence.
    pub time: usize,
    /// Elements of a row.
    pub cols: usize,
    /// From one source row to the next.
    pub src_row: usize,
    /// From one source sequence to the next.
    pub src_batch: usize,
    /// Of the first source element.
    pub src_offset: usize,
    /// From one destination row to the next.
    pub dst_row: usize,
    /// From one destination sequence to the next.
    pub dst_batch: usize,
    /// Of the first destination element.
    pub dst_offset: usize,
}

impl TileOp for CopyRows {
    fn tiles(&self) -> usize {
        blocks(self.batch * self.time, rows_per_tile(self.cols))
    }

    fn scratch_len(&self) -> usize {
        0
    }

    unsafe fn run_tile(&self, tile: usize, _scratch: *mut f32) -> Result<(), Fault> {
        let (first, last) = range(tile, rows_per_tile(self.cols), self.batch * self.time);
        for row in first..last {
            let (b, t) = (row / self.time, row % self.time);
            // SAFETY: b < batch, t < time; the caller promises that these rows lie inside both buffers.
            unsafe {
                let src = self.src.add(self.src_offset + b * self.src_batch + t * self.src_row);
                let dst = self.dst.add(self.dst_offset + b * self.dst_batch + t * self.dst_row);
                core::ptr::copy(src, dst, self.cols);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::{run_reversed, Cases, Rng};

    #[test]
    fn every_layout_moves_exactly_its_rows() {
        let (mut rng, mut cases) = (Rng::new(1), Cases::new());
        let widths = (0..=67).map(|c| (2usize, 3usize, c)).chain([
            (0, 3, 4),
            (3, 0, 4),
            (1, 1, 1),
            (3, 400, 50),
            (2, 2, 20_000),
        ]);
        for (batch, time, cols) in widths {
            // A third of [B, T, 3C] into rows 2.. of a [B, T + 5, C] cache.
            let src = rng.normals(batch * time * 3 * cols);
            let mut dst = vec![7.0f32; batch * (time + 5) * cols];
            let op = CopyRows {
                src: src.as_ptr(),
                dst: dst.as_mut_ptr(),
                batch,
                time,
                cols,
                src_row: 3 * cols,
                src_batch: time * 3 * cols,
                src_offset: cols,
                dst_row: cols,
                dst_batch: (time + 5) * cols,
                dst_offset: 2 * cols,
            };
            // SAFETY: the layout above lies inside both buffers.
            unsafe { run_reversed(&op) }.unwrap();
            let want = |i: usize| {
                let (b, t, c) = (i / cols / (time + 5), i / cols % (time + 5), i % cols);
                if t < 2 || t >= 2 + time {
                    7.0
                } else {
                    src[((b * time + t - 2) * 3 + 1) * cols + c]
                }
            };
            let bad = (0..dst.len()).find(|&i| dst[i] != want(i));
            let result = bad.map_or(Ok(()), |i| Err(format!("element {i}: {} want {}", dst[i], want(i))));
            cases.check(|| format!("{batch}x{time}x{cols}"), result);
        }
        cases.finish();
    }
}
