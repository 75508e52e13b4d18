//! Adds a constant to whole numbers (opcode 47): positions that move on by one, and how many keys they make.

use crate::lanes::{range, TILE};
use crate::tile::{blocks, Fault, TileOp};

/// `out[i] = x[i] + c`, wrapping. `out` may be `x`.
#[derive(Clone, Copy, Debug)]
pub struct AddInteger {
    /// `[n]`
    pub x: *const i32,
    /// `[n]`
    pub out: *mut i32,
    /// Elements.
    pub n: usize,
    /// What is added.
    pub c: i32,
}

impl TileOp for AddInteger {
    fn tiles(&self) -> usize {
        blocks(self.n, TILE)
    }

    fn scratch_len(&self) -> usize {
        0
    }

    unsafe fn run_tile(&self, tile: usize, _scratch: *mut f32) -> Result<(), Fault> {
        let (start, end) = range(tile, TILE, self.n);
        for i in start..end {
            // SAFETY: i < n.
            unsafe { *self.out.add(i) = (*self.x.add(i)).wrapping_add(self.c) };
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::run_reversed;

    #[test]
    fn adds_at_every_length_in_place_and_apart() {
        for n in (0..=67).chain([TILE - 1, TILE, TILE + 1]) {
            let x: Vec<i32> = (0..n as i32).map(|i| i * 3 - 7).collect();
            for c in [0, 1, -9, i32::MAX] {
                let mut out = vec![77; n + 2];
                let op = AddInteger { x: x.as_ptr(), out: out.as_mut_ptr(), n, c };
                // SAFETY: both hold n words.
                unsafe { run_reversed(&op) }.unwrap();
                let want: Vec<i32> = x.iter().map(|x| x.wrapping_add(c)).chain([77, 77]).collect();
                assert_eq!(out, want, "n {n} c {c}");
                let mut own = x.clone();
                let op = AddInteger { x: own.as_ptr(), out: own.as_mut_ptr(), n, c };
                // SAFETY: as above; x and out may be the same.
                unsafe { run_reversed(&op) }.unwrap();
                assert_eq!(own[..], want[..n], "n {n} c {c} in place");
            }
        }
    }
}
