//! A test of all row-wise and elementwise kernels at once: tiles may run in any order, with anything in scratch, and write nothing
//! beyond their results. (matmul, attention and the fused head have tests of their own.)

use crate::testkit::{run_reversed, same_bits, Cases, Rng};
use crate::*;

/// A result between two guards that no kernel may touch.
pub(crate) struct Guarded(Vec<f32>);

const GUARD: usize = 16;
const UNTOUCHED: f32 = 1234.5;

impl Guarded {
    pub(crate) fn new(content: &[f32]) -> Self {
        let guard = [UNTOUCHED; GUARD];
        Self([&guard, content, &guard].concat())
    }

    pub(crate) fn len(n: usize) -> Self {
        Self::new(&vec![-7.0; n])
    }

    pub(crate) fn at(&mut self) -> *mut f32 {
        self.0[GUARD..].as_mut_ptr()
    }

    pub(crate) fn content(&self) -> Result<Vec<f32>, String> {
        let n = self.0.len() - 2 * GUARD;
        let (front, back) = (&self.0[..GUARD], &self.0[GUARD + n..]);
        if front.iter().chain(back).any(|v| *v != UNTOUCHED) {
            return Err("a guard was overwritten".into());
        }
        Ok(self.0[GUARD..GUARD + n].to_vec())
    }
}

type Run<'a> = &'a dyn Fn(&dyn TileOp);

/// Runs a case in both orders; it returns its guarded results.
fn check(cases: &mut Cases, name: &str, many: bool, case: impl Fn(Run) -> Vec<Guarded>) {
    let tiles = std::cell::Cell::new(0);
    // SAFETY: the cases below pass operands of the lengths their ops ask for.
    let forwards = case(&|op| unsafe {
        tiles.set(tiles.get().max(op.tiles()));
        run_all(op).unwrap()
    });
    // SAFETY: as above.
    let backwards = case(&|op| unsafe { run_reversed(op).unwrap() });
    let compare = || {
        if many && tiles.get() < 2 {
            return Err("one tile proves nothing".to_string());
        }
        for (a, b) in forwards.iter().zip(&backwards) {
            same_bits(&a.content()?, &b.content()?)?;
        }
        Ok(())
    };
    cases.check(|| name.to_string(), compare());
}

struct Data {
    x: Vec<f32>,
    y: Vec<f32>,
    z: Vec<f32>,
    ids: Vec<i32>,
}

/// 301 rows of 129: several tiles and ragged ends everywhere.
const ROWS: usize = 301;
const COLS: usize = 129;
const N: usize = ROWS * COLS;

fn data() -> Data {
    let mut rng = Rng::new(1);
    let ids = (0..ROWS).map(|r| if r % 7 == 3 { -100 } else { rng.below(COLS) as i32 }).collect();
    Data { x: rng.normals(N), y: rng.normals(N), z: rng.normals(N), ids }
}

#[test]
fn elementwise_kernels() {
    let (d, mut cases) = (data(), Cases::new());
    let (x, y) = (d.x.as_ptr(), d.y.as_ptr());
    for kind in unary::UnaryKind::ALL {
        check(&mut cases, &format!("unary {kind:?}"), true, |run| {
            let mut out = Guarded::len(N);
            run(&unary::Unary { x, out: out.at(), n: N, kind, c: 0.3 });
            let mut dx = Guarded::len(N);
            run(&unary::UnaryBackward { x, y: x, dy: y, dx: dx.at(), n: N, kind, c: 0.3 });
            vec![out, dx]
        });
    }
    for mode in binary::BinaryMode::ALL {
        check(&mut cases, &format!("binary {mode:?}"), true, |run| {
            let mut out = Guarded::len(N);
            let kind = binary::BinaryKind::Div;
            run(&binary::Binary { a: x, b: y, out: out.at(), outer: ROWS, inner: COLS, kind, mode });
            vec![out]
        });
    }
    check(&mut cases, "fill", true, |run| {
        let mut out = Guarded::len(N);
        run(&fill::Fill { out: out.at(), n: N, value: 2.5 });
        vec![out]
    });
    check(&mut cases, "dropout", true, |run| {
        let mut out = Guarded::len(N);
        let (path_lo, path_hi, seed_lo, seed_hi, step, micro) = (1, 2, 3, 4, 5, 6);
        run(&dropout::Dropout { x, out: out.at(), n: N, p: 0.2, path_lo, path_hi, seed_lo, seed_hi, step, micro });
        vec![out]
    });
    check(&mut cases, "transpose", true, |run| {
        let mut out = Guarded::len(N);
        run(&transpose::Transpose { x, out: out.at(), batch: 7, m: ROWS / 7, n: COLS });
        vec![out]
    });
    cases.finish();
}

