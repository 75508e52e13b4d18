//! The definition of attention and of its gradients in f64, one probability at a time, on the same strided layouts.

use super::AttentionDims;

/// Everything the kernels compute, in f64 (dq, dk, dv as long as q, k, v).
pub(super) struct Reference {
    pub out: Vec<f64>,
    pub lse: Vec<f64>,
    pub delta: Vec<f64>,
    pub dq: Vec<f64>,
    pub dk: Vec<f64>,
    pub dv: Vec<f64>,
}

/// Inputs of a case.
#[derive(Clone)]
pub(super) struct Inputs {
    pub dims: AttentionDims,
    pub q: Vec<f64>,
    pub k: Vec<f64>,
    pub v: Vec<f64>,
    pub mask: Option<Vec<i32>>,
    /// Added to the scores, `[1 | batch | batch·heads, tq, tk]`.
    pub bias: Option<Vec<f32>>,
    pub starts: Option<Vec<i32>>,
    pub dout: Vec<f64>,
}

impl Inputs {
    /// What the mask adds to a score.
    fn bias(&self, b: usize, h: usize, i: usize, j: usize) -> f64 {
        let d = &self.dims;
        self.bias.as_ref().map_or(0.0, |bias| {
            let masks = bias.len() / (d.tq * d.tk);
            let of = if masks == d.batch * d.heads { b * d.heads + h } else { b % masks };
            f64::from(bias[(of * d.tq + i) * d.tk + j])
        })
    }

    fn visible(&self, b: usize, h: usize, i: usize, j: usize) -> bool {
        let d = &self.dims;
        let causal = !d.causal || j as isize <= i as isize + d.tk as isize - d.tq as isize;
        let kept = self.mask.as_ref().is_none_or(|m| m[b * d.tk + j] != 0);
        let started = self.starts.as_ref().is_none_or(|s| j as i64 >= i64::from(s[b * d.tq + i]));
        causal && kept && started && self.bias(b, h, i, j) != f64::NEG_INFINITY
    }

    fn factor(&self, row: usize, j: usize) -> f64 {
        let d = &self.dims;
        d.dropout.map_or(1.0, |keep| keep.factor((row * d.tk + j) as u64) as f64)
    }

    pub fn reference(&self) -> Reference {
        let d = self.dims;
        let mut r = Reference {
            out: vec![0.0; d.out_len()],
            lse: vec![f64::NEG_INFINITY; d.lse_len()],
            delta: vec![0.0; d.lse_len()],
            dq: vec![0.0; self.q.len()],
            dk: vec![0.0; self.k.len()],
            dv: vec![0.0; self.v.len()],
        };
        for b in 0..d.batch {
            for h in 0..d.heads {
                for i in 0..d.tq {
                    self.row(b, h, i, &mut r);
                }
            }
        }
        r
    }

    /// One query: its output, then its contributions to every gradient.
    fn row(&self, b: usize, h: usize, i: usize, r: &mut Reference) {
        let d = self.dims;
        let row = (b * d.heads + h) * d.tq + i;
        let width = d.head_dim;
        let qi = b * d.q_batch + i * d.q_row + h * width;
        let shared = h * d.kv_heads / d.heads;
        let kj = |j: usize| b * d.k_batch + j * d.k_row + shared * width;
        let vj = |j: usize| b * d.v_batch + j * d.v_row + shared * width;
        let oi = (b * d.tq + i) * d.heads * width + h * width;
        let keys: Vec<usize> = (0..d.tk).filter(|&j| self.visible(b, h, i, j)).collect();
        if keys.is_empty() {
            return;
        }
        let dot = |j: usize| (0..width).map(|c| self.q[qi + c] * self.k[kj(j) + c]).sum::<f64>();
        let score = |j: usize| d.scale as f64 * dot(j) + self.bias(b, h, i, j);
        let scores: Vec<f64> = keys.iter().map(|&j| score(j)).collect();
        let most = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = scores.iter().map(|s| (s - most).exp()).sum();
        r.lse[row] = most + sum.ln();
        let p: Vec<f64> = scores.iter().map(|s| (s - r.lse[row]).exp()).collect();
        for (&j, p) in keys.iter().zip(&p) {
            for c in 0..width {
                r.out[oi + c] += p * self.factor(row, j) * self.v[vj(j) + c];
            }
        }
        r.delta[row] = (0..width).map(|c| self.dout[oi + c] * r.out[oi + c]).sum();
        for (&j, p) in keys.iter().zip(&p) {
            let f = self.factor(row, j);
            let dp: f64 = (0..width).map(|c| self.dout[oi + c] * self.v[vj(j) + c]).sum();
            let ds = p * (f * dp - r.delta[row]) * d.scale as f64;
            for c in 0..width {
                r.dv[vj(j) + c] += p * f * self.dout[oi + c];
                r.dq[qi + c] += ds * self.k[kj(j) + c];
                r.dk[kj(j) + c] += ds * self.q[qi + c];
            }
        }
    }
}

#[test]
fn the_reference_gradients_are_the_slopes_of_the_reference_output() {
    use crate::testkit::{wide, Rng};
    let mut rng = Rng::new(3);
    for mut dims in [AttentionDims::contiguous(2, 3, 4, 2, 3, true), AttentionDims::grouped(2, 3, 4, [4, 2], 3, true)] {
        dims.dropout = Some(crate::philox::Keep::new(0.3, crate::philox::Stream::new([1, 2], 3, 4, [5, 6])));
        let inputs = Inputs {
            dims,
            q: wide(&rng.normals(2 * 3 * dims.heads * 3)),
            k: wide(&rng.normals(2 * 4 * 6)),
            v: wide(&rng.normals(2 * 4 * 6)),
            mask: Some(vec![1, 0, 1, 1, 1, 1, 1, 0]),
            bias: Some([0.3, f32::NEG_INFINITY, -0.5, 1.0].into_iter().cycle().take(2 * 3 * 4).collect()),
            starts: Some(vec![0, 1, 2, -1, 0, 1]),
            dout: wide(&rng.normals(2 * 3 * dims.heads * 3)),
        };
        let r = inputs.reference();
        let loss = |x: &Inputs| -> f64 { x.reference().out.iter().zip(&x.dout).map(|(o, g)| o * g).sum() };
        type Field = fn(&mut Inputs) -> &mut Vec<f64>;
        let parts: [(Field, &Vec<f64>); 3] = [(|x| &mut x.q, &r.dq), (|x| &mut x.k, &r.dk), (|x| &mut x.v, &r.dv)];
        for (field, gradient) in parts {
            for at in 0..gradient.len() {
                let moved = |by: f64| {
                    let mut x = inputs.clone();
                    field(&mut x)[at] += by;
                    loss(&x)
                };
                let slope = (moved(1e-5) - moved(-1e-5)) / 2e-5;
                assert!((slope - gradient[at]).abs() < 1e-8, "[{at}]: slope {slope}, gradient {}", gradient[at]);
            }
        }
    }
}
