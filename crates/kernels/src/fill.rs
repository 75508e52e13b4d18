//! Sets every element to one value (opcode 8).

use crate::lanes::{range, store, store_pair, TILE};
use crate::tile::{blocks, Fault, TileOp};
use simd::F32x4;

/// `out[i] = value`.
#[derive(Clone, Copy, Debug)]
pub struct Fill {
    /// `[n]`
    pub out: *mut f32,
    /// Elements.
    pub n: usize,
    /// The value.
    pub value: f32,
}

impl TileOp for Fill {
    fn tiles(&self) -> usize {
        blocks(self.n, TILE)
    }

    fn scratch_len(&self) -> usize {
        0
    }

    unsafe fn run_tile(&self, tile: usize, _scratch: *mut f32) -> Result<(), Fault> {
        let (start, end) = range(tile, TILE, self.n);
        let value = F32x4::splat(self.value);
        let mut i = start;
        while i + 8 <= end {
            // SAFETY: i + 8 <= n.
            unsafe { store_pair(value, value, self.out.add(i)) };
            i += 8;
        }
        while i < end {
            let m = (end - i).min(4);
            // SAFETY: i + m <= n.
            unsafe { store(value, self.out.add(i), m) };
            i += m;
        }
        Ok(())
    }
}

/// Sets every element of `out` to `value`.
pub fn fill(out: &mut [f32], value: f32) {
    let op = Fill { out: out.as_mut_ptr(), n: out.len(), value };
    // SAFETY: the slice holds n floats.
    unsafe { crate::run_all(&op) }.expect("fill has no faults");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fills_every_length_and_no_more() {
        for n in (0..=67).chain([TILE - 1, TILE, TILE + 1, 2 * TILE + 3]) {
            let mut out = vec![1.0; n + 5];
            fill(&mut out[..n], -2.5);
            assert!(out[..n].iter().all(|&v| v == -2.5), "n {n}");
            assert_eq!(out[n..], [1.0; 5], "n {n}");
        }
    }
}
