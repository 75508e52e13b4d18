//! What an engine holds: regions, the arena of the largest program, limits refused before anything changes.

mod common;

use common::{Builder, Rig, F32};
use engine::{Code, Engine, Source};

const MIB: f64 = 1024.0 * 1024.0;

/// Copies a binding of `n` floats through a bank of `n` floats back to the binding, times two.
fn doubling(n: u32) -> Builder {
    let mut b = Builder::default();
    let dims = b.fixed(n);
    let (x, t) = (b.bound(n, F32), b.banked(n, F32));
    b.stage().op(3, &[x, t], &[dims], &[11, 2.0f32.to_bits()]);
    b.stage().op(3, &[t, x], &[dims], &[0, 0]);
    b
}

#[test]
fn a_region_is_zeroed_aligned_and_has_the_size_asked_for() {
    let mut rig = Rig::new(1);
    for bytes in [0u32, 1, 4, 63, 64, 65, 100_000] {
        let id = rig.engine.region_alloc(f64::from(bytes)).unwrap();
        assert_eq!(rig.engine.region_bytes(id).unwrap(), u64::from(bytes));
        assert_eq!(rig.engine.region_pointer(id).unwrap() as usize % 64, 0);
        assert!(rig.read(id).iter().all(|&v| v == 0.0));
    }
}

#[test]
fn ids_are_never_used_again_and_unknown_ones_are_refused() {
    let mut rig = Rig::new(1);
    let a = rig.engine.region_alloc(4.0).unwrap();
    rig.engine.region_free(a).unwrap();
    let b = rig.engine.region_alloc(4.0).unwrap();
    assert!(a != 0 && b != 0 && a != b);
    let engine = &mut rig.engine;
    let source = Source { seed: [0; 2], path: [0; 2] };
    for id in [0, a, 77] {
        let errors = [
            engine.region_free(id).unwrap_err(),
            engine.region_pointer(id).unwrap_err(),
            engine.region_bytes(id).unwrap_err(),
            engine.region_version(id).unwrap_err(),
            engine.region_touch(id).unwrap_err(),
            engine.region_fill(id, 1.0).unwrap_err(),
            engine.region_fill_normal(id, 0.0, 1.0, source).unwrap_err(),
            engine.region_fill_uniform(id, 0.0, 1.0, source).unwrap_err(),
            engine.region_fill_sinusoidal(id, 1, 1, 0.0, source).unwrap_err(),
            engine.program_free(id).unwrap_err(),
            engine.run_begin(id, &[], &[]).unwrap_err(),
        ];
        assert!(errors.iter().all(|e| e.code == Code::BadProgram && e.text.contains(&id.to_string())), "{errors:?}");
    }
}

#[test]
fn too_much_memory_is_refused_with_the_bytes_needed_and_the_limit() {
    let mut rig = Rig::new(1);
    rig.engine.set_memory_limit(10.0 * MIB);
    let a = rig.engine.region_alloc(6.0 * MIB).unwrap();
    let live = rig.engine.live_bytes();
    let error = rig.engine.region_alloc(5.0 * MIB).unwrap_err();
    assert_eq!(error.code, Code::OutOfMemory);
    assert_eq!(
        error.to_string(),
        "OUT_OF_MEMORY: region_alloc: needs 5242880 bytes more than the 6291456 in use, the limit is 10485760"
    );
    assert_eq!(rig.engine.live_bytes(), live);
    rig.engine.region_free(a).unwrap();
    rig.engine.region_alloc(5.0 * MIB).unwrap();
}

#[test]
fn a_program_that_does_not_fit_changes_nothing() {
    let mut rig = Rig::new(2);
    rig.engine.set_memory_limit(10.0 * MIB);
    let a = rig.engine.region_alloc(6.0 * MIB).unwrap();
    let small = rig.engine.program_load(&doubling(1000).words(), &[a]).unwrap();
    let (live, arena) = (rig.engine.live_bytes(), rig.engine.arena_bytes());
    let error = rig.engine.program_load(&doubling(1_500_000).words(), &[a]).unwrap_err();
    assert_eq!(error.code, Code::OutOfMemory);
    assert!(error.text.starts_with("program_load: needs 599"), "{error}");
    assert_eq!((rig.engine.live_bytes(), rig.engine.arena_bytes(), rig.engine.programs_loaded()), (live, arena, 1));
    rig.engine.region_fill(a, 3.0).unwrap();
    rig.run(small, &[], &[], 1e9).unwrap();
    let x = rig.read(a);
    assert!(x[..1000].iter().all(|&v| v == 6.0) && x[1000..].iter().all(|&v| v == 3.0));
}

#[test]
fn sizes_that_are_none_or_reach_2_gib_are_refused() {
    let mut rig = Rig::new(1);
    for bytes in [-1.0, 0.5, f64::NAN, f64::INFINITY] {
        assert_eq!(rig.engine.region_alloc(bytes).unwrap_err().code, Code::BadProgram, "{bytes}");
    }
    for bytes in [2.0 * 1024.0 * MIB, 5.0 * 1024.0 * MIB] {
        assert_eq!(rig.engine.region_alloc(bytes).unwrap_err().code, Code::OutOfMemory, "{bytes}");
    }
    assert_eq!(rig.engine.live_bytes(), 0);
    assert!(Engine::new(0, common::now).is_err() && Engine::new(65, common::now).is_err());
}

