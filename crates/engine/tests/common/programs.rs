//! Two programs that together have nearly every instruction: what the tests of the loader change, and seeds of the fuzz target `program`.

use super::{noise, Builder, Rig, BF16, F32, F64, I32, NONE, Q8};

/// One of nearly everything, over at most 6 × 8 tokens of width 8: embedding with positions, norm, attention with dropout into a
/// cache, loss, gradients, clipping, AdamW, sampling. Banks and bindings are exactly as large as they need to be.
pub fn everything() -> Builder {
    let mut b = Builder::default();
    let (batch, time, position) = (b.extent(6), b.extent(8), b.extent(8));
    b.scalars = 12;
    let f = |x: f32| x.to_bits();
    const C: u32 = 8;
    const V: u32 = 11;
    const ROWS: u32 = 48;
    let rows = b.slot(1, &[batch, time]);
    let (nb, nt, np) = (b.slot(1, &[batch]), b.slot(1, &[time]), b.slot(1, &[position]));
    let (one, c, v, table_rows, c3) = (b.fixed(1), b.fixed(C), b.fixed(V), b.fixed(16), b.fixed(3 * C));
    let (n, qkv_batch, cache_batch) = (b.slot(C, &[batch, time]), b.slot(3 * C, &[time]), b.fixed(16 * C));
    let (cache_offset, k_offset, params, partials) = (b.slot(C, &[position]), b.fixed(C), b.fixed(V * C), b.fixed(1));
    let logits_n = b.slot(V, &[batch, time]);

    let (ids, labels, drawn) = (b.bound(ROWS, I32), b.bound(ROWS, I32), b.bound(ROWS, I32));
    let (w, g, m, v2) = (b.bound(V * C, F32), b.bound(V * C, F32), b.bound(V * C, F32), b.bound(V * C, F32));
    let (table, w_qkv, cache) = (b.bound(16 * C, F32), b.bound(C * 3 * C, F32), b.bound(6 * 16 * C, F32));
    let (parents, positions, lists) = (b.bound(6, I32), b.bound(ROWS, I32), b.bound(8, I32));
    let (bias, counts, state, report) =
        (b.bound(V, F32), b.bound(ROWS * V, I32), b.bound(ROWS * 40, I32), b.bound(ROWS * 6, I32));
    let (list, report_row, keep) = (b.fixed(8), b.fixed(6), b.fixed(3));
    let (x, y, att, dx, d2) = (
        b.banked(ROWS * C, F32),
        b.banked(ROWS * C, F32),
        b.banked(ROWS * C, F32),
        b.banked(ROWS * C, F32),
        b.banked(ROWS * C, F32),
    );
    let [mean, rstd, loss, log_z, ones] = [(); 5].map(|()| b.banked(ROWS, F32));
    let (lse, delta) = (b.banked(ROWS * 2, F32), b.banked(ROWS * 2, F32));
    let (q, dq) = (b.banked(ROWS * 3 * C, F32), b.banked(ROWS * 3 * C, F32));
    let part = |b: &mut Builder, whole: u32, i: u32| b.part(whole, i * C * 4);
    let [k, vv, dk, dv] = [part(&mut b, q, 1), part(&mut b, q, 2), part(&mut b, dq, 1), part(&mut b, dq, 2)];
    let (logits, sums, clip, count) = (b.banked(ROWS * V, F32), b.banked(1, F64), b.banked(4, F32), b.banked(1, F32));
    let (p, columns, flipped) = (b.banked(ROWS * V, F32), b.banked(C, F32), b.banked(ROWS * C, F32));

    let path = [f(0.25), 7, 9, 0, 1, 2, 3];
    let attention = [&[2, 2, C / 2, 1, f(0.5)][..], &path].concat();
    let strides = [nb, nt, nt, c3, c3, c3, qkv_batch, qkv_batch, qkv_batch, one];
    let (mask, starts) = (table, ids);
    let ignore = -100i32 as u32;
    b.stage().op(14, &[w, ids, x], &[rows, c, v], &[]).op(8, &[ones], &[rows], &[f(1.0)]);
    b.stage().op(16, &[x, table, NONE, x], &[nb, nt, c, np, table_rows], &[]);
    b.stage().op(11, &[x, NONE, NONE, y, mean, rstd], &[rows, c], &[f(1e-5)]);
    b.stage().op(1, &[y, w_qkv, NONE, NONE, q, NONE], &[one, rows, c3, c], &[0, 0]);
    b.stage().op(19, &[q, k, vv, NONE, mask, starts, NONE, att, lse], &strides, &attention);
    b.op(32, &[q, NONE, cache], &[nb, nt, c, c3, qkv_batch, k_offset, c, cache_batch, cache_offset], &[]);
    b.stage().op(18, &[att, att], &[n], &path);
    b.stage().op(5, &[att, x, att], &[rows, c], &[0, 0]);
    b.stage().op(24, &[att, w, labels, loss, log_z], &[rows, v, c], &[ignore]);
    b.op(1, &[att, w, NONE, NONE, logits, NONE], &[one, rows, v, c], &[1, 0]).op(
        27,
        &[labels, count],
        &[rows],
        &[ignore],
    );
    b.stage().op(25, &[att, w, labels, log_z, ones, NONE, dx], &[rows, v, c], &[ignore]);
    b.op(26, &[att, w, labels, log_z, ones, NONE, NONE, g], &[rows, v, c], &[ignore]);
    let draw = [4, 5, 6, 0, 1, 7, 9, 8, 10, 11, 3, 2];
    b.op(33, &[logits, bias, lists, counts, state, positions, drawn, report], &[rows, v, v, list, report_row], &draw);
    b.op(9, &[logits, p], &[rows, v], &[1]);
    let beams = [logits, ids, ones, bias, lists, counts, state, report];
    b.stage().op(49, &beams, &[rows, v, v, list, keep], &[8, 10, 11, NONE, 7]);
    b.op(50, &[cache, parents], &[nb, nt, c, cache_batch], &[]);
    b.stage().op(20, &[q, k, vv, NONE, mask, starts, att, lse, dx, dq, delta], &strides, &attention);
    b.stage().op(21, &[q, k, vv, NONE, mask, starts, lse, dx, delta, dk, dv], &strides, &attention);
    b.stage().op(12, &[x, NONE, mean, rstd, dx, NONE, d2], &[rows, c], &[]);
    b.stage().op(15, &[ids, d2, g, g], &[rows, c, v], &[]).op(2, &[d2, columns], &[rows, c], &[]);
    b.op(34, &[d2, flipped], &[nb, nt, c], &[]).op(4, &[logits, p, p, logits], &[logits_n], &[6, 0]);
    b.stage().op(28, &[g, sums], &[params], &[]);
    b.stage().op(29, &[sums, count, clip], &[partials], &[8]);
    let adamw = [&[9, 10, 11][..], &[0.9f32, 0.99, 1e-8, 0.1, 0.1, 0.01].map(f)].concat();
    b.stage().op(30, &[w, g, m, v2, clip], &[params], &adamw);
    b
}

