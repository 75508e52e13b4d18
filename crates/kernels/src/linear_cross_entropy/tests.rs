//! The fused loss against the definition in f64: sizes around every block, ignored and wrong labels, upstream gradients.

use super::*;
use crate::matmul::micro::{set_register_tile, RegisterTile};
use crate::testkit::{close, close_by, run_reversed, same_bits, wide, Cases, Rng};
use crate::{FaultCode, TileOp};

pub(super) const IGNORE: i32 = -100;

pub(super) struct Case {
    pub(super) dims: HeadDims,
    pub(super) x: Vec<f32>,
    pub(super) w: Vec<f32>,
    pub(super) labels: Vec<i32>,
    pub(super) g: Vec<f32>,
    pub(super) gz: Vec<f32>,
    pub(super) init: Vec<f32>,
}

pub(super) struct Results {
    pub(super) loss: Vec<f32>,
    pub(super) log_z: Vec<f32>,
    pub(super) dx: Vec<f32>,
    pub(super) dw: Vec<f32>,
}

/// Loss, log_z, dx, dw in f64; dw without init, and beside dx and dw the sums of absolute products for error bounds.
pub(super) struct Reference {
    pub(super) loss: Vec<f64>,
    pub(super) log_z: Vec<f64>,
    pub(super) dx: Vec<f64>,
    pub(super) dw: Vec<f64>,
    pub(super) dx_size: Vec<f64>,
    pub(super) dw_size: Vec<f64>,
}

impl Case {
    pub(super) fn new(rows: usize, vocab: usize, cols: usize, ignored: usize, rng: &mut Rng) -> Self {
        let dims = HeadDims { rows, vocab, cols, ignore: IGNORE };
        let label = |rng: &mut Rng| if rng.below(100) < ignored { IGNORE } else { rng.below(vocab.max(1)) as i32 };
        Self {
            dims,
            x: rng.normals(rows * cols),
            w: rng.normals(vocab * cols).iter().map(|w| w / (cols.max(1) as f32).sqrt()).collect(),
            labels: (0..rows).map(|_| label(rng)).collect(),
            g: rng.normals(rows),
            gz: rng.normals(rows),
            init: rng.normals(vocab * cols),
        }
    }

    pub(super) fn run(&self, gz: bool, accumulate: bool) -> Result<Results, Fault> {
        let Self { dims, x, w, labels, g, .. } = self;
        let gz = gz.then_some(&self.gz[..]);
        let mut r = Results {
            loss: vec![f32::NAN; dims.rows],
            log_z: vec![f32::NAN; dims.rows],
            dx: vec![f32::NAN; x.len()],
            dw: if accumulate { self.init.clone() } else { vec![f32::NAN; w.len()] },
        };
        linear_cross_entropy_forward(*dims, x, w, labels, &mut r.loss, &mut r.log_z)?;
        linear_cross_entropy_backward_x(*dims, x, w, labels, &r.log_z, g, gz, &mut r.dx)?;
        linear_cross_entropy_backward_w(*dims, x, w, labels, &r.log_z, g, gz, accumulate, &mut r.dw)?;
        Ok(r)
    }

