//! Attention against the definition: sizes around every block, lane and tile, masks, cross lengths, strides, dropout, and
//! what must not show: order of tiles, the register tile, and (in `exclusion.rs`) excluded entries.

use super::naive::Inputs;
use super::*;
use crate::matmul::micro::{set_register_tile, RegisterTile};
use crate::philox::Stream;
use crate::testkit::{close, run_reversed, same_bits, wide, Cases, Rng};
use crate::tile::TileOp;
use crate::vecmath;

mod counts;
mod exclusion;
mod groups;
mod visible;

/// Random inputs in f32 with everything the kernels write.
struct Case {
    dims: AttentionDims,
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
    mask: Option<Vec<i32>>,
    bias: Option<Vec<f32>>,
    starts: Option<Vec<i32>>,
    dout: Vec<f32>,
    result: Results,
}

#[derive(Clone, Default)]
struct Results {
    out: Vec<f32>,
    lse: Vec<f32>,
    delta: Vec<f32>,
    dq: Vec<f32>,
    dk: Vec<f32>,
    dv: Vec<f32>,
}

impl Results {
    fn same(&self, other: &Self) -> Result<(), String> {
        same_bits(&self.out, &other.out).map_err(|e| format!("out: {e}"))?;
        same_bits(&self.lse, &other.lse).map_err(|e| format!("lse: {e}"))?;
        same_bits(&self.delta, &other.delta).map_err(|e| format!("delta: {e}"))?;
        same_bits(&self.dq, &other.dq).map_err(|e| format!("dq: {e}"))?;
        same_bits(&self.dk, &other.dk).map_err(|e| format!("dk: {e}"))?;
        same_bits(&self.dv, &other.dv).map_err(|e| format!("dv: {e}"))
    }
}

impl Case {
    fn new(dims: AttentionDims, mask: bool, rng: &mut Rng) -> Self {
        let c = dims.heads * dims.head_dim;
        let len = |t: usize, row: usize| dims.batch * t * row;
        assert!(dims.q_row >= c);
        let mask = mask.then(|| (0..dims.batch * dims.tk).map(|_| (rng.below(4) != 0) as i32).collect());
        Self {
            dims,
            q: rng.normals(len(dims.tq, dims.q_row)),
            k: rng.normals(len(dims.tk, dims.k_row)),
            v: rng.normals(len(dims.tk, dims.v_row)),
            mask,
            bias: None,
            starts: None,
            dout: rng.normals(dims.out_len()).iter().map(|x| 0.25 * x).collect(),
            result: Results::default(),
        }
    }