#[test]
fn updates() {
    let (d, mut cases) = (data(), Cases::new());
    let clip = [1.0f32, 0.5, 0.0, 2.0];
    check(&mut cases, "adamw", true, |run| {
        let (mut p, mut m, mut v) = (Guarded::new(&d.x), Guarded::len(N), Guarded::new(&vec![0.5; N]));
        run(&adamw::AdamW {
            p: p.at(),
            g: d.y.as_ptr(),
            m: m.at(),
            v: v.at(),
            clip: clip.as_ptr(),
            n: N,
            lr: 1e-2,
            c1: 0.1,
            c2: 0.2,
            beta1: 0.9,
            beta2: 0.99,
            eps: 1e-8,
            weight_decay: 0.1,
            one_minus_beta1: 0.1,
            one_minus_beta2: 0.01,
        });
        vec![p, m, v]
    });
    check(&mut cases, "sgd", true, |run| {
        let (mut p, mut buf) = (Guarded::new(&d.x), Guarded::new(&d.z));
        let (g, clip) = (d.y.as_ptr(), clip.as_ptr());
        let (lr, momentum, weight_decay, nesterov) = (0.1, 0.9, 0.01, true);
        run(&sgd::Sgd { p: p.at(), g, buf: buf.at(), clip, n: N, lr, momentum, weight_decay, nesterov });
        vec![p, buf]
    });
    check(&mut cases, "squared_norm", true, |run| {
        let mut partials = vec![0.0f64; N.div_ceil(norm::PARTIAL)];
        run(&norm::SquaredNorm { g: d.x.as_ptr(), partials: partials.as_mut_ptr(), n: N });
        let mut out = Guarded::len(4);
        let (partials, n_partials) = (partials.as_ptr(), partials.len());
        run(&norm::ClipFinish { partials, count: &2.0, out: out.at(), n_partials, max_norm: 1.0 });
        vec![out]
    });
    cases.finish();
}

#[test]
fn reductions_and_rows() {
    let (d, mut cases) = (data(), Cases::new());
    let (x, y, z, labels) = (d.x.as_ptr(), d.y.as_ptr(), d.z.as_ptr(), d.ids.as_ptr());
    let (rows, cols, vocab) = (ROWS, COLS, COLS);
    check(&mut cases, "column_sum", true, |run| {
        let mut out = Guarded::len(COLS);
        run(&reduce::ColumnSum { x, out: out.at(), rows, cols });
        vec![out]
    });
    check(&mut cases, "row_sum", true, |run| {
        let mut out = Guarded::len(ROWS);
        run(&reduce::RowSum { x, out: out.at(), rows, cols });
        vec![out]
    });
    check(&mut cases, "sum_all and count_labels", false, |run| {
        let (mut sum, mut count) = (Guarded::len(1), Guarded::len(1));
        run(&reduce::SumAll { x, out: sum.at(), n: N, scale: 0.5 });
        run(&reduce::CountLabels { labels, out: count.at(), n: ROWS, ignore: -100 });
        vec![sum, count]
    });
    for log in [false, true] {
        check(&mut cases, &format!("softmax log {log}"), true, |run| {
            let (mut out, mut dx) = (Guarded::len(N), Guarded::len(N));
            run(&softmax::Softmax { x, out: out.at(), rows, cols, log });
            run(&softmax::SoftmaxBackward { y: out.at(), dy: y, dx: dx.at(), rows, cols, log });
            vec![out, dx]
        });
    }
    check(&mut cases, "layer_norm", true, |run| {
        let (mut out, mut mean, mut rstd) = (Guarded::len(N), Guarded::len(ROWS), Guarded::len(ROWS));
        let (weight, bias, eps) = (y, z, 1e-5);
        run(&layer_norm::LayerNorm {
            x,
            weight,
            bias,
            out: out.at(),
            mean: mean.at(),
            rstd: rstd.at(),
            rows,
            cols,
            eps,
        });
        let (mut dx, mut dw, mut db) = (Guarded::new(&d.z), Guarded::len(COLS), Guarded::len(COLS));
        let (mean_of, rstd_of) = (mean.at().cast_const(), rstd.at().cast_const());
        let addend = dx.at().cast_const();
        run(&layer_norm::LayerNormBackward {
            x,
            weight,
            mean: mean_of,
            rstd: rstd_of,
            dy: y,
            addend,
            dx: dx.at(),
            rows,
            cols,
        });
        run(&layer_norm::LayerNormBackwardParams {
            x,
            mean: mean_of,
            rstd: rstd_of,
            dy: y,
            dweight: dw.at(),
            dbias: db.at(),
            rows,
            cols,
        });
        vec![out, mean, rstd, dx, dw, db]
    });
    check(&mut cases, "cross_entropy", true, |run| {
        let (mut loss, mut log_z, mut dlogits) = (Guarded::len(ROWS), Guarded::len(ROWS), Guarded::len(N));
        run(&cross_entropy::CrossEntropy {
            logits: x,
            labels,
            loss: loss.at(),
            log_z: log_z.at(),
            rows,
            vocab,
            ignore: -100,
        });
        run(&cross_entropy::CrossEntropyBackward {
            logits: x,
            labels,
            log_z: log_z.at(),
            g: y,
            gz: z,
            dlogits: dlogits.at(),
            rows,
            vocab,
            ignore: -100,
        });
        vec![loss, log_z, dlogits]
    });
    cases.finish();
}

