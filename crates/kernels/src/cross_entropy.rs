//! Cross-entropy of rows of logits against integer labels, and its gradient (opcodes 22 and 23).
//!
//! `loss[r] = logZ[r] − logits[r, label[r]]` with `logZ = ln Σ e^logit`. A row whose label is the ignored one has loss 0, `log_z` 0 and
//! no gradient, and its logits do not matter. Any other label outside `0..vocab` is a [`FaultCode::LabelOutOfRange`].
//! Error of the loss, measured below: 2e-6·|ref| + 5e-7.

use crate::lanes::{map1, range, rows_per_tile};
use crate::softmax::log_sum_exp;
use crate::tile::{blocks, Fault, FaultCode, TileOp};
use crate::vecmath::Exp;
use simd::F32x4;

/// The label of a row as an index, `None` if ignored.
///
/// # Safety
/// `labels` readable at `row`.
#[inline(always)]
unsafe fn label_of(labels: *const i32, row: usize, vocab: usize, ignore: i32) -> Result<Option<usize>, Fault> {
    // SAFETY: promised by the caller.
    let label = unsafe { *labels.add(row) };
    if label == ignore {
        Ok(None)
    } else if label >= 0 && (label as usize) < vocab {
        Ok(Some(label as usize))
    } else {
        Err(Fault { code: FaultCode::LabelOutOfRange, at: row as u32, value: label })
    }
}

/// Loss and log-partition of every row.
#[derive(Clone, Copy, Debug)]
pub struct CrossEntropy {
    /// `[rows, vocab]`
    pub logits: *const f32,
    /// `[rows]`
    pub labels: *const i32,
    /// `[rows]`
    pub loss: *mut f32,
    /// `[rows]`
    pub log_z: *mut f32,
    /// Rows.
    pub rows: usize,
    /// Logits of a row.
    pub vocab: usize,
    /// The label that does not count.
    pub ignore: i32,
}

impl TileOp for CrossEntropy {
    fn tiles(&self) -> usize {
        blocks(self.rows, rows_per_tile(self.vocab))
    }

    fn scratch_len(&self) -> usize {
        0
    }

    unsafe fn run_tile(&self, tile: usize, _scratch: *mut f32) -> Result<(), Fault> {
        let (first, last) = range(tile, rows_per_tile(self.vocab), self.rows);
        for row in first..last {
            // SAFETY: row < rows, label < vocab.
            unsafe {
                let (loss, log_z) = match label_of(self.labels, row, self.vocab, self.ignore)? {
                    None => (0.0, 0.0),
                    Some(label) => {
                        let x = self.logits.add(row * self.vocab);
                        let (max, log_sum) = log_sum_exp(x, self.vocab);
                        // Differences before sums: a common offset of the logits costs no digits of the loss.
                        let below = f64::from(max) - f64::from(*x.add(label));
                        ((log_sum + below) as f32, (f64::from(max) + log_sum) as f32)
                    }
                };
                *self.loss.add(row) = loss;
                *self.log_z.add(row) = log_z;
            }
        }
        Ok(())
    }
}

/// `dlogits[r] = (g[r] + gz[r])·softmax(logits[r]) − g[r]·onehot(label[r])`; zeros for an ignored row. `dlogits` may be `logits`.
/// Probabilities come from `log_z`, so their relative error is about 6e-8·|log_z|.
#[derive(Clone, Copy, Debug)]
pub struct CrossEntropyBackward {
    /// `[rows, vocab]`
    pub logits: *const f32,
    /// `[rows]`
    pub labels: *const i32,
    /// `[rows]`, from the forward op
    pub log_z: *const f32,
    /// `[rows]`, gradient of the loss
    pub g: *const f32,
    /// `[rows]` or null, gradient of `log_z`
    pub gz: *const f32,
    /// `[rows, vocab]`
    pub dlogits: *mut f32,
    /// Rows.
    pub rows: usize,
    /// Logits of a row.
    pub vocab: usize,
    /// The label that does not count.
    pub ignore: i32,
}

impl TileOp for CrossEntropyBackward {
    fn tiles(&self) -> usize {
        blocks(self.rows, rows_per_tile(self.vocab))
    }

    fn scratch_len(&self) -> usize {
        0
    }

