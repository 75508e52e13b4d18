//! Running programs: the same bits for any number of threads and slices, extents below their maximum, abandoning, faults, traps.

mod common;

use common::{noise, Builder, Rig, F32, I32, NONE};
use engine::{Code, Source};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::time::{Duration, Instant};

const ROWS: u32 = 48;
const IN: u32 = 40;
const HIDDEN: u32 = 96;
const VOCAB: u32 = 33;

/// A classifier's step over at most `ROWS` rows: two layers, loss, gradient of the second weight added to what is there.
/// Bindings: x, w1, b1, w2, labels, loss, dw2, p.
fn classifier() -> Builder {
    let mut b = Builder::default();
    let rows = b.extent(ROWS);
    let (one, n_rows) = (b.fixed(1), b.slot(1, &[rows]));
    let (n_in, n_hidden, n_vocab) = (b.fixed(IN), b.fixed(HIDDEN), b.fixed(VOCAB));
    let [x, w1, b1, w2] = [ROWS * IN, IN * HIDDEN, HIDDEN, HIDDEN * VOCAB].map(|n| b.bound(n, F32));
    let labels = b.bound(ROWS, I32);
    let (loss, dw2, p) = (b.bound(ROWS, F32), b.bound(HIDDEN * VOCAB, F32), b.bound(ROWS * VOCAB, F32));
    let [h, act, logits, log_z, ones, d] =
        [ROWS * HIDDEN, ROWS * HIDDEN, ROWS * VOCAB, ROWS, ROWS, ROWS * VOCAB].map(|n| b.banked(n, F32));
    let ignore = -100i32 as u32;
    b.stage().op(1, &[x, w1, NONE, b1, h, act], &[one, n_rows, n_hidden, n_in], &[0, 1]);
    b.op(8, &[ones], &[n_rows], &[1.0f32.to_bits()]);
    b.stage().op(1, &[act, w2, NONE, NONE, logits, NONE], &[one, n_rows, n_vocab, n_hidden], &[0, 0]);
    b.stage().op(22, &[logits, labels, loss, log_z], &[n_rows, n_vocab], &[ignore]);
    b.op(9, &[logits, p], &[n_rows, n_vocab], &[0]);
    b.stage().op(23, &[logits, labels, log_z, ones, NONE, d], &[n_rows, n_vocab], &[ignore]);
    b.stage().op(1, &[act, d, dw2, NONE, dw2, NONE], &[one, n_hidden, n_vocab, n_rows], &[2, 0]);
    b
}

struct Classifier {
    program: u32,
    regions: Vec<u32>,
}

const LABELS: usize = 4;
const OUTPUTS: [usize; 3] = [5, 6, 7];

fn load(rig: &mut Rig) -> Classifier {
    let builder = classifier();
    let mut regions = Vec::new();
    for (i, &bytes) in builder.binding_bytes().iter().enumerate() {
        let n = bytes as usize / 4;
        regions.push(if i == LABELS {
            rig.ints(&(0..n as i32).map(|r| (r * 7) % VOCAB as i32).collect::<Vec<_>>())
        } else {
            rig.floats(&noise(n, i as u32 + 1))
        });
    }
    let program = rig.engine.program_load(&builder.words(), &regions).unwrap();
    Classifier { program, regions }
}

fn outputs(rig: &Rig, c: &Classifier) -> Vec<Vec<u32>> {
    OUTPUTS.iter().map(|&i| rig.bits(c.regions[i])).collect()
}

/// No stage is shared, as by default, every stage that has tiles for it is.
const SERIAL_BELOW: [Option<f64>; 3] = [Some(f64::INFINITY), None, Some(0.0)];

fn rig(threads: u32, serial_below: Option<f64>) -> Rig {
    let mut rig = Rig::new(threads);
    if let Some(nanoseconds) = serial_below {
        rig.engine.set_serial_below(nanoseconds);
    }
    rig
}

