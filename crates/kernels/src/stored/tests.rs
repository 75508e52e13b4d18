//! Every operation that reads stored weights against itself with the f32 numbers they stand for: the same bits, whatever the storage,
//! sizes, register tile, number of threads and order of tiles.

use super::*;
use crate::embedding::Embedding;
use crate::linear_cross_entropy::one_pass::{head_stride, stats_len, HeadBackwardW, HeadBackwardX, HeadBlock};
use crate::linear_cross_entropy::one_pass::{HeadLogits, HeadLoss};
use crate::linear_cross_entropy::{LinearCrossEntropy, LinearCrossEntropyBackwardX};
use crate::matmul::micro::RegisterTile;
use crate::matmul::q8::tests::Weights;
use crate::matmul::{Activation, Form, Matmul};
use crate::testkit::{run_reversed, same_bits, Cases, Rng};
use crate::TileOp;

const STORAGES: [Storage; 2] = [Storage::Bf16, Storage::Q8];
const IGNORE: i32 = -100;

/// Weights as they are kept, and the numbers they stand for.
pub(crate) struct Kept {
    storage: Storage,
    words: Vec<f32>,
    pub(crate) plain: Vec<f32>,
}

impl Kept {
    pub(crate) fn random(rng: &mut Rng, storage: Storage, rows: usize, columns: usize) -> Self {
        if storage == Storage::Q8 {
            let w = Weights::random(rng, rows, columns);
            let plain = (0..rows * columns).map(|i| w.value(i / columns, i % columns) as f32).collect();
            let words = w.cells.iter().map(|&word| f32::from_bits(word as u32)).collect();
            return Self { storage, words, plain };
        }
        let halves: Vec<u16> = (0..rows * columns).map(|_| (rng.normal().to_bits() >> 16) as u16).collect();
        let plain = halves.iter().map(|&half| f32::from_bits(u32::from(half) << 16)).collect();
        let word = |pair: &[u16]| u32::from(pair[0]) | u32::from(*pair.get(1).unwrap_or(&0xffff)) << 16;
        let words = halves.chunks(2).map(|pair| f32::from_bits(word(pair))).collect();
        Self { storage, words, plain }
    }

    fn stored(&self, columns: usize) -> Stored {
        assert!(self.words.len() == self.storage.words(self.plain.len() / columns.max(1), columns) || columns == 0);
        Stored { base: self.words.as_ptr(), columns, storage: self.storage }
    }

    /// Both ways of keeping the same weights: as they are, and as f32.
    fn both(&self) -> [(*const f32, Storage); 2] {
        [(self.words.as_ptr(), self.storage), (self.plain.as_ptr(), Storage::F32)]
    }
}

#[test]
fn any_block_of_a_matrix_is_the_numbers_it_stands_for() {
    let (mut rng, mut cases) = (Rng::new(1), Cases::new());
    for storage in STORAGES {
        for (rows, columns) in [(1, 1), (7, 31), (8, 32), (9, 33), (20, 100), (50, 65)] {
            let kept = Kept::random(&mut rng, storage, rows, columns);
            for _ in 0..60 {
                let (row, col) = (rng.below(rows), rng.below(columns));
                let (n, m) = (1 + rng.below(rows - row), 1 + rng.below(columns - col));
                let mut room = vec![f32::NAN; n * m + 1];
                // SAFETY: a block of the matrix, room for it.
                let (at, stride) = unsafe { kept.stored(columns).block(row, n, col, m, room.as_mut_ptr()) };
                assert_eq!((at, stride), (room.as_ptr(), m));
                assert!(room.pop().unwrap().is_nan(), "nothing beyond is written");
                let want: Vec<f32> = (0..n * m).map(|i| kept.plain[(row + i / m) * columns + col + i % m]).collect();
                cases.check(|| format!("{storage:?} {rows}x{columns} from {row}, {col}"), same_bits(&room, &want));
            }
        }
    }
    cases.finish();
    assert_eq!(Storage::F32.room(9) + Storage::Bf16.room(9), 9);
}

/// A product with `b` as it is stored; `register` None: whichever is in use.
fn product(
    form: Form,
    [m, n, k]: [usize; 3],
    a: &[f32],
    (b, storage): (*const f32, Storage),
    init: &[f32],
    bias: &[f32],
    register: Option<RegisterTile>,
    threads: usize,
) -> Vec<f32> {
    let mut out = vec![f32::NAN; m * n];
    let op = Matmul {
        a: a.as_ptr(),
        b,
        init: if init.is_empty() { core::ptr::null() } else { init.as_ptr() },
        bias: if bias.is_empty() { core::ptr::null() } else { bias.as_ptr() },
        out: out.as_mut_ptr(),
        act: core::ptr::null_mut(),
        batch: 1,
        m,
        n,
        k,
        form,
        storage,
        activation: Activation::None,
        threads,
    };
    // SAFETY: operands and scratch are as long as the dims say.
    unsafe {
        if let Some(register) = register {
            let mut scratch = vec![f32::NAN; op.scratch_len()];
            for tile in 0..op.tiles() {
                op.run_tile_with(register, tile, scratch.as_mut_ptr());
            }
        } else {
            run_reversed(&op).unwrap();
        }
    }
    out
}

