//! The one-pass form against the definition in f64 and against the three kernels: sizes around every block, ignored and wrong
//! labels, block sizes, order of tiles, register tiles.

use super::*;
use crate::linear_cross_entropy::tests::{Case, Results, IGNORE};
use crate::matmul::micro::{set_register_tile, RegisterTile};
use crate::testkit::{close, run_reversed, same_bits, wide, Cases, Rng};
use crate::{FaultCode, TileOp};

fn one_pass(case: &Case, most: usize, accumulate: bool) -> Result<Results, Fault> {
    let Case { dims, x, w, labels, g, .. } = case;
    let mut r = Results {
        loss: vec![f32::NAN; dims.rows],
        log_z: vec![f32::NAN; dims.rows],
        dx: vec![f32::NAN; x.len()],
        dw: if accumulate { case.init.clone() } else { vec![f32::NAN; w.len()] },
    };
    let (loss, log_z) = (&mut r.loss, &mut r.log_z);
    linear_cross_entropy_one_pass(*dims, most, x, w, labels, g, loss, log_z, &mut r.dx, &mut r.dw, accumulate)?;
    Ok(r)
}

fn same(a: &Results, b: &Results) -> Result<(), String> {
    same_bits(&a.loss, &b.loss)
        .and_then(|()| same_bits(&a.log_z, &b.log_z))
        .and_then(|()| same_bits(&a.dx, &b.dx))
        .and_then(|()| same_bits(&a.dw, &b.dw))
}

#[test]
fn it_matches_the_definition_at_every_size() {
    let mut cases = Cases::new();
    let mut rng = Rng::new(31);
    let mut sizes = Vec::new();
    for rows in [0, 1, 3, 4, 5, 8, 9, 16, 17, 33] {
        for vocab in [1, 2, 4, 5, 17] {
            sizes.extend([1, 3, 8, 9].map(|cols| (rows, vocab, cols)));
        }
    }
    sizes.extend([(64, 65, 32), (200, 65, 24), (300, 128, 8), (70, 129, 8), (40, 300, 257), (20, 700, 300)]);
    sizes.extend([(33, 16, 520), (9, 2500, 7), (1100, 33, 4), (5, 3, 0), (600, 5, 300), (350, 1030, 40)]);
    for (rows, vocab, cols) in sizes {
        for ignored in [0, 30, 100] {
            let case = Case::new(rows, vocab, cols, ignored, &mut rng);
            for (most, accumulate) in [(rows.max(1), false), (rows / 3 + 1, true)] {
                let result = one_pass(&case, most, accumulate)
                    .map_err(|fault| format!("{fault:?}"))
                    .and_then(|got| case.compare(&got, false, accumulate));
                cases.check(|| format!("{} by {most}", case.name()), result);
            }
        }
    }
    cases.finish();
}

#[test]
fn it_gives_what_the_three_kernels_give() {
    let mut cases = Cases::new();
    let mut rng = Rng::new(32);
    for (rows, vocab, cols) in [(70, 65, 32), (300, 700, 40), (33, 1300, 300)] {
        let case = Case::new(rows, vocab, cols, 20, &mut rng);
        let (got, want) = (one_pass(&case, rows, true).unwrap(), case.run(false, true).unwrap());
        // Sums of exponentials are cut at other places: log_z differs by an ulp, which gradients inherit.
        for (what, a, b) in [
            ("loss", &got.loss, &want.loss),
            ("log_z", &got.log_z, &want.log_z),
            ("dx", &got.dx, &want.dx),
            ("dw", &got.dw, &want.dw),
        ] {
            cases.check(|| format!("{what} of {}", case.name()), close(a, &wide(b), 1e-6, 1e-6));
        }
    }
    cases.finish();
}

#[test]
fn the_size_of_blocks_never_shows_in_a_bit() {
    let mut cases = Cases::new();
    for (rows, vocab, cols, ignored) in [(97, 65, 33, 0), (130, 530, 20, 40), (40, 17, 8, 100)] {
        let case = Case::new(rows, vocab, cols, ignored, &mut Rng::new(33));
        let whole = one_pass(&case, rows, true).unwrap();
        for most in [1, 7, 16, 33, 96, 400] {
            let parts = one_pass(&case, most, true).unwrap();
            cases.check(|| format!("{} by {most}", case.name()), same(&whole, &parts));
        }
    }
    cases.finish();
}