/// Scalars of `everything`.
pub const SCALARS: [f64; 12] = [42.0, 0.0, 3.0, 0.0, 0.8, 5.0, 0.9, 1.0, 1.0, 1e-3, 0.1, 0.1];

/// The bindings of `everything`, filled.
pub fn bindings(rig: &mut Rig, b: &Builder) -> Vec<u32> {
    let bytes = b.binding_bytes().to_vec();
    let fill = |rig: &mut Rig, i: usize, n: usize| match i {
        0..=2 => rig.ints(&(0..n as i32).map(|x| (x * 5) % 11).collect::<Vec<_>>()),
        5 | 6 => rig.floats(&vec![0.0; n]),
        10 => rig.ints(&(0..n as i32).map(|x| x / 2).collect::<Vec<_>>()),
        12 => rig.ints(&[1, 3, 2, 4, 5, 0, 7, 7]),
        14 | 15 => rig.ints(&vec![0; n]),
        _ => rig.floats(&noise(n, i as u32 + 1)),
    };
    bytes.iter().enumerate().map(|(i, &bytes)| fill(rig, i, bytes as usize / 4)).collect()
}

/// What `everything` lacks: frozen weights in int8 blocks and in bf16 wherever they may be, and attention with all its limits and its
/// backward in one instruction, over at most 3 × 8 tokens of width 8. What no number can stop comes first, so that changed ones reach it.
pub fn frozen() -> Builder {
    let mut b = Builder::default();
    let (batch, time) = (b.extent(3), b.extent(8));
    b.scalars = 4;
    let f = |x: f32| x.to_bits();
    const C: u32 = 8;
    const N: u32 = 16;
    const ROWS: u32 = 24;
    let (rows, nb, nt) = (b.slot(1, &[batch, time]), b.slot(1, &[batch]), b.slot(1, &[time]));
    let (one, c, n, c3, masks) = (b.fixed(1), b.fixed(C), b.fixed(N), b.fixed(3 * C), b.slot(2, &[batch]));
    let (qkv_batch, most, stride) = (b.slot(3 * C, &[time]), b.fixed(32), b.fixed(48));

    let (q, x, g) = (b.bound(ROWS * 3 * C, F32), b.bound(ROWS * C, F32), b.bound(ROWS, F32));
    let [kept, starts, ids, labels] = [(); 4].map(|()| b.bound(ROWS, I32));
    let mask = b.bound(6 * 8 * 8, F32);
    // [16, 8] in two cells of 72 words; [8, 16], two to a word.
    let (blocks, halves) = (b.bound(2 * 72, Q8), b.bound(C * N / 2, BF16));
    let (rounded, dq) = (b.bound(ROWS * N, F32), b.bound(ROWS * 3 * C, F32));
    let (z, dx) = (b.bound(ROWS * C, F32), b.bound(ROWS * C, F32));
    let part = |b: &mut Builder, whole: u32, i: u32| b.part(whole, i * C * 4);
    let [k, v, dk, dv] = [part(&mut b, q, 1), part(&mut b, q, 2), part(&mut b, dq, 1), part(&mut b, dq, 2)];
    let (att, lse) = (b.banked(ROWS * C, F32), b.banked(ROWS * 2, F32));
    let [wide, other] = [(); 2].map(|()| b.banked(ROWS * N, F32));
    let [narrow, row, dx2] = [(); 3].map(|()| b.banked(ROWS * C, F32));
    let (wide_row, loss, log_z) = (b.banked(ROWS * N, F32), b.banked(ROWS, F32), b.banked(ROWS, F32));
    let (logits, stats) = (b.banked(N * 48, F32), b.banked(2 * 48, F32));

    let attention = [2, 2, C / 2, 1, f(0.5), f(0.25), 7, 9, 0, 1, 2, 3];
    let strides = [nb, nt, nt, c3, c3, c3, qkv_batch, qkv_batch, qkv_batch, masks];
    let ignore = -100i32 as u32;
    let (head, head_params) = ([rows, n, c, most, stride], [ignore, 0]);
    b.stage().op(19, &[q, k, v, kept, mask, starts, NONE, att, lse], &strides, &attention);
    b.op(1, &[x, blocks, NONE, NONE, wide, NONE], &[one, rows, n, c], &[1, 0]);
    b.op(1, &[x, halves, NONE, NONE, other, NONE], &[one, rows, n, c], &[0, 0]);
    b.op(64, &[x, blocks, NONE, NONE, rounded, NONE], &[rows, n, c], &[0]);
    b.stage().op(40, &[q, k, v, kept, mask, starts, att, lse, x, dq, dk, dv], &strides, &attention);
    b.op(1, &[wide, blocks, NONE, NONE, z, NONE], &[one, rows, c, n], &[0, 0]);
    b.op(1, &[other, halves, NONE, NONE, narrow, NONE], &[one, rows, c, n], &[1, 0]);
    b.stage().op(14, &[blocks, ids, row], &[rows, c, n], &[]).op(14, &[halves, ids, wide_row], &[rows, n, c], &[]);
    b.stage().op(24, &[z, blocks, labels, loss, log_z], &[rows, n, c], &[ignore]);
    b.stage().op(25, &[z, blocks, labels, log_z, g, NONE, dx], &[rows, n, c], &[ignore]);
    b.stage().op(36, &[z, blocks, labels, logits, stats], &head, &head_params);
    b.stage().op(37, &[labels, logits, stats, loss, log_z], &head, &head_params);
    b.stage().op(38, &[z, labels, log_z, g, NONE, NONE, logits], &head, &head_params);
    b.stage().op(39, &[blocks, labels, logits, dx2], &head, &head_params);
    b
}

