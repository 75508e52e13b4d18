//! Random initial values of regions, made by all threads through the same queue as a program's tiles. The numbers are the
//! kernels' (`init.rs`): each depends on the seed, the variable's path and its own index only.

use kernels::init::fill_normal;
use kernels::{Fault, TileOp};

/// Elements per tile: some tenths of a millisecond.
const TILE: usize = 8192;

/// Where random initial values come from: the seed and the FNV-1a 64 of the variable's name, low words first.
#[derive(Clone, Copy, Debug)]
pub struct Source {
    /// Seed, low word first.
    pub seed: [u32; 2],
    /// Path, low word first.
    pub path: [u32; 2],
}

/// `out[i] = mean + std · z_i`, z standard normal.
pub(crate) struct Normal {
    /// Elements to write, [n].
    pub out: *mut f32,
    /// Number of elements.
    pub n: usize,
    /// Mean.
    pub mean: f64,
    /// Standard deviation.
    pub std: f64,
    /// Where the random bits come from.
    pub source: Source,
}

impl TileOp for Normal {
    fn tiles(&self) -> usize {
        self.n.div_ceil(TILE)
    }

    fn scratch_len(&self) -> usize {
        0
    }

    unsafe fn run_tile(&self, tile: usize, _scratch: *mut f32) -> Result<(), Fault> {
        let first = tile * TILE;
        let len = TILE.min(self.n - first);
        // SAFETY: these elements lie below n, and no other tile writes them.
        let out = unsafe { std::slice::from_raw_parts_mut(self.out.add(first), len) };
        fill_normal(out, first as u64, self.mean, self.std, self.source.seed, self.source.path);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_together_are_the_kernels_numbers() {
        let source = Source { seed: [42, 1], path: [7, 9] };
        for n in [0, 1, TILE - 1, TILE, TILE + 1, 3 * TILE + 5] {
            let (mut got, mut want) = (vec![f32::NAN; n], vec![0.0; n]);
            let op = Normal { out: got.as_mut_ptr(), n, mean: 1.0, std: 0.5, source };
            unsafe { kernels::run_all(&op) }.unwrap();
            fill_normal(&mut want, 0, 1.0, 0.5, source.seed, source.path);
            assert_eq!(got, want, "{n}");
        }
    }
}
