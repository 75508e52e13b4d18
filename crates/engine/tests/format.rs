//! Programs that break a rule: each is refused with the rule, and no mutation of a good one ever does harm.

mod common;

use common::programs::{bindings, everything, frozen, frozen_bindings, FROZEN_RESULTS, SCALARS};
use common::{noise, Builder, Rig, F32, I32, NONE};
use engine::Code;

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
fn frozen_weights_and_limited_attention_run_with_the_same_bits_for_any_number_of_threads() {
    let b = frozen();
    let mut want: Option<Vec<Vec<u32>>> = None;
    for threads in 1..=4 {
        let mut rig = Rig::new(threads);
        let regions = frozen_bindings(&mut rig, &b);
        let program = rig.engine.program_load(&b.words(), &regions).unwrap();
        for (extents, budget) in [([3, 8], 1e9), ([1, 3], 0.0), ([2, 5], 1e9), ([0, 0], 0.0), ([3, 7], 0.0)] {
            rig.run(program, &extents, &SCALARS[..4], budget).unwrap();
        }
        let got: Vec<Vec<u32>> = regions[FROZEN_RESULTS].iter().map(|&r| rig.bits(r)).collect();
        assert_eq!(want.get_or_insert_with(|| got.clone()), &got, "{threads} threads");
        for &region in &regions[FROZEN_RESULTS] {
            let values = rig.read(region);
            assert!(values.iter().all(|w| w.is_finite()) && values.iter().any(|&w| w != 0.0));
        }
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
fn no_changed_word_does_harm(
    b: &Builder,
    fill: fn(&mut Rig, &Builder) -> Vec<u32>,
    extents: &[&[u32]],
    scalars: &[f64],
) {
    let good = b.words();
    let mut rig = Rig::new(1);
    let guard = |rig: &mut Rig| rig.floats(&[123.25; 4096]);
    let first = guard(&mut rig);
    let regions = fill(&mut rig, b);
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
                    for extents in extents {
                        match rig.run(program, extents, scalars, 1e9) {
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
    assert!(refused > 3000 && loaded > 1000 && ran > 1000, "{refused} refused, {loaded} loaded, {ran} ran");
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

#[test]
fn no_changed_word_of_everything_does_harm() {
    let extents: [&[u32]; 4] = [&[6, 8, 8], &[1, 1, 0], &[0, 0, 0], &[5, 3, 7]];
    no_changed_word_does_harm(&everything(), bindings, &extents, &SCALARS);
}

#[test]
fn no_changed_word_of_frozen_weights_and_limited_attention_does_harm() {
    let extents: [&[u32]; 4] = [&[3, 8], &[1, 1], &[0, 0], &[2, 5]];
    no_changed_word_does_harm(&frozen(), frozen_bindings, &extents, &SCALARS[..4]);
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