    unsafe fn run_tile(&self, tile: usize, _scratch: *mut f32) -> Result<(), Fault> {
        let (first, last) = range(tile, rows_per_tile(self.vocab), self.rows);
        let f = Exp::new();
        for row in first..last {
            // SAFETY: row < rows, label < vocab.
            unsafe {
                let (x, dx) = (self.logits.add(row * self.vocab), self.dlogits.add(row * self.vocab));
                let Some(label) = label_of(self.labels, row, self.vocab, self.ignore)? else {
                    map1(x, dx, self.vocab, |_| F32x4::zero());
                    continue;
                };
                let g = *self.g.add(row);
                let scale = if self.gz.is_null() { g } else { g + *self.gz.add(row) };
                let (log_z, scale) = (F32x4::load_splat(self.log_z.add(row)), F32x4::splat(scale));
                map1(x, dx, self.vocab, |x| f.eval_below(x - log_z) * scale);
                *dx.add(label) -= g;
            }
        }
        Ok(())
    }
}

/// Loss and log-partition per row; `logits` is `[labels.len(), vocab]`. # Panics if lengths disagree.
pub fn cross_entropy_forward(
    logits: &[f32],
    labels: &[i32],
    loss: &mut [f32],
    log_z: &mut [f32],
    vocab: usize,
    ignore: i32,
) -> Result<(), Fault> {
    let rows = labels.len();
    assert_eq!(logits.len(), rows * vocab, "cross_entropy: logits must be [rows, vocab]");
    assert!(loss.len() == rows && log_z.len() == rows, "cross_entropy: loss and log_z must be [rows]");
    let op = CrossEntropy {
        logits: logits.as_ptr(),
        labels: labels.as_ptr(),
        loss: loss.as_mut_ptr(),
        log_z: log_z.as_mut_ptr(),
        rows,
        vocab,
        ignore,
    };
    // SAFETY: lengths checked.
    unsafe { crate::run_all(&op) }
}