#[test]
fn tables_and_copies() {
    let (d, mut cases) = (data(), Cases::new());
    let ids: Vec<i32> = d.ids.iter().map(|i| i.max(&0) % 100).collect();
    let (x, y) = (d.x.as_ptr(), d.y.as_ptr());
    for vocab in [100, ROWS] {
        check(&mut cases, &format!("embedding of {vocab}"), true, |run| {
            let (mut out, mut dtable) = (Guarded::len(N), Guarded::len(vocab * COLS));
            run(&embedding::Embedding {
                table: x,
                ids: ids.as_ptr(),
                out: out.at(),
                rows: ROWS,
                cols: COLS,
                vocab,
                storage: crate::stored::Storage::F32,
            });
            let (ids, dtable_at) = (ids.as_ptr(), dtable.at());
            run(&embedding::EmbeddingBackward {
                ids,
                dy: y,
                init: x,
                dtable: dtable_at,
                rows: ROWS,
                cols: COLS,
                vocab,
            });
            vec![out, dtable]
        });
    }
    check(&mut cases, "add_position", true, |run| {
        let (batch, time, cols, position, table_rows) = (7, ROWS / 7, COLS, 3, ROWS);
        let (mut out, mut dtable) = (Guarded::len(N), Guarded::len(table_rows * COLS));
        run(&position::AddPosition {
            x,
            table: y,
            positions: core::ptr::null(),
            out: out.at(),
            batch,
            time,
            cols,
            position,
            table_rows,
        });
        run(&position::AddPositionBackward { dy: x, dtable: dtable.at(), batch, time, cols, position, table_rows });
        vec![out, dtable]
    });
    check(&mut cases, "copy_rows", true, |run| {
        let mut dst = Guarded::len(N);
        run(&copy_rows::CopyRows {
            src: x,
            dst: dst.at(),
            positions: core::ptr::null(),
            batch: 7,
            time: ROWS / 7,
            cols: COLS - 2,
            src_row: COLS,
            src_batch: ROWS / 7 * COLS,
            src_offset: 1,
            dst_row: COLS,
            dst_batch: ROWS / 7 * COLS,
            dst_offset: 2,
        });
        vec![dst]
    });
    check(&mut cases, "sample", true, |run| {
        let mut tokens = vec![-1i32; ROWS];
        run(&sample::Sample {
            logits: x,
            positions: core::ptr::null_mut(),
            out: tokens.as_mut_ptr(),
            report: core::ptr::null_mut(),
            rows: ROWS,
            stride: COLS,
            columns: 2,
            rules: sample::Rules {
                bias: core::ptr::null(),
                lists: core::ptr::null(),
                counts: core::ptr::null_mut(),
                state: core::ptr::null_mut(),
                vocab: COLS,
                list: 0,
                repetition: 1.0,
                presence: 0.0,
                frequency: 0.0,
                min_new: 0,
                draw: 3,
            },
            temperature: 0.8,
            top_k: 40,
            top_p: 0.9,
            min_p: 0.01,
            top_n: 0,
            seed_lo: 1,
            seed_hi: 2,
        });
        vec![Guarded::new(&tokens.iter().map(|&t| t as f32).collect::<Vec<_>>())]
    });
    cases.finish();
}