    pub(super) fn reference(&self, gz: bool) -> Reference {
        let HeadDims { rows, vocab, cols, ignore } = self.dims;
        let (x, w) = (wide(&self.x), wide(&self.w));
        let mut r = Reference {
            loss: vec![0.0; rows],
            log_z: vec![0.0; rows],
            dx: vec![0.0; x.len()],
            dw: vec![0.0; w.len()],
            dx_size: vec![0.0; x.len()],
            dw_size: vec![0.0; w.len()],
        };
        for row in 0..rows {
            if self.labels[row] == ignore {
                continue;
            }
            let xr = &x[row * cols..][..cols];
            let logit = |v: usize| -> f64 { xr.iter().zip(&w[v * cols..][..cols]).map(|(a, b)| a * b).sum() };
            let logits: Vec<f64> = (0..vocab).map(logit).collect();
            let most = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let log_z = most + logits.iter().map(|l| (l - most).exp()).sum::<f64>().ln();
            (r.log_z[row], r.loss[row]) = (log_z, log_z - logits[self.labels[row] as usize]);
            let (g, z) = (self.g[row] as f64, if gz { self.gz[row] as f64 } else { 0.0 });
            for v in 0..vocab {
                let dl = (g + z) * (logits[v] - log_z).exp() - if v as i32 == self.labels[row] { g } else { 0.0 };
                for c in 0..cols {
                    let (a, b) = (dl * w[v * cols + c], dl * xr[c]);
                    r.dx[row * cols + c] += a;
                    r.dw[v * cols + c] += b;
                    r.dx_size[row * cols + c] += a.abs();
                    r.dw_size[v * cols + c] += b.abs();
                }
            }
        }
        r
    }

    fn check(&self, gz: bool, accumulate: bool) -> Result<(), String> {
        self.compare(&self.run(gz, accumulate).map_err(|fault| format!("{fault:?}"))?, gz, accumulate)
    }

    pub(super) fn compare(&self, got: &Results, gz: bool, accumulate: bool) -> Result<(), String> {
        let want = self.reference(gz);
        close(&got.loss, &want.loss, 1e-6, 2e-6).map_err(|e| format!("loss: {e}"))?;
        close(&got.log_z, &want.log_z, 1e-6, 1e-6).map_err(|e| format!("log_z: {e}"))?;
        // A logit is off by a few 1e-7, which a probability inherits as a relative error, besides the rounding of the sums.
        let bound = |want: &[f64], size: &[f64], i: usize| 1e-6 + 1e-4 * want[i].abs() + 1e-6 * size[i];
        close_by(&got.dx, &want.dx, |i| bound(&want.dx, &want.dx_size, i)).map_err(|e| format!("dx: {e}"))?;
        let with_init: Vec<f64> =
            (0..want.dw.len()).map(|i| want.dw[i] + if accumulate { self.init[i] as f64 } else { 0.0 }).collect();
        close_by(&got.dw, &with_init, |i| bound(&with_init, &want.dw_size, i)).map_err(|e| format!("dw: {e}"))
    }

    pub(super) fn name(&self) -> String {
        let ignored = self.labels.iter().filter(|&&l| l == IGNORE).count();
        format!("{} x {} x {}, {ignored} ignored", self.dims.rows, self.dims.vocab, self.dims.cols)
    }
}

#[test]
fn forward_and_backward_match_the_definition() {
    let mut cases = Cases::new();
    let mut rng = Rng::new(21);
    let mut sizes = Vec::new();
    for rows in [0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 33] {
        for vocab in [1, 2, 3, 4, 5, 8, 17] {
            sizes.extend([1, 3, 4, 8, 9].map(|cols| (rows, vocab, cols)));
        }
    }
    sizes.extend([
        (64, 65, 32),
        (65, 65, 16),
        (200, 65, 24),
        (300, 127, 9),
        (300, 128, 8),
        (70, 129, 8),
        (130, 257, 5),
    ]);
    sizes.extend([
        (40, 300, 257),
        (20, 700, 300),
        (33, 16, 520),
        (9, 2500, 7),
        (1100, 33, 4),
        (5, 3, 0),
        (600, 5, 300),
    ]);
    for (rows, vocab, cols) in sizes {
        for ignored in [0, 30, 100] {
            let case = Case::new(rows, vocab, cols, ignored, &mut rng);
            for (gz, accumulate) in [(false, false), (true, true)] {
                cases.check(|| format!("{} gz {gz}", case.name()), case.check(gz, accumulate));
            }
        }
    }
    cases.finish();
}