#[test]
fn the_same_bits_for_any_number_of_threads_and_slices_shared_or_alone() {
    let mut want: Option<Vec<Vec<u32>>> = None;
    for threads in [1, 2, 3, 4, 16] {
        for serial_below in SERIAL_BELOW {
            for budget in [1e9, 0.0] {
                let mut rig = rig(threads, serial_below);
                let c = load(&mut rig);
                for rows in [ROWS, 1, 17, ROWS] {
                    let slices = rig.run(c.program, &[rows], &[], budget).unwrap();
                    assert!(if budget == 0.0 { slices >= 5 } else { slices == 1 }, "{slices} slices");
                }
                let got = outputs(&rig, &c);
                let case = format!("{threads} threads, serial below {serial_below:?}, budget {budget}");
                assert_eq!(want.get_or_insert_with(|| got.clone()), &got, "{case}");
            }
        }
    }
}

#[test]
fn shared_and_lonely_stages_follow_each_other_in_order() {
    // x := x + 1 over a few and over many elements in turn: a stage that began before the last one's end would be seen.
    let (few, many, rounds) = (3000, 200_000, 30);
    let mut b = Builder::default();
    let (n_few, n_many) = (b.fixed(few), b.fixed(many));
    let x = b.bound(many, F32);
    for _ in 0..rounds {
        b.stage().op(3, &[x, x], &[n_few], &[12, 1.0f32.to_bits()]);
        b.stage().op(3, &[x, x], &[n_many], &[12, 1.0f32.to_bits()]);
    }
    for threads in [1, 2, 5, 16] {
        let mut rig = Rig::new(threads);
        let id = rig.floats(&vec![0.0; many as usize]);
        let program = rig.engine.program_load(&b.words(), &[id]).unwrap();
        for (run, budget) in [(1, 1e9), (2, 0.0), (3, 1e9)] {
            rig.run(program, &[], &[], budget).unwrap();
            let x = rig.read(id);
            let (front, rest) = (2 * rounds * run, rounds * run);
            assert!(x[..few as usize].iter().all(|&v| v == front as f32), "{threads} threads, run {run}");
            assert!(x[few as usize..].iter().all(|&v| v == rest as f32), "{threads} threads, run {run}");
        }
    }
}

#[test]
fn several_engines_with_more_threads_than_cores_come_to_an_end() {
    let want = {
        let mut rig = Rig::new(1);
        let c = load(&mut rig);
        rig.run(c.program, &[ROWS], &[], 1e9).unwrap();
        outputs(&rig, &c)
    };
    std::thread::scope(|scope| {
        for serial_below in [None, Some(0.0), Some(0.0)] {
            let want = &want;
            scope.spawn(move || {
                let mut rig = rig(12, serial_below);
                let c = load(&mut rig);
                let dw2 = rig.read(c.regions[6]);
                for _ in 0..20 {
                    rig.write(c.regions[6], &dw2);
                    rig.run(c.program, &[ROWS], &[], 1e9).unwrap();
                    assert_eq!(&outputs(&rig, &c), want);
                }
            });
        }
    });
}

#[test]
fn a_barrier_can_be_measured_at_any_time_but_not_during_a_run() {
    for threads in [1, 2, 4] {
        let mut rig = Rig::new(threads);
        let c = load(&mut rig);
        assert!(rig.engine.barrier_us(20).unwrap() >= 0.0);
        rig.engine.run_begin(c.program, &[ROWS], &[]).unwrap();
        assert_eq!(rig.engine.barrier_us(20).unwrap_err().code, Code::Busy);
        while !rig.engine.run_slice(0.0).unwrap() {}
        assert!(rig.engine.barrier_us(0).unwrap() >= 0.0);
    }
}

