//! Initial values of regions, made by all threads through the same queue as a program's tiles. Each element depends on the
//! seed, the variable's path and its own index only (Philox, crates/kernels/src/philox.rs), never on threads or order.
//!
//! Arithmetic is f64 with Rust's own `ln`, `sin`, `cos` and `powf`: in WebAssembly these are part of the module, so that every
//! host gives the same bits. (Native builds may use the system's and differ in the last place; only tests run them.)

use kernels::philox::Stream;
use kernels::{Fault, TileOp};

/// Elements per tile: some tenths of a millisecond of Box-Muller.
const TILE: usize = 8192;
/// Step and micro-batch of initialisation, which no training step has.
const INITIAL: u32 = u32::MAX;
/// The base of the wave lengths (Vaswani et al., "Attention is all you need", section 3.5).
const WAVE_BASE: f64 = 10_000.0;

/// Where random initial values come from: the seed and the FNV-1a 64 of the variable's name, low words first.
#[derive(Clone, Copy, Debug)]
pub struct Source {
    /// Seed, low word first.
    pub seed: [u32; 2],
    /// Path, low word first.
    pub path: [u32; 2],
}

impl Source {
    fn stream(self) -> Stream {
        Stream::new(self.seed, INITIAL, INITIAL, self.path)
    }
}

/// The four standard normals of elements `4·block ..`: Box-Muller on the words of the block, two at a time.
fn normals(stream: &Stream, block: u64) -> [f64; 4] {
    let words = stream.block(block);
    let mut out = [0.0; 4];
    for pair in 0..2 {
        // In (0, 1), never 0: the logarithm stays finite.
        let u = (f64::from(words[2 * pair]) + 0.5) / 4_294_967_296.0;
        let angle = std::f64::consts::TAU * (f64::from(words[2 * pair + 1]) / 4_294_967_296.0);
        let radius = (-2.0 * u.ln()).sqrt();
        out[2 * pair] = radius * angle.cos();
        out[2 * pair + 1] = radius * angle.sin();
    }
    out
}

/// `out[i] = mean + std · z_i`, z standard normal, f64 rounded once to f32.
#[derive(Clone, Copy, Debug)]
pub struct Normal {
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
        let stream = self.source.stream();
        let end = self.n.min((tile + 1) * TILE);
        let mut z = [0.0; 4];
        for i in tile * TILE..end {
            if i % 4 == 0 {
                z = normals(&stream, i as u64 / 4);
            }
            // SAFETY: i < n.
            unsafe { *self.out.add(i) = (self.mean + self.std * z[i % 4]) as f32 };
        }
        Ok(())
    }
}

/// Position table `out[rows, cols]`: column 2j holds `sin(row / 10000^(2j/cols))`, column 2j+1 the cosine, each plus
/// `noise · z` of the element's own standard normal.
#[derive(Clone, Copy, Debug)]
pub struct Sinusoidal {
    /// The table.
    pub out: *mut f32,
    /// Positions.
    pub rows: usize,
    /// Width.
    pub cols: usize,
    /// Standard deviation of the noise; 0 for none.
    pub noise: f64,
    /// Where the noise comes from.
    pub source: Source,
}

impl TileOp for Sinusoidal {
    fn tiles(&self) -> usize {
        self.rows
    }

    fn scratch_len(&self) -> usize {
        0
    }

    unsafe fn run_tile(&self, row: usize, _scratch: *mut f32) -> Result<(), Fault> {
        let stream = self.source.stream();
        for col in 0..self.cols {
            let exponent = (col / 2 * 2) as f64 / self.cols as f64;
            let angle = row as f64 / WAVE_BASE.powf(exponent);
            let mut value = if col % 2 == 0 { angle.sin() } else { angle.cos() };
            let i = row * self.cols + col;
            if self.noise != 0.0 {
                value += self.noise * normals(&stream, i as u64 / 4)[i % 4];
            }
            // SAFETY: row < rows and col < cols.
            unsafe { *self.out.add(i) = value as f32 };
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: Source = Source { seed: [42, 0], path: [7, 9] };

    fn normal(n: usize, source: Source) -> Vec<f32> {
        let mut out = vec![f32::NAN; n];
        let op = Normal { out: out.as_mut_ptr(), n, mean: 1.0, std: 0.5, source };
        unsafe { kernels::run_all(&op) }.unwrap();
        out
    }

    #[test]
    fn normals_have_the_mean_and_spread_asked_for_and_do_not_repeat() {
        let x = normal(100_003, SOURCE);
        let mean = x.iter().map(|&v| f64::from(v)).sum::<f64>() / x.len() as f64;
        let variance = x.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / x.len() as f64;
        // Four standard errors: 0.5 / sqrt(n) and 0.25 * sqrt(2 / n).
        assert!((mean - 1.0).abs() < 4.0 * 0.0016, "mean {mean}");
        assert!((variance - 0.25).abs() < 4.0 * 0.0012, "variance {variance}");
        assert_ne!(x[0..4], x[4..8]);
        // Neighbours within a pair share a radius, but are not correlated.
        let covariance = x.chunks_exact(2).map(|p| (f64::from(p[0]) - 1.0) * (f64::from(p[1]) - 1.0)).sum::<f64>();
        assert!((covariance / 50_000.0).abs() < 4.0 * 0.25 / 223.0, "covariance {covariance}");
    }

    #[test]
    fn an_element_depends_on_seed_path_and_index_only() {
        let long = normal(TILE + 5, SOURCE);
        assert_eq!(long[..TILE - 3], normal(TILE - 3, SOURCE)[..]);
        assert_ne!(long[..8], normal(8, Source { seed: [43, 0], ..SOURCE })[..]);
        assert_ne!(long[..8], normal(8, Source { path: [7, 10], ..SOURCE })[..]);
    }

    #[test]
    fn the_sinusoidal_table_is_the_papers_with_noise_on_top() {
        for (rows, cols) in [(5, 8), (3, 7), (1, 1), (0, 4)] {
            let table = |noise: f64| {
                let mut out = vec![f32::NAN; rows * cols];
                let op = Sinusoidal { out: out.as_mut_ptr(), rows, cols, noise, source: SOURCE };
                unsafe { kernels::run_all(&op) }.unwrap();
                out
            };
            let (plain, noisy) = (table(0.0), table(0.25));
            for i in 0..rows * cols {
                let (row, col) = (i / cols, i % cols);
                let angle = row as f64 * (-((col - col % 2) as f64) / cols as f64 * 10_000f64.ln()).exp();
                let want = if col % 2 == 0 { angle.sin() } else { angle.cos() };
                assert!((f64::from(plain[i]) - want).abs() < 1e-6, "{row} {col}");
                let z = (f64::from(normal(rows * cols, SOURCE)[i]) - 1.0) / 0.5;
                assert!((f64::from(noisy[i]) - want - 0.25 * z).abs() < 1e-6, "{row} {col}");
            }
        }
    }
}