#[test]
fn products_have_the_bits_of_the_f32_product() {
    let (mut rng, mut cases) = (Rng::new(2), Cases::new());
    let mut sizes = Vec::new();
    for m in [0, 1, 2, 3, 5, 8, 9, 13, 25] {
        for n in [1, 3, 8, 9, 17, 33, 70] {
            sizes.extend([1, 2, 5, 8, 17, 33, 65].map(|k| [m, n, k]));
        }
    }
    sizes.extend([
        [2, 2100, 30],
        [3, 30, 2100],
        [1, 2048, 25],
        [1, 25, 2047],
        [1, 300, 400],
        [4, 130, 401],
        [8, 65, 770],
        [30, 257, 500],
        [70, 270, 385],
        [7, 600, 33],
    ]);
    for dims @ [m, n, k] in sizes {
        for form in [Form::Nn, Form::Nt] {
            let (a, init, bias) = (rng.normals(m * k), rng.normals(m * n), rng.normals(n));
            for storage in STORAGES {
                let (rows, columns) = if form == Form::Nn { (k, n) } else { (n, k) };
                let kept = Kept::random(&mut rng, storage, rows, columns);
                let [own, plain] = kept.both();
                for (init, bias) in [(&[][..], &[][..]), (&init[..], &bias[..])] {
                    let want = product(form, dims, &a, plain, init, bias, None, 2);
                    let name = || format!("{form:?} {storage:?} {dims:?}");
                    cases.check(name, same_bits(&product(form, dims, &a, own, init, bias, None, 2), &want));
                    for register in RegisterTile::ALL {
                        let got = product(form, dims, &a, own, init, bias, Some(register), 5);
                        cases.check(|| format!("{} {register:?}", name()), same_bits(&got, &want));
                    }
                }
            }
        }
    }
    cases.finish();
}

#[test]
fn scratch_of_products_grows_with_every_dim() {
    let sizes = [0, 1, 7, 8, 9, 64, 255, 256, 257, 384, 385, 800];
    for storage in STORAGES {
        for form in [Form::Nn, Form::Nt] {
            let length = |m: usize, n: usize, k: usize| {
                let null = core::ptr::null();
                let (out, act) = (core::ptr::null_mut(), core::ptr::null_mut());
                let activation = Activation::None;
                let op = Matmul {
                    a: null,
                    b: null,
                    init: null,
                    bias: null,
                    out,
                    act,
                    batch: 1,
                    m,
                    n,
                    k,
                    form,
                    storage,
                    activation,
                    threads: 2,
                };
                op.scratch_len()
            };
            for pair in sizes.windows(2) {
                for (x, y) in sizes.iter().flat_map(|&x| sizes.map(|y| (x, y))) {
                    assert!(length(pair[0], x, y) <= length(pair[1], x, y));
                    assert!(length(x, pair[0], y) <= length(x, pair[1], y));
                    assert!(length(x, y, pair[0]) <= length(x, y, pair[1]));
                }
            }
        }
    }
}

#[test]
fn rows_of_a_table_are_picked_and_a_wrong_id_is_named() {
    let mut rng = Rng::new(3);
    for storage in STORAGES {
        for (vocab, cols) in [(1, 1), (9, 31), (20, 32), (23, 33), (8, 100)] {
            let kept = Kept::random(&mut rng, storage, vocab, cols);
            let ids: Vec<i32> = (0..50).map(|_| rng.below(vocab) as i32).collect();
            let [got, want] = kept.both().map(|(table, storage)| {
                let mut out = vec![f32::NAN; 50 * cols];
                let op = Embedding { table, ids: ids.as_ptr(), out: out.as_mut_ptr(), rows: 50, cols, vocab, storage };
                // SAFETY: buffers of these sizes.
                unsafe { run_reversed(&op) }.unwrap();
                let wrong = [vocab as i32];
                // SAFETY: as above.
                let fault = unsafe { run_reversed(&Embedding { ids: wrong.as_ptr(), rows: 1, ..op }) }.unwrap_err();
                assert_eq!((fault.code, fault.value), (crate::FaultCode::TokenOutOfRange, vocab as i32));
                out
            });
            same_bits(&got, &want).unwrap_or_else(|e| panic!("{storage:?} {vocab}x{cols}: {e}"));
        }
    }
}

