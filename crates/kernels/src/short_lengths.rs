//! A test of all row-wise and elementwise kernels at every short length: a ragged end writes nothing beyond it, and its elements have the
//! bits that they have in the middle of a longer run. (Values are compared with definitions in each kernel's own tests.)

use crate::testkit::{same_bits, Cases, Rng};
use crate::tile_order::Guarded;
use crate::*;

/// Every kernel with a loop of its own, on operands of `n` elements (rows of `n` where it works by rows), between guards.
fn short(n: usize, [x, y, z]: [&[f32]; 3]) -> Vec<(String, Guarded)> {
    let head = &x[..n];
    let (x, y, z) = (x.as_ptr(), y.as_ptr(), z.as_ptr());
    let (rows, cols) = (3, n);
    let mut results = vec![];
    let mut run = |name: String, op: &dyn TileOp, out: Guarded| {
        // SAFETY: the operands hold 3·67 elements and more.
        unsafe { run_all(op) }.unwrap();
        results.push((name, out));
    };
    for kind in unary::UnaryKind::ALL {
        let (mut out, mut dx) = (Guarded::len(n), Guarded::len(n));
        run(format!("unary {kind:?}"), &unary::Unary { x, out: out.at(), n, kind, c: 0.3 }, out);
        let op = unary::UnaryBackward { x, y: x, dy: y, dx: dx.at(), n, kind, c: 0.3 };
        run(format!("unary_backward {kind:?}"), &op, dx);
    }
    for mode in binary::BinaryMode::ALL {
        let mut out = Guarded::len(n);
        let kind = binary::BinaryKind::Sub;
        let op = binary::Binary { a: x, b: y, out: out.at(), outer: 1, inner: n, kind, mode };
        run(format!("binary {mode:?}"), &op, out);
    }
    let mut out = Guarded::len(n);
    run("fill".into(), &fill::Fill { out: out.at(), n, value: 2.5 }, out);
    let mut out = Guarded::len(n);
    let (path_lo, path_hi, seed_lo, seed_hi, step, micro, p) = (1, 2, 3, 4, 5, 6, 0.2);
    let op = dropout::Dropout { x, out: out.at(), n, p, path_lo, path_hi, seed_lo, seed_hi, step, micro };
    run("dropout".into(), &op, out);
    let (mut out, clip) = (Guarded::new(head), core::ptr::null());
    let (lr, momentum, weight_decay, nesterov) = (0.1, 0.9, 0.01, true);
    let op = sgd::Sgd { p: out.at(), g: y, buf: core::ptr::null_mut(), clip, n, lr, momentum, weight_decay, nesterov };
    run("sgd".into(), &op, out);
    for log in [false, true] {
        let mut out = Guarded::len(rows * cols);
        run(format!("softmax log {log}"), &softmax::Softmax { x, out: out.at(), rows, cols, log }, out);
        let mut dx = Guarded::len(rows * cols);
        let op = softmax::SoftmaxBackward { y: x, dy: y, dx: dx.at(), rows, cols, log };
        run(format!("softmax_backward log {log}"), &op, dx);
    }
    let (mean, rstd) = ([0.1f32, 0.2, 0.3], [1.0f32, 2.0, 3.0]);
    let (mut m, mut s) = (Guarded::len(rows), Guarded::len(rows));
    for (weight, bias) in [(x, core::ptr::null()), (y, z), (core::ptr::null(), z)] {
        let mut out = Guarded::len(rows * cols);
        let (mean, rstd, eps) = (m.at(), s.at(), 1e-5);
        let op = layer_norm::LayerNorm { x, weight, bias, out: out.at(), mean, rstd, rows, cols, eps };
        run("layer_norm".into(), &op, out);
        for addend in [core::ptr::null(), z] {
            let mut dx = Guarded::len(rows * cols);
            let (mean, rstd) = (y, z);
            let op = layer_norm::LayerNormBackward { x, weight, mean, rstd, dy: y, addend, dx: dx.at(), rows, cols };
            run("layer_norm_backward".into(), &op, dx);
        }
    }
    let (mut dweight, mut dbias) = (Guarded::len(cols), Guarded::len(cols));
    let (mean, rstd) = (mean.as_ptr(), rstd.as_ptr());
    let (dw, db) = (dweight.at(), dbias.at());
    let op = layer_norm::LayerNormBackwardParams { x, mean, rstd, dy: y, dweight: dw, dbias: db, rows, cols };
    run("layer_norm_backward_params".into(), &op, dweight);
    let mut out = Guarded::len(cols);
    run("column_sum".into(), &reduce::ColumnSum { x, out: out.at(), rows, cols }, out);
    results.extend(
        [("layer_norm_backward_params dbias", dbias), ("layer_norm mean", m), ("layer_norm rstd", s)]
            .map(|(n, g)| (n.into(), g)),
    );
    results
}

#[test]
fn every_short_length_stays_between_its_guards_and_ends_have_the_bits_of_the_middle() {
    let (mut rng, mut cases) = (Rng::new(1), Cases::new());
    let [x, y, z] = [0, 1, 2].map(|_| rng.normals(3 * 67));
    let data = [&x[..], &y[..], &z[..]];
    let longest = short(67, data);
    for n in 0..=67 {
        for ((name, out), (_, long)) in short(n, data).into_iter().zip(&longest) {
            // Kernels that work element by element give each the bits it has in a longer run.
            let by_element = !["softmax", "layer_norm", "column_sum"].iter().any(|rows| name.starts_with(rows));
            let compare = || {
                let got = out.content()?;
                if by_element {
                    same_bits(&got, &long.content()?[..n])?;
                }
                Ok(())
            };
            cases.check(|| format!("{name} n {n}"), compare());
        }
    }
    cases.finish();
}
