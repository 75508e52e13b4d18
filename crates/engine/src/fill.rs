//! Random initial values of regions, made by all threads through the same queue as a program's tiles. The numbers are the
//! kernels' (`init.rs`): each depends on the seed, the variable's path and its own index only.

use kernels::init::{fill_normal, fill_uniform};
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

/// What is drawn.
#[derive(Clone, Copy)]
pub(crate) enum Distribution {
    /// `mean + std · z`, z standard normal.
    Normal {
        /// Mean.
        mean: f64,
        /// Standard deviation.
        std: f64,
    },
    /// `low + (high − low) · u`, u uniform in [0, 1).
    Uniform {
        /// Smallest value.
        low: f64,
        /// What values stay below, up to rounding.
        high: f64,
    },
}

/// Independent numbers of one distribution.
pub(crate) struct Drawn {
    /// Elements to write, [n].
    pub out: *mut f32,
    /// Number of elements.
    pub n: usize,
    /// What they are.
    pub distribution: Distribution,
    /// Where the random bits come from.
    pub source: Source,
}

impl TileOp for Drawn {
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
        let Source { seed, path } = self.source;
        match self.distribution {
            Distribution::Normal { mean, std } => fill_normal(out, first as u64, mean, std, seed, path),
            Distribution::Uniform { low, high } => fill_uniform(out, first as u64, low, high, seed, path),
        }
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
            let all = |distribution| {
                let mut got = vec![f32::NAN; n];
                unsafe { kernels::run_all(&Drawn { out: got.as_mut_ptr(), n, distribution, source }) }.unwrap();
                got
            };
            let mut want = vec![0.0; n];
            fill_normal(&mut want, 0, 1.0, 0.5, source.seed, source.path);
            assert_eq!(all(Distribution::Normal { mean: 1.0, std: 0.5 }), want, "{n}");
            fill_uniform(&mut want, 0, -0.5, 2.0, source.seed, source.path);
            assert_eq!(all(Distribution::Uniform { low: -0.5, high: 2.0 }), want, "{n}");
        }
    }
}