#[test]
fn the_head_has_the_bits_of_the_f32_head() {
    let (mut rng, mut cases) = (Rng::new(4), Cases::new());
    for storage in STORAGES {
        for (rows, vocab, cols) in [(1, 1, 1), (7, 9, 33), (40, 65, 32), (33, 530, 70), (70, 257, 400), (20, 130, 769)]
        {
            let kept = Kept::random(&mut rng, storage, vocab, cols);
            let (x, g, gz) = (rng.normals(rows * cols), rng.normals(rows), rng.normals(rows));
            let labels: Vec<i32> =
                (0..rows).map(|r| if r % 4 == 2 { IGNORE } else { rng.below(vocab) as i32 }).collect();
            let [got, want] = kept.both().map(|w| {
                let mut all = three_kernels([rows, vocab, cols], &x, w, &labels, &g, &gz);
                all.extend(one_pass([rows, vocab, cols], &x, w, &labels, &g));
                all
            });
            for (what, (got, want)) in ["loss", "log_z", "dx", "loss", "log_z", "dx"].iter().zip(got.iter().zip(&want))
            {
                cases.check(|| format!("{what} {storage:?} {rows}x{vocab}x{cols}"), same_bits(got, want));
            }
        }
    }
    cases.finish();
}

/// loss, log_z and dx.
fn three_kernels(
    [rows, vocab, cols]: [usize; 3],
    x: &[f32],
    (w, storage): (*const f32, Storage),
    labels: &[i32],
    g: &[f32],
    gz: &[f32],
) -> Vec<Vec<f32>> {
    let (mut loss, mut log_z, mut dx) = (vec![f32::NAN; rows], vec![f32::NAN; rows], vec![f32::NAN; rows * cols]);
    let (x, labels, ignore) = (x.as_ptr(), labels.as_ptr(), IGNORE);
    let forward = {
        let (loss, log_z) = (loss.as_mut_ptr(), log_z.as_mut_ptr());
        LinearCrossEntropy { x, w, labels, loss, log_z, rows, vocab, cols, ignore, storage }
    };
    // SAFETY (both): buffers of these sizes.
    unsafe { run_reversed(&forward) }.unwrap();
    let backward = {
        let (log_z, g, gz, dx) = (log_z.as_ptr(), g.as_ptr(), gz.as_ptr(), dx.as_mut_ptr());
        LinearCrossEntropyBackwardX { x, w, labels, log_z, g, gz, dx, rows, vocab, cols, ignore, storage }
    };
    unsafe { run_reversed(&backward) }.unwrap();
    vec![loss, log_z, dx]
}

/// loss, log_z and dx, in two blocks of rows.
fn one_pass(
    [rows, vocab, cols]: [usize; 3],
    x: &[f32],
    (w, storage): (*const f32, Storage),
    labels: &[i32],
    g: &[f32],
) -> Vec<Vec<f32>> {
    let most = rows.div_ceil(2);
    let stride = head_stride(most);
    let (mut loss, mut log_z, mut dx) = (vec![f32::NAN; rows], vec![f32::NAN; rows], vec![f32::NAN; rows * cols]);
    let (mut logits, mut stats) = (vec![f32::NAN; vocab * stride], vec![f32::NAN; stats_len(vocab, stride)]);
    let (x, g, labels) = (x.as_ptr(), g.as_ptr(), labels.as_ptr());
    for first in (0..rows).step_by(most) {
        let dims = HeadBlock { rows, vocab, cols, most, stride, ignore: IGNORE, first };
        let (logits, stats) = (logits.as_mut_ptr(), stats.as_mut_ptr());
        let (loss, log_z, dx) = (loss.as_mut_ptr(), log_z.as_mut_ptr(), dx.as_mut_ptr());
        let (init, dw) = (core::ptr::null(), core::ptr::null_mut());
        let ops: [&dyn TileOp; 4] = [
            &HeadLogits { x, w, storage, labels, logits, stats, dims },
            &HeadLoss { labels, logits, stats, loss, log_z, dims },
            &HeadBackwardW { x, labels, log_z, g, init, dw, logits, dims },
            &HeadBackwardX { w, storage, labels, dlogits: logits, dx, dims, threads: 2 },
        ];
        for op in ops {
            // SAFETY: buffers of these sizes.
            unsafe { run_reversed(op) }.unwrap();
        }
    }
    vec![loss, log_z, dx]
}