    fn limits(&self) -> Limits<'_> {
        Limits { key_mask: self.mask.as_deref(), mask: self.bias.as_deref(), starts: self.starts.as_deref() }
    }

    fn inputs(&self, r: &Results) -> BackwardInputs {
        let (q, k, v) = (self.q.as_ptr(), self.k.as_ptr(), self.v.as_ptr());
        let (visibility, dims) = (self.limits().visibility(&self.dims), self.dims);
        BackwardInputs { q, k, v, visibility, lse: r.lse.as_ptr(), dout: self.dout.as_ptr(), dims }
    }

    /// Runs forward and backward through the slice shells.
    fn run(&mut self) -> &Results {
        let d = self.dims;
        let mut r = Results {
            out: vec![f32::NAN; d.out_len()],
            lse: vec![f32::NAN; d.lse_len()],
            delta: vec![f32::NAN; d.lse_len()],
            dq: vec![0.0; self.q.len()],
            dk: vec![0.0; self.k.len()],
            dv: vec![0.0; self.v.len()],
        };
        let limits = self.limits();
        attention_forward(d, &self.q, &self.k, &self.v, limits, &mut r.out, &mut r.lse);
        let Results { out, lse, delta, dq, dk, dv } = &mut r;
        attention_backward(d, &self.q, &self.k, &self.v, limits, out, lse, &self.dout, delta, dq, dk, dv);
        self.result = r;
        &self.result
    }

    fn reference(&self) -> super::naive::Reference {
        let (q, k, v, dout) = (wide(&self.q), wide(&self.k), wide(&self.v), wide(&self.dout));
        let (mask, bias, starts) = (self.mask.clone(), self.bias.clone(), self.starts.clone());
        Inputs { dims: self.dims, q, k, v, mask, bias, starts, dout }.reference()
    }

    fn name(&self) -> String {
        let AttentionDims { batch, tq, tk, heads, kv_heads, head_dim, causal, q_row, dropout, .. } = self.dims;
        let (mask, dropout) = (self.mask.is_some(), dropout.is_some());
        let (bias, starts) = (self.bias.as_ref().map(Vec::len), self.starts.is_some());
        format!("{batch}x{heads}/{kv_heads} {tq}x{tk} width {head_dim} row {q_row} causal {causal} mask {mask} {bias:?} starts {starts} dropout {dropout}")
    }

    fn check(&mut self) -> Result<(), String> {
        let want = self.reference();
        let got = self.run();
        close(&got.out, &want.out, 2e-6, 1e-5).map_err(|e| format!("out: {e}"))?;
        close(&got.lse, &want.lse, 2e-6, 1e-6).map_err(|e| format!("lse: {e}"))?;
        close(&got.delta, &want.delta, 1e-5, 1e-5).map_err(|e| format!("delta: {e}"))?;
        // dp − delta cancels, so the absolute part scales with dout, which the cases draw a quarter the size of the values.
        close(&got.dq, &want.dq, 1e-6, 1e-4).map_err(|e| format!("dq: {e}"))?;
        close(&got.dk, &want.dk, 1e-6, 1e-4).map_err(|e| format!("dk: {e}"))?;
        close(&got.dv, &want.dv, 1e-6, 1e-4).map_err(|e| format!("dv: {e}"))?;
        let whole = self.whole_heads();
        self.result.same(&whole).map_err(|e| format!("a head per work item: {e}"))
    }

    /// The result with the gradients of [`AttentionBackward`], computed over NaN.
    fn whole_heads(&self) -> Results {
        let mut r = self.result.clone();
        for (gradient, result) in
            [(&mut r.dq, &self.result.dq), (&mut r.dk, &self.result.dk), (&mut r.dv, &self.result.dv)]
        {
            // What lies between strided rows is left alone.
            for (to, from) in gradient.iter_mut().zip(result) {
                *to = if *from == 0.0 { 0.0 } else { f32::NAN };
            }
        }
        let inputs = self.inputs(&r);
        let (out, dq, dk, dv) = (r.out.as_ptr(), r.dq.as_mut_ptr(), r.dk.as_mut_ptr(), r.dv.as_mut_ptr());
        // SAFETY: all buffers have the lengths of the dims.
        unsafe {
            run_reversed(&AttentionBackward { inputs, out, dq, dk, dv }).expect("no faults");
        }
        r
    }
}

fn keep(p: f32) -> Option<Keep> {
    Some(Keep::new(p, Stream::new([7, 8], 2, 1, [3, 4])))
}

/// Dims around every border: lengths, widths, causal or not, cross lengths both ways.
fn all_dims() -> Vec<AttentionDims> {
    let mut all = Vec::new();
    for (tq, tk) in [
        (1, 1),
        (2, 2),
        (3, 3),
        (4, 4),
        (5, 5),
        (7, 7),
        (8, 8),
        (9, 9),
        (17, 17),
        (33, 33),
        (63, 63),
        (64, 64),
        (65, 65),
        (67, 67),
    ] {
        for head_dim in [1, 3, 4, 5, 7, 8, 9, 16, 17] {
            all.extend([false, true].map(|causal| AttentionDims::contiguous(1, tq, tk, 2, head_dim, causal)));
        }
    }
    for (tq, tk) in [
        (0, 3),
        (3, 0),
        (1, 9),
        (9, 1),
        (2, 70),
        (70, 2),
        (5, 12),
        (12, 5),
        (60, 70),
        (70, 60),
        (65, 130),
        (130, 65),
        (3, 66),
        (1, 600),
        (35, 520),
        (520, 35),
    ] {
        for head_dim in [3, 8] {
            all.extend([false, true].map(|causal| AttentionDims::contiguous(2, tq, tk, 3, head_dim, causal)));
        }
    }
    // Around the blocks of keys (64, 128) and queries (64, 256), with as many heads as make a run hold several blocks.
    for (batch, tq, tk) in [(24, 129, 129), (1, 257, 257), (1, 300, 127), (12, 70, 193)] {
        all.extend([false, true].map(|causal| AttentionDims::contiguous(batch, tq, tk, 1, 17, causal)));
    }
    all.extend([false, true].map(|causal| AttentionDims::contiguous(2, 64, 64, 4, 32, causal)));
    all.extend([false, true].map(|causal| AttentionDims::packed_qkv(2, 37, 2, 8, causal)));
    all.push(AttentionDims::packed_qkv(1, 130, 1, 64, true));
    // Heads that share keys and values.
    for (tq, tk) in [(1, 1), (1, 70), (3, 9), (5, 5), (9, 4), (33, 66), (66, 130), (300, 127), (0, 3), (3, 0)] {
        for heads in [[2, 1], [6, 2], [4, 4], [3, 1]] {
            all.extend([false, true].map(|causal| AttentionDims::grouped(2, tq, tk, heads, 9, causal)));
        }
    }
    all.push(AttentionDims { scale: 0.3, ..AttentionDims::packed_qkv(3, 10, 2, 5, true) });
    all
}

