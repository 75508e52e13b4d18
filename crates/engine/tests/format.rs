//! Programs that break a rule: each is refused with the rule, and no mutation of a good one ever does harm.

mod common;

use common::{noise, Builder, Rig, F32, F64, I32, NONE};
use engine::Code;

/// One of nearly everything, over at most 6 × 8 tokens of width 8: embedding with positions, norm, attention with dropout into a
/// cache, loss, gradients, clipping, AdamW, sampling. Banks and bindings are exactly as large as they need to be.
fn everything() -> Builder {
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

const SCALARS: [f64; 12] = [42.0, 0.0, 3.0, 0.0, 0.8, 5.0, 0.9, 1.0, 1.0, 1e-3, 0.1, 0.1];

/// A rig with the bindings of `everything` filled, a guard before and after each.
fn bindings(rig: &mut Rig, b: &Builder) -> Vec<u32> {
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

#[test]
fn everything_runs_with_the_same_bits_for_any_number_of_threads() {
    let b = everything();
    let mut want: Option<Vec<Vec<u32>>> = None;
    for threads in 1..=4 {
        let mut rig = Rig::new(threads);
        let regions = bindings(&mut rig, &b);
        let program = rig.engine.program_load(&b.words(), &regions).unwrap();
        for (extents, budget) in [([6, 8, 8], 1e9), ([1, 3, 0], 0.0), ([5, 7, 2], 1e9), ([2, 1, 8], 0.0)] {
            rig.run(program, &extents, &SCALARS, budget).unwrap();
        }
        let got: Vec<Vec<u32>> = regions.iter().map(|&r| rig.bits(r)).collect();
        assert_eq!(want.get_or_insert_with(|| got.clone()), &got, "{threads} threads");
        assert!(rig.read(regions[3]).iter().all(|w| w.is_finite()));
    }
}

#[test]
fn positions_beyond_the_table_or_the_cache_are_refused_before_anything_runs() {
    let b = everything();
    let mut rig = Rig::new(1);
    let regions = bindings(&mut rig, &b);
    let before: Vec<Vec<u32>> = regions.iter().map(|&r| rig.bits(r)).collect();
    let mut words = b.words();
    // The position's maximum goes from 8 to 9, and with 8 tokens that is one too many for 16 rows.
    assert_eq!(words[13], 8);
    words[13] = 9;
    let program = rig.engine.program_load(&words, &regions).unwrap();
    let error = rig.run(program, &[6, 8, 9], &SCALARS, 1e9).unwrap_err();
    assert_eq!(error.code, Code::BadProgram);
    assert!(error.text.contains("add_position") && error.text.contains("at most 16, got 9 + 8"), "{error}");
    assert_eq!(regions.iter().map(|&r| rig.bits(r)).collect::<Vec<_>>(), before);
    rig.run(program, &[6, 7, 9], &SCALARS, 1e9).unwrap();
}

#[test]
fn extents_and_scalars_must_be_as_many_as_the_program_has_and_within_their_maximum() {
    let b = everything();
    let mut rig = Rig::new(1);
    let regions = bindings(&mut rig, &b);
    let program = rig.engine.program_load(&b.words(), &regions).unwrap();
    let refused = |rig: &mut Rig, extents: &[u32], scalars: &[f64], rule: &str| {
        let error = rig.engine.run_begin(program, extents, scalars).unwrap_err();
        assert!(error.code == Code::BadProgram && error.text.contains(rule), "{error}");
    };
    refused(&mut rig, &[6, 8], &SCALARS, "must have 3 extents and 12 scalars, got 2 and 12");
    refused(&mut rig, &[6, 8, 8], &SCALARS[1..], "got 3 and 11");
    refused(&mut rig, &[7, 8, 8], &SCALARS, "extent 0 must be at most 6, got 7");
    // NaN and infinity as scalars are numbers like others: nothing crashes.
    rig.run(program, &[6, 8, 8], &[f64::NAN; 12], 1e9).ok();
    rig.run(program, &[6, 8, 8], &[f64::INFINITY; 12], 1e9).ok();
    rig.run(program, &[6, 8, 8], &[-1e300; 12], 1e9).ok();
}

/// Every word of the program, changed in many ways: loading refuses or gives a program that runs within its memory. Guards around
/// the bindings, and the checks of a debug build, would show harm.
#[test]
fn no_changed_word_does_harm() {
    let b = everything();
    let good = b.words();
    let mut rig = Rig::new(1);
    let guard = |rig: &mut Rig| rig.floats(&[123.25; 4096]);
    let first = guard(&mut rig);
    let regions = bindings(&mut rig, &b);
    let last = guard(&mut rig);
    rig.engine.set_memory_limit(64.0 * 1024.0 * 1024.0);
    let random = noise(good.len() * 4, 99);
    let (mut loaded, mut refused, mut ran) = (0, 0, 0);
    for at in 0..good.len() {
        let word = good[at];
        let r = |i: usize| (random[at * 4 + i].abs() * 4e9) as u32;
        for changed in [
            0,
            1,
            2,
            3,
            5,
            word.wrapping_add(1),
            word.wrapping_sub(1),
            word.wrapping_add(4),
            word.wrapping_mul(2),
            word / 2,
            word ^ 0x8000_0000,
            1 << 20,
            i32::MAX as u32,
            NONE,
            r(0),
            r(1),
            r(2) % 64,
            r(3) % 2048,
        ] {
            if changed == word {
                continue;
            }
            let mut words = good.clone();
            words[at] = changed;
            match rig.engine.program_load(&words, &regions) {
                Err(error) => {
                    assert!(
                        matches!(error.code, Code::BadProgram | Code::OutOfMemory),
                        "word {at} = {changed}: {error}"
                    );
                    refused += 1;
                }
                Ok(program) => {
                    loaded += 1;
                    for extents in [[6, 8, 8], [1, 1, 0], [0, 0, 0], [5, 3, 7]] {
                        match rig.run(program, &extents, &SCALARS, 1e9) {
                            Ok(_) => ran += 1,
                            Err(error) => assert!(
                                matches!(error.code, Code::BadProgram | Code::OutOfMemory | Code::KernelFault),
                                "word {at} = {changed}: {error}"
                            ),
                        }
                    }
                    rig.engine.program_free(program).unwrap();
                }
            }
        }
    }
    assert!(refused > 5000 && loaded > 1000 && ran > 1000, "{refused} refused, {loaded} loaded, {ran} ran");
    assert!(rig.read(first).iter().chain(&rig.read(last)).all(|&v| v == 123.25));
    // And shorter programs.
    for len in 0..good.len() {
        let mut words = good[..len].to_vec();
        assert_eq!(rig.engine.program_load(&words, &regions).unwrap_err().code, Code::BadProgram);
        if len > 10 {
            words[10] = len as u32;
            assert_eq!(rig.engine.program_load(&words, &regions).unwrap_err().code, Code::BadProgram);
        }
    }
}

/// A program of one stage with these instructions over two banks' worth of floats, and what loading it says.
fn load(build: impl FnOnce(&mut Builder, [u32; 3], u32)) -> Result<(), String> {
    let mut b = Builder::default();
    let n = b.fixed(100);
    let operands = [b.banked(100, F32), b.banked(100, F32), b.banked(100, F32)];
    b.stage();
    build(&mut b, operands, n);
    let mut rig = Rig::new(1);
    rig.engine.program_load(&b.words(), &[]).map(|_| ()).map_err(|error| error.to_string())
}

#[test]
fn instructions_of_a_stage_may_not_touch_what_another_writes() {
    const COPY: [u32; 2] = [0, 0];
    assert_eq!(
        load(|b, [x, y, z], n| {
            b.op(3, &[x, y], &[n], &COPY).op(3, &[x, z], &[n], &COPY);
        }),
        Ok(())
    );
    let writes = "what is written must be nobody else's";
    let two_writers = load(|b, [x, y, z], n| {
        b.op(3, &[x, z], &[n], &COPY).op(3, &[y, z], &[n], &COPY);
    });
    assert!(two_writers.unwrap_err().contains(writes));
    let reader = load(|b, [x, y, z], n| {
        b.op(3, &[x, y], &[n], &COPY).op(3, &[y, z], &[n], &COPY);
    });
    assert!(reader.unwrap_err().contains("got out of instruction 0 and x of 1"));
    // In separate stages it is what stages are for.
    assert_eq!(
        load(|b, [x, y, z], n| {
            b.op(3, &[x, y], &[n], &COPY).stage().op(3, &[y, z], &[n], &COPY);
        }),
        Ok(())
    );
    // Partly the same memory.
    let partly = load(|b, [x, _, _], n| {
        let shifted = b.operand(0, 0, 4, 400, F32);
        b.op(3, &[x, shifted], &[n], &COPY);
    });
    assert!(partly.unwrap_err().contains(writes));
}

#[test]
fn a_result_may_be_an_operands_memory_where_the_kernel_allows_it() {
    let f = |x: f32| x.to_bits();
    assert_eq!(
        load(|b, [x, _, _], n| {
            b.op(3, &[x, x], &[n], &[11, f(2.0)]);
        }),
        Ok(())
    );
    assert_eq!(
        load(|b, [x, y, _], n| {
            let one = b.fixed(1);
            b.op(5, &[x, y, y], &[one, n], &[0, 0]);
        }),
        Ok(())
    );
    assert_eq!(
        load(|b, [x, _, _], n| {
            let one = b.fixed(1);
            b.op(5, &[x, x, x], &[one, n], &[0, 0]);
        }),
        Ok(())
    );
    // Softmax reads its row after it has begun to write: the table of opcodes does not allow it.
    let one_row = load(|b, [x, _, _], n| {
        let one = b.fixed(1);
        b.op(9, &[x, x], &[one, n], &[0]);
    });
    assert!(one_row.unwrap_err().contains("got x of instruction 0 and out of 0"));
    // Two results in one place.
    let twice = load(|b, [x, y, z], n| {
        let one = b.fixed(1);
        b.op(11, &[x, NONE, NONE, y, z, z], &[one, n], &[f(1e-5)]);
    });
    assert!(twice.is_err());
}

#[test]
fn each_rule_of_the_arguments_is_named() {
    let f = |x: f32| x.to_bits();
    let cases: Vec<(&str, Result<(), String>)> = vec![
        (
            "operand x must be present",
            load(|b, [_, y, _], n| {
                b.op(3, &[NONE, y], &[n], &[0, 0]);
            }),
        ),
        (
            "operand out must be below 3, got 9",
            load(|b, [x, _, _], n| {
                b.op(3, &[x, 9], &[n], &[0, 0]);
            }),
        ),
        (
            "dim n must be a slot below 1, got 7",
            load(|b, [x, y, _], _| {
                b.op(3, &[x, y], &[7], &[0, 0]);
            }),
        ),
        (
            "param kind must be at most 14, got 15",
            load(|b, [x, y, _], n| {
                b.op(3, &[x, y], &[n], &[15, 0]);
            }),
        ),
        (
            "must have [2, 1, 2] operands, dims and params, got [2, 1, 1]",
            load(|b, [x, y, _], n| {
                b.op(3, &[x, y], &[n], &[0]);
            }),
        ),
        (
            "the opcode must be known, got 77",
            load(|b, [x, y, _], n| {
                b.op(77, &[x, y], &[n], &[0]);
            }),
        ),
        (
            "operand ids must be i32, got f32",
            load(|b, [x, y, z], n| {
                b.op(14, &[x, y, z], &[n, n, n], &[]);
            }),
        ),
        (
            "operand x must hold 404 bytes, got 400",
            load(|b, [x, y, _], _| {
                let n = b.fixed(101);
                b.op(3, &[x, y], &[n], &[0, 0]);
            }),
        ),
        (
            "p must be from 0 to 1, got 1.5",
            load(|b, [x, y, _], n| {
                b.op(18, &[x, y], &[n], &[f(1.5), 0, 0, NONE, NONE, NONE, NONE]);
            }),
        ),
        (
            "seed, step and micro must be present",
            load(|b, [x, y, _], n| {
                b.op(18, &[x, y], &[n], &[f(0.5), 0, 0, NONE, NONE, NONE, NONE]);
            }),
        ),
        (
            "param lr must be a scalar below 0, got 0",
            load(|b, [x, y, z], n| {
                b.op(31, &[x, y, NONE, z], &[n], &[0, f(0.0), 0, 0]);
            }),
        ),
        (
            "buf must be present when there is momentum",
            load(|b, [x, y, z], n| {
                b.scalars = 1;
                b.op(31, &[x, y, NONE, z], &[n], &[0, f(0.9), 0, 0]);
            }),
        ),
        (
            "act must be present exactly when",
            load(|b, [x, y, z], n| {
                let one = b.fixed(1);
                b.op(1, &[x, y, NONE, NONE, z, NONE], &[one, one, n, one], &[0, 1]);
            }),
        ),
        (
            "head_dim must be even and heads of it fit 4 cols, got 1 x 3",
            load(|b, [x, y, z], _| {
                let (one, four, zero) = (b.fixed(1), b.fixed(4), b.fixed(0));
                b.op(44, &[x, y, NONE, z], &[one, one, four, zero, four], &[1, 3, 0]);
            }),
        ),
        (
            "kv_heads must divide heads, got 2 and 3",
            load(|b, [x, y, z], _| {
                let (one, four, six) = (b.fixed(1), b.fixed(4), b.fixed(6));
                let dims = [one, one, one, six, four, four, six, four, four, one];
                b.op(
                    19,
                    &[x, x, x, NONE, NONE, NONE, NONE, y, z],
                    &dims,
                    &[3, 2, 2, 0, f(1.0), 0, 0, 0, NONE, NONE, NONE, NONE],
                );
            }),
        ),
        (
            "dst_batch must be rows of at least cols elements with positions, got 6 by 4 for 4",
            load(|b, [x, y, _], _| {
                let (one, four, six, zero) = (b.fixed(1), b.fixed(4), b.fixed(6), b.fixed(0));
                let positions = b.banked(1, I32);
                b.op(32, &[x, positions, y], &[one, one, four, four, zero, zero, four, six, zero], &[]);
            }),
        ),
        (
            "rows of dgate must not overlap, got a stride of 2",
            load(|b, [x, y, z], _| {
                let (two, four) = (b.fixed(2), b.fixed(4));
                b.op(46, &[x, x, x, y, z], &[two, four, two, four], &[]);
            }),
        ),
        (
            "rows of dst must not overlap, got a stride of 3",
            load(|b, [x, y, _], _| {
                let (one, four, three, zero) = (b.fixed(1), b.fixed(4), b.fixed(3), b.fixed(0));
                b.op(32, &[x, NONE, y], &[one, four, four, four, zero, zero, three, zero, zero], &[]);
            }),
        ),
    ];
    for (rule, result) in cases {
        let error = result.expect_err(rule);
        assert!(error.starts_with("BAD_PROGRAM: ") && error.contains(rule), "want {rule}, got {error}");
    }
    // Without dropout the scalars may be absent.
    assert_eq!(
        load(|b, [x, y, _], n| {
            b.op(18, &[x, y], &[n], &[0, 0, 0, NONE, NONE, NONE, NONE]);
        }),
        Ok(())
    );
}