#[test]
fn ignored_rows_are_never_read_and_leave_no_trace() {
    let mut cases = Cases::new();
    let mut rng = Rng::new(22);
    for (rows, vocab, cols) in [(9, 5, 3), (70, 65, 16), (300, 40, 9)] {
        let mut case = Case::new(rows, vocab, cols, 40, &mut rng);
        let clean = case.run(true, true).expect("labels are good");
        for row in 0..rows {
            if case.labels[row] == IGNORE {
                case.x[row * cols..][..cols].fill(f32::NAN);
                (case.g[row], case.gz[row]) = (f32::NAN, f32::INFINITY);
            }
        }
        let dirty = case.run(true, true).expect("labels are good");
        for (what, a, b) in [
            ("loss", &clean.loss, &dirty.loss),
            ("log_z", &clean.log_z, &dirty.log_z),
            ("dx", &clean.dx, &dirty.dx),
            ("dw", &clean.dw, &dirty.dw),
        ] {
            cases.check(|| format!("{what} of {}", case.name()), same_bits(a, b));
        }
        for row in (0..rows).filter(|&row| case.labels[row] == IGNORE) {
            assert_eq!((dirty.loss[row], dirty.log_z[row]), (0.0, 0.0));
            assert!(dirty.dx[row * cols..][..cols].iter().all(|&x| x == 0.0));
        }
        // A row's results do not depend on which others are ignored.
        let mut whole = Case { labels: case.labels.clone(), ..Case::new(rows, vocab, cols, 0, &mut Rng::new(1)) };
        whole.labels.iter_mut().filter(|l| **l == IGNORE).for_each(|l| *l = 0);
        let mut part = Case { labels: case.labels.clone(), x: whole.x.clone(), w: whole.w.clone(), ..whole };
        let some = part.run(false, false).expect("labels are good");
        part.labels.iter_mut().filter(|l| **l == IGNORE).for_each(|l| *l = 0);
        let all = part.run(false, false).expect("labels are good");
        for row in (0..rows).filter(|&row| case.labels[row] != IGNORE) {
            assert_eq!(some.loss[row].to_bits(), all.loss[row].to_bits(), "row {row}");
            same_bits(&some.dx[row * cols..][..cols], &all.dx[row * cols..][..cols]).expect("dx of a counted row");
        }
    }
    cases.finish();
}

#[test]
fn a_label_outside_the_vocabulary_is_a_fault_that_names_it() {
    // N10: −4, or vocab and more.
    for (row, label) in [(0, -4), (37, 65), (99, i32::MAX), (50, i32::MIN), (5, -1)] {
        let mut case = Case::new(100, 65, 8, 10, &mut Rng::new(23));
        case.labels[row] = label;
        let want = Err(Fault { code: FaultCode::LabelOutOfRange, at: row as u32, value: label });
        assert_eq!(case.run(false, false).map(|_| ()), want);
        let Case { dims, x, w, labels, g, .. } = &case;
        let log_z = vec![0.0; 100];
        let mut dx = vec![0.0; x.len()];
        assert_eq!(linear_cross_entropy_backward_x(*dims, x, w, labels, &log_z, g, None, &mut dx), want);
        let mut dw = vec![0.0; w.len()];
        assert_eq!(linear_cross_entropy_backward_w(*dims, x, w, labels, &log_z, g, None, false, &mut dw), want);
    }
}

#[test]
fn large_logits_and_wide_gaps_stay_exact() {
    let mut case = Case::new(6, 300, 4, 0, &mut Rng::new(24));
    for x in &mut case.x {
        *x *= 500.0;
    }
    let (got, want) = (case.run(false, false).expect("labels are good"), case.reference(false));
    close(&got.loss, &want.loss, 2e-4, 1e-6).expect("loss");
    close(&got.log_z, &want.log_z, 2e-4, 1e-6).expect("log_z");
    assert!(got.dx.iter().chain(&got.dw).all(|x| x.is_finite()));
}

#[test]
fn nan_in_a_counted_row_is_not_hidden() {
    let mut case = Case::new(20, 300, 4, 0, &mut Rng::new(25));
    case.x[12] = f32::NAN; // row 3
    let got = case.run(false, false).expect("labels are good");
    for row in 0..20 {
        assert_eq!(got.loss[row].is_nan(), row == 3, "row {row}");
    }
    assert!(got.dx[12..16].iter().all(|x| x.is_nan()));
}