#[test]
fn smaller_extents_use_the_front_of_each_buffer_only() {
    let mut rig = Rig::new(2);
    let c = load(&mut rig);
    let (loss, p) = (c.regions[5], c.regions[7]);
    rig.run(c.program, &[ROWS], &[], 1e9).unwrap();
    let full = (rig.read(loss), rig.read(p));
    rig.write(loss, &[7.0; ROWS as usize]);
    rig.write(p, &[7.0; (ROWS * VOCAB) as usize]);
    rig.run(c.program, &[5], &[], 1e9).unwrap();
    let (loss, p) = (rig.read(loss), rig.read(p));
    assert_eq!((&loss[..5], &p[..5 * VOCAB as usize]), (&full.0[..5], &full.1[..5 * VOCAB as usize]));
    assert!(loss[5..].iter().chain(&p[5 * VOCAB as usize..]).all(|&v| v == 7.0), "written beyond the extent");
    // No rows at all: nothing to do, and nothing breaks.
    rig.run(c.program, &[0], &[], 1e9).unwrap();
}

#[test]
fn the_loss_is_the_losss_definition() {
    let mut rig = Rig::new(3);
    let c = load(&mut rig);
    rig.run(c.program, &[ROWS], &[], 1e9).unwrap();
    let (loss, p) = (rig.read(c.regions[5]), rig.read(c.regions[7]));
    for row in 0..ROWS as usize {
        let label = (row * 7) % VOCAB as usize;
        let probabilities = &p[row * VOCAB as usize..][..VOCAB as usize];
        assert!((probabilities.iter().sum::<f32>() - 1.0).abs() < 1e-5);
        assert!((loss[row] + probabilities[label].ln()).abs() < 1e-4, "row {row}");
    }
}

#[test]
fn a_fault_ends_the_run_and_is_the_same_for_any_number_of_threads() {
    for threads in 1..=3 {
        for (budget, serial_below) in [(1e9, None), (0.0, None), (1e9, Some(0.0)), (0.0, Some(0.0))] {
            let mut rig = rig(threads, serial_below);
            let c = load(&mut rig);
            let good: Vec<f32> = rig.read(c.regions[LABELS]);
            let mut bad = good.clone();
            bad[9] = f32::from_bits(VOCAB);
            bad[31] = f32::from_bits(-4i32 as u32);
            rig.write(c.regions[LABELS], &bad);
            let before = rig.bits(c.regions[6]);
            let error = rig.run(c.program, &[ROWS], &[], budget).unwrap_err();
            assert_eq!(error.code, Code::KernelFault);
            assert!(error.text.contains("cross_entropy") && error.text.contains("33"), "{error}");
            let report = rig.engine.fault().unwrap();
            let fault = (report.fault.code as u32, report.fault.at, report.fault.value, report.instruction);
            assert_eq!(fault, (1, 9, VOCAB as i32, 3));
            assert_eq!(rig.bits(c.regions[6]), before, "later stages must not have run");
            // The engine goes on.
            rig.write(c.regions[LABELS], &good);
            rig.run(c.program, &[ROWS], &[], budget).unwrap();
            assert!(rig.engine.fault().is_none());
            assert_ne!(rig.bits(c.regions[6]), before);
        }
    }
}

#[test]
fn a_run_can_be_abandoned_anywhere_and_the_next_is_right() {
    let mut rig = rig(2, Some(0.0));
    let c = load(&mut rig);
    let dw2 = noise((HIDDEN * VOCAB) as usize, 7);
    rig.write(c.regions[6], &dw2);
    let total = rig.run(c.program, &[ROWS], &[], 0.0).unwrap();
    let want = outputs(&rig, &c);
    for slices in 0..total {
        rig.write(c.regions[6], &dw2);
        let version = rig.engine.region_version(c.regions[6]).unwrap();
        rig.engine.run_begin(c.program, &[ROWS], &[]).unwrap();
        for _ in 0..slices {
            if rig.engine.run_slice(0.0).unwrap() {
                break;
            }
        }
        rig.engine.run_abandon().unwrap();
        assert_ne!(rig.engine.region_version(c.regions[6]).unwrap(), version, "an abandoned run has perhaps written");
        assert_eq!(rig.engine.run_slice(1.0).unwrap_err().code, Code::BadProgram);
        rig.write(c.regions[6], &dw2);
        rig.run(c.program, &[ROWS], &[], 1e9).unwrap();
        assert_eq!(outputs(&rig, &c), want, "after {slices} slices");
    }
    rig.engine.run_abandon().unwrap();
}