/// Bindings of `frozen` that it writes.
pub const FROZEN_RESULTS: std::ops::Range<usize> = 10..14;

/// The bindings of `frozen`, filled.
pub fn frozen_bindings(rig: &mut Rig, b: &Builder) -> Vec<u32> {
    let bytes = b.binding_bytes().to_vec();
    let bits = |x: f32| x.to_bits() as i32;
    let fill = |rig: &mut Rig, i: usize, n: usize| {
        let random = noise(n, i as u32 + 1);
        match i {
            3 => rig.ints(&(0..n as i32).map(|x| i32::from(x % 5 != 1)).collect::<Vec<_>>()),
            4 => rig.ints(&(0..n as i32).map(|x| x % 11 - 2).collect::<Vec<_>>()),
            5 => rig.ints(&(0..n as i32).map(|x| x * 5 % 8).collect::<Vec<_>>()),
            6 => rig.ints(&(0..n as i32).map(|x| if x % 4 == 2 { -100 } else { x * 7 % 16 }).collect::<Vec<_>>()),
            7 => rig.floats(&random.iter().map(|&x| if x < -0.6 { f32::NEG_INFINITY } else { x }).collect::<Vec<_>>()),
            // The last eight words of a cell are scales.
            8 => rig.ints(&(0..n).map(|w| if w % 72 < 64 { bits(random[w]) } else { bits(0.01) }).collect::<Vec<_>>()),
            9 => rig.ints(
                &random.iter().map(|&x| (bits(x) & !0xffff) | ((bits(0.5 - x) >> 16) & 0xffff)).collect::<Vec<_>>(),
            ),
            _ if FROZEN_RESULTS.contains(&i) => rig.floats(&vec![0.0; n]),
            _ => rig.floats(&random),
        }
    };
    bytes.iter().enumerate().map(|(i, &bytes)| fill(rig, i, bytes as usize / 4)).collect()
}