#[test]
fn order_of_tiles_scratch_and_register_tile_do_not_show() {
    let mut cases = Cases::new();
    for (rows, vocab, cols) in [(200, 65, 33), (100, 300, 300), (530, 70, 130)] {
        let case = Case::new(rows, vocab, cols, 20, &mut Rng::new(26));
        let first = case.run(true, true).expect("labels are good");
        for register in RegisterTile::ALL {
            set_register_tile(register);
            let r = case.run(true, true).expect("labels are good");
            let same = same_bits(&first.loss, &r.loss)
                .and_then(|()| same_bits(&first.dx, &r.dx))
                .and_then(|()| same_bits(&first.dw, &r.dw));
            cases.check(|| format!("{register:?} {}", case.name()), same);
        }
        set_register_tile(RegisterTile::T4x8);
        cases.check(|| format!("reversed {}", case.name()), case.reversed(&first));
    }
    cases.finish();
}

impl Case {
    fn reversed(&self, first: &Results) -> Result<(), String> {
        let HeadDims { rows, vocab, cols, ignore } = self.dims;
        let (x, w, labels) = (self.x.as_ptr(), self.w.as_ptr(), self.labels.as_ptr());
        let (g, gz) = (self.g.as_ptr(), self.gz.as_ptr());
        let (mut loss, mut log_z) = (vec![f32::NAN; rows], vec![f32::NAN; rows]);
        let (mut dx, mut dw) = (vec![f32::NAN; rows * cols], self.init.clone());
        let forward = {
            let (loss, log_z) = (loss.as_mut_ptr(), log_z.as_mut_ptr());
            LinearCrossEntropy { x, w, labels, loss, log_z, rows, vocab, cols, ignore, storage: Storage::F32 }
        };
        assert!(forward.tiles() > 1);
        // SAFETY: all buffers have the lengths of the dims.
        unsafe { run_reversed(&forward) }.expect("labels are good");
        let log_z = log_z.as_ptr();
        let for_x = {
            let dx = dx.as_mut_ptr();
            LinearCrossEntropyBackwardX {
                x,
                w,
                labels,
                log_z,
                g,
                gz,
                dx,
                rows,
                vocab,
                cols,
                ignore,
                storage: Storage::F32,
            }
        };
        let for_w = {
            let dw = dw.as_mut_ptr();
            let init = dw.cast_const();
            LinearCrossEntropyBackwardW { x, w, labels, log_z, g, gz, init, dw, rows, vocab, cols, ignore }
        };
        assert!(for_w.tiles() > 1);
        // SAFETY: as above.
        unsafe { run_reversed(&for_x).and_then(|()| run_reversed(&for_w)) }.expect("labels are good");
        same_bits(&first.loss, &loss)?;
        same_bits(&first.dx, &dx)?;
        same_bits(&first.dw, &dw)
    }
}

#[test]
fn it_equals_a_product_followed_by_cross_entropy() {
    use crate::cross_entropy::cross_entropy_forward;
    use crate::matmul::{matmul_forward, Dims, Form};
    let case = Case::new(50, 65, 32, 20, &mut Rng::new(27));
    let got = case.run(false, false).expect("labels are good");
    let mut logits = vec![0.0; 50 * 65];
    let dims = Dims { batch: 1, m: 50, n: 65, k: 32 };
    matmul_forward(Form::Nt, dims, &case.x, &case.w, None, None, &mut logits);
    let (mut loss, mut log_z) = (vec![0.0; 50], vec![0.0; 50]);
    cross_entropy_forward(&logits, &case.labels, &mut loss, &mut log_z, 65, IGNORE).expect("labels are good");
    close(&got.loss, &wide(&loss), 1e-6, 1e-6).expect("loss");
    close(&got.log_z, &wide(&log_z), 1e-6, 1e-6).expect("log_z");
}