#[test]
fn ignored_rows_are_never_read_and_leave_no_trace() {
    let mut cases = Cases::new();
    for (rows, vocab, cols) in [(9, 5, 3), (70, 65, 16), (300, 40, 9)] {
        let mut case = Case::new(rows, vocab, cols, 40, &mut Rng::new(34));
        let clean = one_pass(&case, rows / 2, true).unwrap();
        for row in (0..rows).filter(|&row| case.labels[row] == IGNORE) {
            case.x[row * cols..][..cols].fill(f32::NAN);
            case.g[row] = f32::NAN;
        }
        let dirty = one_pass(&case, rows / 2, true).unwrap();
        cases.check(|| case.name(), same(&clean, &dirty));
        for row in (0..rows).filter(|&row| case.labels[row] == IGNORE) {
            assert_eq!((dirty.loss[row], dirty.log_z[row]), (0.0, 0.0));
            assert!(dirty.dx[row * cols..][..cols].iter().all(|&x| x == 0.0));
        }
    }
    cases.finish();
    let case = Case::new(50, 20, 8, 100, &mut Rng::new(35));
    let none = one_pass(&case, 16, true).unwrap();
    assert!(none.loss.iter().chain(&none.dx).all(|&x| x == 0.0));
    same_bits(&none.dw, &case.init).expect("without a counted row dw is its initial value");
    assert!(one_pass(&case, 16, false).unwrap().dw.iter().all(|&x| x == 0.0));
}

#[test]
fn nan_in_a_counted_row_is_not_hidden_and_large_logits_stay_exact() {
    let mut case = Case::new(20, 300, 4, 0, &mut Rng::new(36));
    case.x[12] = f32::NAN; // row 3
    let got = one_pass(&case, 20, false).unwrap();
    for row in 0..20 {
        assert_eq!(got.loss[row].is_nan(), row == 3, "row {row}");
    }
    assert!(got.dx[12..16].iter().all(|x| x.is_nan()));
    let mut case = Case::new(6, 1300, 4, 0, &mut Rng::new(37));
    for x in &mut case.x {
        *x *= 500.0;
    }
    let (got, want) = (one_pass(&case, 6, false).unwrap(), case.reference(false));
    close(&got.loss, &want.loss, 2e-4, 1e-6).expect("loss");
    close(&got.log_z, &want.log_z, 2e-4, 1e-6).expect("log_z");
    assert!(got.dx.iter().chain(&got.dw).all(|x| x.is_finite()));
}

#[test]
fn a_label_outside_the_vocabulary_is_a_fault_that_names_it() {
    for (row, label) in [(0, -4), (37, 65), (99, i32::MAX), (50, i32::MIN), (5, -1)] {
        for most in [100, 16] {
            let mut case = Case::new(100, 65, 8, 10, &mut Rng::new(38));
            case.labels[row] = label;
            let want = Err(Fault { code: FaultCode::LabelOutOfRange, at: row as u32, value: label });
            assert_eq!(one_pass(&case, most, false).map(|_| ()), want, "by {most}");
        }
    }
}

#[test]
fn order_of_tiles_scratch_and_register_tile_do_not_show() {
    let mut cases = Cases::new();
    for (rows, vocab, cols) in [(200, 65, 100), (100, 1300, 300), (530, 70, 130)] {
        let case = Case::new(rows, vocab, cols, 20, &mut Rng::new(39));
        let first = one_pass(&case, rows, true).unwrap();
        for register in RegisterTile::ALL {
            set_register_tile(register);
            let again = one_pass(&case, rows, true).unwrap();
            cases.check(|| format!("{register:?} {}", case.name()), same(&first, &again));
        }
        set_register_tile(RegisterTile::T4x8);
        cases.check(|| format!("reversed {}", case.name()), same(&first, &reversed(&case)));
    }
    cases.finish();
}

/// One block with the tiles of every operation from last to first, memory full of NaN, and dW in other memory than its initial value.
fn reversed(case: &Case) -> Results {
    let HeadDims { rows, vocab, cols, ignore } = case.dims;
    let (x, w, labels, g) = (case.x.as_ptr(), case.w.as_ptr(), case.labels.as_ptr(), case.g.as_ptr());
    let stride = head_stride(rows);
    let dims = HeadBlock { rows, vocab, cols, most: rows, stride, ignore, first: 0 };
    let mut logits = vec![f32::NAN; vocab * stride];
    let mut stats = vec![f32::NAN; stats_len(vocab, stride)];
    let nan = |n: usize| vec![f32::NAN; n];
    let mut r = Results { loss: nan(rows), log_z: nan(rows), dx: nan(rows * cols), dw: nan(vocab * cols) };
    let (logits, stats) = (logits.as_mut_ptr(), stats.as_mut_ptr());
    let (loss, log_z, dx, dw) = (r.loss.as_mut_ptr(), r.log_z.as_mut_ptr(), r.dx.as_mut_ptr(), r.dw.as_mut_ptr());
    let storage = Storage::F32;
    let ops: [&dyn TileOp; 4] = [
        &HeadLogits { x, w, storage, labels, logits, stats, dims },
        &HeadLoss { labels, logits, stats, loss, log_z, dims },
        &HeadBackwardW { x, labels, log_z, g, init: case.init.as_ptr(), dw, logits, dims },
        &HeadBackwardX { w, storage, labels, dlogits: logits, dx, dims, threads: 2 },
    ];
    for op in ops {
        assert!(op.tiles() > 1);
        // SAFETY: all buffers have the lengths of the dims.
        unsafe { run_reversed(op) }.expect("labels are good");
    }
    r
}