#[test]
fn versions_change_for_what_is_written_and_nothing_else() {
    let mut rig = Rig::new(1);
    let c = load(&mut rig);
    let versions = |rig: &Rig| c.regions.iter().map(|&r| rig.engine.region_version(r).unwrap()).collect::<Vec<_>>();
    let before = versions(&rig);
    rig.run(c.program, &[3], &[], 1e9).unwrap();
    let after = versions(&rig);
    for i in 0..c.regions.len() {
        assert_eq!(before[i] != after[i], OUTPUTS.contains(&i), "binding {i}");
    }
    rig.engine.region_touch(c.regions[0]).unwrap();
    assert_ne!(versions(&rig)[0], after[0]);
}

/// A program in which thread `thread` dies, with work before and after.
fn trapping(thread: u32) -> Builder {
    let mut b = Builder::default();
    let n = b.fixed(10_000);
    let x = b.bound(10_000, F32);
    b.stage().op(8, &[x], &[n], &[1.0f32.to_bits()]);
    b.stage().op(35, &[], &[], &[thread]);
    b.stage().op(8, &[x], &[n], &[2.0f32.to_bits()]);
    b
}

#[test]
fn a_thread_that_dies_poisons_the_engine_within_a_second() {
    for dying in 1..3 {
        let mut rig = Rig::new(3);
        let x = rig.floats(&[0.0; 10_000]);
        let program = rig.engine.program_load(&trapping(dying).words(), &[x]).unwrap();
        rig.engine.run_begin(program, &[], &[]).unwrap();
        let started = Instant::now();
        let error = rig.engine.run_slice(1e9).unwrap_err();
        assert!(started.elapsed() < Duration::from_secs(1));
        assert_eq!(error.code, Code::Poisoned);
        assert!(error.text.contains(&(100 + dying).to_string()), "{error}");
        assert_eq!(rig.read(x), [1.0; 10_000], "the stage after the trap must not have run");
        assert_eq!(rig.engine.region_alloc(4.0).unwrap_err().code, Code::Poisoned);
        assert_eq!(rig.engine.run_slice(1.0).unwrap_err().code, Code::Poisoned);
        assert_eq!(rig.engine.run_begin(program, &[], &[]).unwrap_err().code, Code::Poisoned);
        let alive: Vec<bool> = rig.join();
        assert_eq!(alive, [dying != 1, dying != 2]);
    }
}

#[test]
fn when_thread_0_dies_the_others_leave() {
    let mut rig = Rig::new(3);
    let x = rig.floats(&[0.0; 10_000]);
    let program = rig.engine.program_load(&trapping(0).words(), &[x]).unwrap();
    rig.engine.run_begin(program, &[], &[]).unwrap();
    assert!(catch_unwind(AssertUnwindSafe(|| rig.engine.run_slice(1e9))).is_err());
    rig.engine.shared().poison(1); // as its JavaScript entry does
    assert_eq!(rig.engine.run_slice(1.0).unwrap_err().code, Code::Poisoned);
    let started = Instant::now();
    assert_eq!(rig.join(), [true, true]);
    assert!(started.elapsed() < Duration::from_secs(1));
}

#[test]
fn a_thread_that_is_not_there_cannot_trap() {
    let mut rig = Rig::new(2);
    let x = rig.floats(&[0.0; 10_000]);
    let error = rig.engine.program_load(&trapping(2).words(), &[x]).unwrap_err();
    assert_eq!(error.code, Code::BadProgram);
    assert!(error.text.contains("thread must be below 2, got 2"), "{error}");
}