#[test]
fn the_arena_is_that_of_the_largest_program_and_goes_with_it() {
    let mut rig = Rig::new(2);
    let a = rig.engine.region_alloc(40_000.0).unwrap();
    let nothing = rig.engine.live_bytes();
    let small = rig.engine.program_load(&doubling(1000).words(), &[a]).unwrap();
    let with_small = (rig.engine.live_bytes(), rig.engine.arena_bytes());
    let large = rig.engine.program_load(&doubling(10_000).words(), &[a]).unwrap();
    assert_eq!(rig.engine.arena_bytes(), 40_000);
    assert_eq!(rig.engine.programs_loaded(), 2);
    rig.engine.region_fill(a, 1.0).unwrap();
    rig.run(small, &[], &[], 1e9).unwrap();
    rig.run(large, &[], &[], 1e9).unwrap();
    let x = rig.read(a);
    assert_eq!((x[0], x[999], x[1000], x[9999]), (4.0, 4.0, 2.0, 2.0));
    rig.engine.program_free(large).unwrap();
    assert_eq!((rig.engine.live_bytes(), rig.engine.arena_bytes()), with_small);
    rig.run(small, &[], &[], 1e9).unwrap();
    rig.engine.program_free(small).unwrap();
    assert_eq!((rig.engine.live_bytes(), rig.engine.arena_bytes()), (nothing, 0));
    rig.engine.region_free(a).unwrap();
    assert_eq!(rig.engine.live_bytes(), 0);
}

#[test]
fn a_program_without_its_region_or_with_a_smaller_one_is_refused() {
    let mut rig = Rig::new(1);
    let (a, b) = (rig.engine.region_alloc(4000.0).unwrap(), rig.engine.region_alloc(3999.0).unwrap());
    let words = doubling(1000).words();
    let error = rig.engine.program_load(&words, &[b]).unwrap_err();
    assert!(error.text.contains("binding 0 needs 4000 bytes"), "{error}");
    for regions in [&[][..], &[a, a], &[99]] {
        assert_eq!(rig.engine.program_load(&words, regions).unwrap_err().code, Code::BadProgram);
    }
    let program = rig.engine.program_load(&words, &[a]).unwrap();
    rig.engine.region_free(a).unwrap();
    let error = rig.engine.run_begin(program, &[], &[]).unwrap_err();
    assert!(error.text.contains("the region must exist"), "{error}");
    rig.engine.program_free(program).unwrap();
}

#[test]
fn one_region_cannot_be_two_bindings_if_it_is_written() {
    let mut rig = Rig::new(1);
    let mut b = Builder::default();
    let (one, n) = (b.fixed(1), b.fixed(10));
    let (x, y, z) = (b.bound(10, F32), b.bound(10, F32), b.bound(10, F32));
    b.stage().op(5, &[x, y, z], &[one, n], &[0, 0]);
    let (p, q) = (rig.floats(&[1.0; 10]), rig.floats(&[0.0; 10]));
    for regions in [[p, q, p], [q, p, p]] {
        let error = rig.engine.program_load(&b.words(), &regions).unwrap_err();
        assert!(error.text.contains("must be bound once"), "{error}");
    }
    // Reading one twice is fine.
    let program = rig.engine.program_load(&b.words(), &[p, p, q]).unwrap();
    rig.run(program, &[], &[], 1e9).unwrap();
    assert_eq!(rig.read(q), [2.0; 10]);
}

#[test]
fn while_a_run_is_in_progress_memory_stays_where_it_is() {
    let mut rig = Rig::new(2);
    let a = rig.engine.region_alloc(4000.0).unwrap();
    let words = doubling(1000).words();
    let program = rig.engine.program_load(&words, &[a]).unwrap();
    rig.engine.run_begin(program, &[], &[]).unwrap();
    assert!(!rig.engine.run_slice(0.0).unwrap());
    let errors = [
        rig.engine.program_load(&words, &[a]).unwrap_err(),
        rig.engine.program_free(program).unwrap_err(),
        rig.engine.region_free(a).unwrap_err(),
        rig.engine.run_begin(program, &[], &[]).unwrap_err(),
        rig.engine.region_fill(a, 0.0).unwrap_err(),
    ];
    assert!(errors.iter().all(|error| error.code == Code::Busy), "{errors:?}");
    rig.engine.region_alloc(4.0).unwrap();
    while !rig.engine.run_slice(0.0).unwrap() {}
    rig.engine.program_free(program).unwrap();
}

#[test]
fn the_thousandth_run_holds_what_the_tenth_held() {
    let mut rig = Rig::new(2);
    let a = rig.engine.region_alloc(4000.0).unwrap();
    let program = rig.engine.program_load(&doubling(1000).words(), &[a]).unwrap();
    let mut tenth = 0;
    for i in 1..=1000 {
        rig.run(program, &[], &[], 1e9).unwrap();
        let region = rig.engine.region_alloc(64.0).unwrap();
        rig.engine.region_free(region).unwrap();
        if i == 10 {
            tenth = rig.engine.live_bytes();
        }
    }
    assert_eq!(rig.engine.live_bytes(), tenth);
}