#[test]
fn forward_and_backward_match_the_definition() {
    let mut cases = Cases::new();
    let mut rng = Rng::new(42);
    for dims in all_dims() {
        for mask in [false, true] {
            for dropout in [None, keep(0.25)] {
                let mut case = Case::new(AttentionDims { dropout, ..dims }, mask, &mut rng);
                let result = case.check();
                cases.check(|| case.name(), result);
            }
        }
    }
    cases.finish();
}

#[test]
fn a_later_query_block_sees_what_one_block_would() {
    // More than one block of queries and of keys, with and without the longer block size.
    let mut cases = Cases::new();
    let mut rng = Rng::new(43);
    for (batch, tq, tk) in [(1, 200, 200), (1, 100, 600), (1, 600, 100), (24, 300, 300), (12, 70, 330)] {
        for causal in [false, true] {
            let mut case = Case::new(AttentionDims::contiguous(batch, tq, tk, 2, 32, causal), true, &mut rng);
            let result = case.check();
            cases.check(|| format!("{batch} {tq} {tk} {causal}"), result);
        }
    }
    cases.finish();
}

#[test]
fn large_scores_do_not_overflow() {
    let mut case = Case::new(AttentionDims::contiguous(1, 6, 6, 1, 4, true), false, &mut Rng::new(48));
    for x in case.q.iter_mut().chain(&mut case.k) {
        *x *= 300.0;
    }
    let r = case.run();
    for x in [&r.out, &r.lse, &r.dq, &r.dk, &r.dv] {
        assert!(x.iter().all(|x| x.is_finite()));
    }
}

#[test]
fn order_of_tiles_scratch_and_register_tile_do_not_show() {
    let mut cases = Cases::new();
    let mut rng = Rng::new(49);
    for (tq, tk, causal, dropout) in [(130, 130, true, None), (70, 90, true, keep(0.5)), (66, 40, false, keep(0.1))] {
        let mut dims = AttentionDims::contiguous(2, tq, tk, 2, 9, causal);
        dims.dropout = dropout;
        let mut case = Case::new(dims, true, &mut rng);
        let first = case.run().clone();
        for register in RegisterTile::ALL {
            set_register_tile(register);
            let again = case.run().clone();
            cases.check(|| format!("{register:?} {tq} {tk}"), first.same(&again));
        }
        set_register_tile(RegisterTile::T4x8);
        let reversed = case.reversed();
        cases.check(|| format!("reversed {tq} {tk}"), first.same(&reversed));
    }
    cases.finish();
}

impl Case {
    fn reversed(&self) -> Results {
        let mut r = self.result.clone();
        for x in [&mut r.out, &mut r.lse, &mut r.delta, &mut r.dq, &mut r.dk, &mut r.dv] {
            x.fill(f32::NAN);
        }
        let inputs = self.inputs(&r);
        let BackwardInputs { q, k, v, visibility, dims, .. } = inputs;
        let (out, lse, delta) = (r.out.as_mut_ptr(), r.lse.as_mut_ptr(), r.delta.as_mut_ptr());
        let (dq, dk, dv) = (r.dq.as_mut_ptr(), r.dk.as_mut_ptr(), r.dv.as_mut_ptr());
        // SAFETY: all buffers have the lengths of the dims; the three run one after the other.
        unsafe {
            run_reversed(&Attention { q, k, v, visibility, key_counts: core::ptr::null(), out, lse, dims })
                .expect("no faults");
            run_reversed(&AttentionBackwardQ { inputs, out, dq, delta }).expect("no faults");
            run_reversed(&AttentionBackwardKv { inputs, delta, dk, dv }).expect("no faults");
        }
        r
    }
}