#[test]
fn a_stage_can_pause_between_its_tiles() {
    // One stage of many tiles: with no budget at all it takes several slices, and still writes everything once.
    for threads in 1..=3 {
        let mut b = Builder::default();
        let n = b.fixed(1 << 20);
        let x = b.bound(1 << 20, F32);
        let one = 1.0f32.to_bits();
        b.stage().op(3, &[x, x], &[n], &[12, one]);
        let mut rig = Rig::new(threads);
        let id = rig.floats(&vec![0.5; 1 << 20]);
        let program = rig.engine.program_load(&b.words(), &[id]).unwrap();
        let slices = rig.run(program, &[], &[], 0.0).unwrap();
        assert!(threads > 1 || slices > 3, "{slices} slices");
        assert!(rig.read(id).iter().all(|&v| v == 1.5), "{threads} threads");
    }
}

#[test]
fn regions_are_filled_alike_by_any_number_of_threads() {
    let source = Source { seed: [42, 0], path: [1, 2] };
    let fill = |threads: u32| {
        let mut rig = Rig::new(threads);
        let (a, b) = (rig.floats(&[0.0; 50_001]), rig.floats(&[0.0; 600]));
        let c = rig.floats(&[0.0; 9]);
        let d = rig.floats(&[0.0; 600]);
        let version = rig.engine.region_version(a).unwrap();
        rig.engine.region_fill_normal(a, 0.0, 0.02, source).unwrap();
        assert_ne!(rig.engine.region_version(a).unwrap(), version);
        rig.engine.region_fill_sinusoidal(b, 20, 30, 0.1, source).unwrap();
        rig.engine.region_fill(c, 3.5).unwrap();
        assert!(rig.engine.region_fill_sinusoidal(b, 20, 31, 0.0, source).is_err());
        let scaling = engine::RotaryScaling::Linear { factor: 2.0 };
        rig.engine.region_fill_rotary(d, 30, 20, 10_000.0, scaling).unwrap();
        assert!(rig.read(d)[..20].iter().enumerate().all(|(i, &x)| x == if i < 10 { 1.0 } else { 0.0 }));
        for (rows, cols, rule) in
            [(20, 31, "cols must be even, got 31"), (31, 20, "rows x cols must be 600, got 31 x 20")]
        {
            let error = rig.engine.region_fill_rotary(d, rows, cols, 10_000.0, scaling).unwrap_err();
            assert!(error.text.contains(rule), "{error}");
        }
        (rig.bits(a), rig.bits(b), rig.read(c), rig.bits(d))
    };
    let want = fill(1);
    assert_eq!(want.2, [3.5; 9]);
    for threads in 2..=3 {
        assert_eq!(fill(threads), want, "{threads} threads");
    }
}

#[test]
fn a_profile_counts_time_and_flops_per_instruction() {
    let mut rig = Rig::new(2);
    let c = load(&mut rig);
    assert!(rig.engine.profile().is_empty());
    rig.engine.profile_enable(true);
    for _ in 0..3 {
        rig.run(c.program, &[ROWS], &[], 1e9).unwrap();
    }
    let profile = rig.engine.profile();
    let rows: Vec<&[f64]> = profile.chunks_exact(4).collect();
    assert_eq!(rows.iter().map(|row| row[0] as usize).collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5, 6]);
    assert_eq!(rows[0][2], 2.0 * f64::from(ROWS * IN * HIDDEN));
    assert!(rows[0][1] > 0.0 && rows[2][1] > 0.0);
    // Small stages are thread 0's: the other one is idle for as long. Only a stage's first instruction says so.
    assert!(rows[0][3] >= 0.9 * rows[0][1], "{rows:?}");
    assert_eq!((rows[1][3], rows[4][3]), (0.0, 0.0));
    rig.engine.profile_enable(false);
    assert!(rig.engine.profile().is_empty());
}
