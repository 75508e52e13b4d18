//! Layer normalisation over rows (Ba, Kiros, Hinton, arXiv:1607.06450), opcodes 11 to 13:
//! `out = (x − mean)·rstd·weight + bias`, `rstd = 1/√(var + eps)`, `var` the biased variance.
//! A null `mean` makes them the kernels of RMSNorm (`rms_norm.rs`): rows are not centred, everything else is the same.
//!
//! The statistics are taken in two passes with f32 lanes in a fixed order and f64 totals; the second pass also corrects the rounding
//! of the stored f32 mean, so a large common offset costs nothing. Constant rows give `bias` (eps > 0). Errors, measured in the
//! tests: forward and dx 1e-5 + 1.3e-6·|ref|.

mod backward;
mod forward;
mod params;

pub use backward::{layer_norm_backward, LayerNormBackward};
pub use forward::{layer_norm_forward, LayerNorm};
pub use params::{layer_norm_backward_params, LayerNormBackwardParams};

/// The definition in f64, for the tests of this folder.
#[cfg(test)]
pub(crate) mod naive {
    /// out, mean and rstd of one row.
    pub fn row(x: &[f64], weight: Option<&[f32]>, bias: Option<&[f32]>, eps: f64) -> (Vec<f64>, f64, f64) {
        let n = x.len() as f64;
        let mean = x.iter().sum::<f64>() / n;
        let var = x.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / n;
        let rstd = 1.0 / (var + eps).sqrt();
        let out = |(i, v): (usize, &f64)| {
            (v - mean) * rstd * weight.map_or(1.0, |w| w[i] as f64) + bias.map_or(0.0, |b| b[i] as f64)
        };
        (x.iter().enumerate().map(out).collect(), mean, rstd)
    }
}