#[test]
fn gradients_into_thirds_of_one_buffer_leave_the_other_thirds_alone() {
    let mut rng = Rng::new(50);
    let (t, heads, head_dim) = (13, 2, 5);
    let (c, n) = (heads * head_dim, 2 * t * 3 * heads * head_dim);
    let dims = AttentionDims::packed_qkv(2, t, heads, head_dim, true);
    let qkv = rng.normals(n);
    let apart =
        |third: usize| -> Vec<f32> { (0..2 * t).flat_map(|r| qkv[r * 3 * c + third * c..][..c].to_vec()).collect() };
    let dout = rng.normals(dims.out_len());
    let mut separate = Case {
        dims: AttentionDims::contiguous(2, t, t, heads, head_dim, true),
        q: apart(0),
        k: apart(1),
        v: apart(2),
        mask: None,
        bias: None,
        starts: None,
        dout: dout.clone(),
        result: Results::default(),
    };
    let want = separate.run();
    let (mut out, mut lse, mut delta) =
        (vec![0.0; dims.out_len()], vec![0.0; dims.lse_len()], vec![0.0; dims.lse_len()]);
    attention_forward(dims, &qkv, &qkv[c..], &qkv[2 * c..], Limits::default(), &mut out, &mut lse);
    let mut thirds = [vec![7.0; n], vec![7.0; n], vec![7.0; n]];
    let [dq, dk, dv] = &mut thirds;
    let (k, v) = (&qkv[c..], &qkv[2 * c..]);
    attention_backward(
        dims,
        &qkv,
        k,
        v,
        Limits::default(),
        &out,
        &lse,
        &dout,
        &mut delta,
        dq,
        &mut dk[c..],
        &mut dv[2 * c..],
    );
    same_bits(&want.out, &out).expect("out");
    for (third, want) in [&want.dq, &want.dk, &want.dv].into_iter().enumerate() {
        for row in 0..2 * t {
            for at in 0..3 * c {
                let got = thirds[third][row * 3 * c + at];
                let expected = if at / c == third { want[row * c + at % c] } else { 7.0 };
                assert_eq!(got.to_bits(), expected.to_bits(), "third {third} row {row} at {at}");
            }
        }
    }
}

#[test]
fn dropout_follows_the_element_numbers() {
    // With one key per probability row of equal weights, the output shows which elements were kept.
    let mut dims = AttentionDims::contiguous(2, 3, 6, 2, 6, false);
    dims.dropout = keep(0.5);
    let mut case = Case::new(dims, false, &mut Rng::new(51));
    case.q.fill(0.0);
    // Value j is the unit vector j in every head.
    for (at, x) in case.v.iter_mut().enumerate() {
        *x = (at % 6 == at / 12 % 6) as u8 as f32;
    }
    let out = case.run().out.clone();
    for (b, h, i, j) in (0..2 * 2 * 3 * 6).map(|x| (x / 36, x / 18 % 2, x / 6 % 3, x % 6)) {
        let element = ((b * 2 + h) * 3 + i) * 6 + j;
        let want = keep(0.5).expect("some").factor(element as u64) / 6.0;
        let got = out[(b * 3 + i) * 12 + h * 6 + j];
        assert!((got - want).abs() < 1e-6, "element {element}: got {got}, want {want}");
    }
    assert!((vecmath::log(6.0) - case.result.lse[0]).abs() < 1e-6);
}