/// Gradient of [`cross_entropy_forward`] with respect to the logits. # Panics if lengths disagree.
pub fn cross_entropy_backward(
    logits: &[f32],
    labels: &[i32],
    log_z: &[f32],
    g: &[f32],
    gz: Option<&[f32]>,
    dlogits: &mut [f32],
    vocab: usize,
    ignore: i32,
) -> Result<(), Fault> {
    let rows = labels.len();
    assert!(
        logits.len() == rows * vocab && dlogits.len() == rows * vocab,
        "cross_entropy_backward: logits must be [rows, vocab]"
    );
    assert!(log_z.len() == rows && g.len() == rows, "cross_entropy_backward: log_z and g must be [rows]");
    assert!(gz.is_none_or(|z| z.len() == rows), "cross_entropy_backward: gz must be [rows]");
    let op = CrossEntropyBackward {
        logits: logits.as_ptr(),
        labels: labels.as_ptr(),
        log_z: log_z.as_ptr(),
        g: g.as_ptr(),
        gz: gz.map_or(core::ptr::null(), <[f32]>::as_ptr),
        dlogits: dlogits.as_mut_ptr(),
        rows,
        vocab,
        ignore,
    };
    // SAFETY: lengths checked.
    unsafe { crate::run_all(&op) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::{close, close_by, wide, Cases, Rng};

    /// The definition in f64: (loss, log_z).
    fn naive(row: &[f64], label: i32) -> (f64, f64) {
        if label == -100 {
            return (0.0, 0.0);
        }
        let max = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let log_z = max + row.iter().map(|v| (v - max).exp()).sum::<f64>().ln();
        (log_z - row[label as usize], log_z)
    }

    fn data(rng: &mut Rng, rows: usize, vocab: usize, offset: f32) -> (Vec<f32>, Vec<i32>) {
        let logits = rng.normals(rows * vocab).iter().map(|v| v * 3.0 + offset).collect();
        let labels = (0..rows).map(|r| if r % 4 == 1 { -100 } else { rng.below(vocab) as i32 }).collect();
        (logits, labels)
    }

    #[test]
    fn forward_equals_the_definition() {
        let (mut rng, mut cases) = (Rng::new(1), Cases::new());
        let shapes = (1..=67).map(|v| (5, v)).chain([(0, 5), (3, 255), (3, 256), (3, 257), (2, 50_257), (3000, 7)]);
        for (rows, vocab) in shapes {
            for offset in [0.0f32, 1e4, -1e4] {
                let (logits, labels) = data(&mut rng, rows, vocab, offset);
                let (mut loss, mut log_z) = (vec![f32::NAN; rows], vec![f32::NAN; rows]);
                cross_entropy_forward(&logits, &labels, &mut loss, &mut log_z, vocab, -100).unwrap();
                let row = |r: usize| naive(&wide(&logits[r * vocab..(r + 1) * vocab]), labels[r]);
                let want: Vec<(f64, f64)> = (0..rows).map(row).collect();
                let (losses, zs): (Vec<f64>, Vec<f64>) = want.into_iter().unzip();
                let result = close(&loss, &losses, 5e-7, 2e-6).and_then(|()| close(&log_z, &zs, 1e-6, 2e-7));
                cases.check(|| format!("{rows}x{vocab} offset {offset}"), result);
            }
        }
        cases.finish();
    }

    #[test]
    fn backward_equals_central_differences_with_and_without_gz() {
        let (mut rng, mut cases) = (Rng::new(2), Cases::new());
        for vocab in (1..=67).chain([256, 257]) {
            let rows = 3;
            let (logits, labels) = data(&mut rng, rows, vocab, 0.0);
            let (g, gz) = (rng.normals(rows), rng.normals(rows));
            let (mut loss, mut log_z) = (vec![0.0; rows], vec![0.0; rows]);
            cross_entropy_forward(&logits, &labels, &mut loss, &mut log_z, vocab, -100).unwrap();
            for gz in [None, Some(&gz[..])] {
                let mut got = vec![f32::NAN; rows * vocab];
                cross_entropy_backward(&logits, &labels, &log_z, &g, gz, &mut got, vocab, -100).unwrap();
                let want: Vec<f64> = (0..rows * vocab)
                    .map(|j| {
                        let (r, x) = (j / vocab, wide(&logits[j / vocab * vocab..(j / vocab + 1) * vocab]));
                        let at = |h: f64| {
                            let mut moved = x.clone();
                            moved[j % vocab] += h;
                            let (loss, z) = naive(&moved, labels[r]);
                            loss * g[r] as f64 + gz.map_or(0.0, |gz| z * gz[r] as f64)
                        };
                        (at(1e-5) - at(-1e-5)) / 2e-5
                    })
                    .collect();
                let bound = |j: usize| 1e-6 + 1e-5 * (want[j].abs() + g[j / vocab].abs() as f64);
                cases.check(|| format!("vocab {vocab} gz {}", gz.is_some()), close_by(&got, &want, bound));
            }
        }
        cases.finish();
    }

    #[test]
    fn in_place_backward_gives_the_same_bits() {
        let mut rng = Rng::new(3);
        let (logits, labels) = data(&mut rng, 6, 65, 0.0);
        let (mut loss, mut log_z, g) = (vec![0.0; 6], vec![0.0; 6], rng.normals(6));
        cross_entropy_forward(&logits, &labels, &mut loss, &mut log_z, 65, -100).unwrap();
        let mut want = vec![0.0; 6 * 65];
        cross_entropy_backward(&logits, &labels, &log_z, &g, None, &mut want, 65, -100).unwrap();
        let mut shared = logits.clone();
        let op = CrossEntropyBackward {
            logits: shared.as_ptr(),
            labels: labels.as_ptr(),
            log_z: log_z.as_ptr(),
            g: g.as_ptr(),
            gz: core::ptr::null(),
            dlogits: shared.as_mut_ptr(),
            rows: 6,
            vocab: 65,
            ignore: -100,
        };
        // SAFETY: sharing logits and dlogits is allowed.
        unsafe { crate::run_all(&op) }.unwrap();
        assert_eq!(shared, want);
    }

    #[test]
    fn ignored_rows_read_no_logits_and_bad_labels_are_named() {
        let logits = [1.0, 2.0, f32::NAN, f32::NAN, 0.5, 0.25];
        let (mut loss, mut log_z, mut d) = ([9.0; 3], [9.0; 3], [9.0; 6]);
        cross_entropy_forward(&logits, &[0, -100, 1], &mut loss, &mut log_z, 2, -100).unwrap();
        assert!(loss[1] == 0.0 && log_z[1] == 0.0 && loss.iter().all(|v| v.is_finite()));
        cross_entropy_backward(&logits, &[0, -100, 1], &log_z, &[1.0; 3], Some(&[1.0; 3]), &mut d, 2, -100).unwrap();
        assert!(d[2..4] == [0.0, 0.0] && d.iter().all(|v| v.is_finite()));
        for bad in [-1, -4, 2, i32::MAX, i32::MIN] {
            let fault = Fault { code: FaultCode::LabelOutOfRange, at: 2, value: bad };
            let labels = [0, -100, bad];
            assert_eq!(cross_entropy_forward(&logits, &labels, &mut loss, &mut log_z, 2, -100), Err(fault));
            assert_eq!(cross_entropy_backward(&logits, &labels, &log_z, &[1.0; 3], None, &mut d, 2, -100), Err(fault));
        }
    }

    #[test]
    fn one_class_has_loss_zero() {
        let (mut loss, mut log_z) = ([9.0; 2], [9.0; 2]);
        cross_entropy_forward(&[5.0, -1e4], &[0, 0], &mut loss, &mut log_z, 1, -100).unwrap();
        assert_eq!((loss, log_z), ([0.0; 2], [5.0, -1e4]));
    }
}