#[test]
fn few_queries_give_the_bits_of_many() {
    // The last one to three queries alone, as in generation, against the same queries among all others.
    let mut cases = Cases::new();
    let mut rng = Rng::new(52);
    for (t, head_dim, masked) in [(5, 8, false), (70, 12, true), (300, 16, false), (521, 5, true)] {
        let mut all = Case::new(AttentionDims::contiguous(2, t, t, 2, head_dim, true), masked, &mut rng);
        let want = all.run().clone();
        let c = 2 * head_dim;
        for few in 1..=3 {
            let dims = AttentionDims::contiguous(2, few, t, 2, head_dim, true);
            let last = |x: &[f32]| -> Vec<f32> {
                (0..2).flat_map(|b| x[((b + 1) * t - few) * c..][..few * c].to_vec()).collect()
            };
            let (mut out, mut lse) = (vec![f32::NAN; dims.out_len()], vec![f32::NAN; dims.lse_len()]);
            attention_forward(dims, &last(&all.q), &all.k, &all.v, all.limits(), &mut out, &mut lse);
            let want_lse: Vec<f32> = (0..4).flat_map(|h| want.lse[(h + 1) * t - few..][..few].to_vec()).collect();
            let result = same_bits(&last(&want.out), &out).and_then(|()| same_bits(&want_lse, &lse));
            cases.check(|| format!("{few} of {t}, width {head_dim}"), result);
        }
    }
    cases.finish();
}

#[test]
fn scratch_is_a_block_and_never_the_whole_matrix() {
    let (f, n, visibility) = (core::ptr::null_mut(), core::ptr::null(), Visibility::ALL);
    let key_counts = core::ptr::null();
    let needed = |t: usize| {
        let dims = AttentionDims::contiguous(1, t, t, 6, 64, true);
        let inputs = BackwardInputs { q: n, k: n, v: n, visibility, lse: n, dout: n, dims };
        let backward = AttentionBackward { inputs, out: n, dq: f, dk: f, dv: f };
        (
            Attention { q: n, k: n, v: n, visibility, key_counts, out: f, lse: f, dims }.scratch_len(),
            backward.scratch_len(),
        )
    };
    let ((forward, backward), (twice, same)) = (needed(4096), needed(8192));
    assert_eq!(backward, same, "backward's scratch does not depend on the length");
    assert!(backward < 4096 * 64, "{backward} floats");
    assert!(forward < 4096 * (64 + 64) && twice < 2 * forward + 1, "{forward} and {twice} floats");
}

#[test]
fn scratch_grows_with_the_lengths() {
    let needed = |tq: usize, tk: usize| {
        let dims = AttentionDims { dropout: keep(0.5), ..AttentionDims::contiguous(1, tq, tk, 1, 24, true) };
        let (f, n, visibility) = (core::ptr::null_mut(), core::ptr::null(), Visibility::ALL);
        let key_counts = core::ptr::null();
        let inputs = BackwardInputs { q: n, k: n, v: n, visibility, lse: n, dout: n, dims };
        [
            Attention { q: n, k: n, v: n, visibility, key_counts, out: f, lse: f, dims }.scratch_len(),
            AttentionBackwardQ { inputs, out: n, dq: f, delta: f }.scratch_len(),
            AttentionBackwardKv { inputs, delta: n, dk: f, dv: f }.scratch_len(),
            AttentionBackward { inputs, out: n, dq: f, dk: f, dv: f }.scratch_len(),
        ]
    };
    let lengths = [0, 1, 5, 31, 32, 33, 63, 64, 65, 255, 256, 257, 600, 1024, 1025, 2000];
    for window in lengths.windows(2) {
        for other in lengths {
            for op in 0..4 {
                assert!(needed(window[0], other)[op] <= needed(window[1], other)[op], "{window:?} {other} {op}");
                assert!(needed(other, window[0])[op] <= needed(other, window[1])[op], "{window:?} {other} {op}");
            }
        }
    }
}

#[test]
fn a_work_item_keeps_to_one_register_tile() {
    // Another thread (here: the tests of other kernels too) may choose a tile while an item runs.
    let dims = AttentionDims::contiguous(2, 300, 300, 1, 20, true);
    let mut case = Case::new(dims, false, &mut Rng::new(53));
    let want = case.run().clone();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let tiles = RegisterTile::ALL.into_iter().cycle();
            for tile in tiles.take_while(|_| !done.load(std::sync::atomic::Ordering::Relaxed)) {
                set_register_tile(tile);
                std::thread::sleep(std::time::Duration::from_micros(20));
            }
            set_register_tile(RegisterTile::T4x8);
        });
        for round in 0..20 {
            let same = want.same(case.run()).and_then(|()| want.same(&case.whole_heads()));
            done.store(round == 19 || same.is_err(), std::sync::atomic::Ordering::Relaxed);
            same.expect("the same bits whatever tile is chosen meanwhile");
        }
    });
}
