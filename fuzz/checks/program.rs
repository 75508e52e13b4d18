//! The program loader: whatever the words, `program_load` answers; what it accepts can be decoded and run without touching memory that
//! is not the program's (which AddressSanitizer sees, where the toolchain has it). Included with `#[path]`.

use engine::{Code, Engine, EngineError, RegionId};

/// Largest region that is bound, in bytes; a program that asks for more gets fewer, and is refused.
const LARGEST: u32 = 1 << 18;
const MEMORY: f64 = 4e6;
const HEADER_WORDS: usize = 11;
/// The instruction that ends a thread on purpose, for tests.
const TRAP: u32 = 35;

/// Loads the words, and runs what loads, once at its largest extents and once at smaller ones. Whether it loads.
pub fn check(data: &[u8]) -> bool {
    let mut words: Vec<u32> =
        data.chunks_exact(4).map(|bytes| u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])).collect();
    // The length stands in the words: set right, so that inputs of any length come further.
    if let Some(length) = words.get(10).copied().filter(|&length| length as usize != words.len()) {
        words[10] = if length % 8 == 0 { length } else { words.len() as u32 };
    }
    let mut engine = Engine::new(1, || 0.0).expect("one thread is allowed");
    engine.set_memory_limit(MEMORY);
    let regions: Vec<RegionId> =
        bindings(&words).iter().filter_map(|&bytes| region(&mut engine, bytes, data)).collect();
    let before = engine.live_bytes();
    match engine.program_load(&words, &regions) {
        Err(error) => {
            accepted_refusal(&error);
            assert_eq!(
                (engine.live_bytes(), engine.programs_loaded()),
                (before, 0),
                "a refused program leaves nothing"
            );
            false
        }
        Ok(program) => {
            let extents = words[HEADER_WORDS..][..words[2] as usize].to_vec();
            let smaller: Vec<u32> = extents.iter().map(|&extent| extent / 2).collect();
            for extents in [extents, smaller].iter().filter(|_| !traps(&words)) {
                let scalars: Vec<f64> = (0..words[3]).map(|i| f64::from(i) * 0.125).collect();
                run(&mut engine, program, extents, &scalars);
            }
            engine.program_free(program).expect("it is loaded and not running");
            assert_eq!(engine.live_bytes(), before, "a freed program leaves nothing");
            true
        }
    }
}

/// Begins a run and works on it for a few slices.
fn run(engine: &mut Engine, program: u32, extents: &[u32], scalars: &[f64]) {
    if let Err(error) = engine.run_begin(program, extents, scalars) {
        return accepted_refusal(&error);
    }
    for _ in 0..8 {
        match engine.run_slice(0.0) {
            Ok(true) => return,
            Ok(false) => {}
            Err(error) => {
                assert!(error.code == Code::KernelFault && engine.fault().is_some(), "{error}");
                return;
            }
        }
    }
    engine.run_abandon().expect("nothing died");
}

fn accepted_refusal(error: &EngineError) {
    assert!(matches!(error.code, Code::BadProgram | Code::OutOfMemory), "{error}");
    assert!(!error.text.is_empty() && error.text.len() < 500, "{error}");
}

/// A region of these bytes, as far as they are few, with the input's bytes in it.
fn region(engine: &mut Engine, bytes: u32, data: &[u8]) -> Option<RegionId> {
    let id = engine.region_alloc(f64::from(bytes.min(LARGEST))).ok()?;
    let pointer = engine.region_pointer(id).ok()?;
    let count = data.len().min(bytes.min(LARGEST) as usize);
    // SAFETY: the region has at least `count` bytes, and nobody else works.
    unsafe { std::ptr::copy_nonoverlapping(data.as_ptr(), pointer, count) };
    Some(id)
}

/// Bytes of the bindings that the words ask for, as far as they are there.
fn bindings(words: &[u32]) -> &[u32] {
    let count = |i: usize| words.get(i).map_or(0, |&count| count as usize);
    let start =
        HEADER_WORDS.saturating_add(count(2)).saturating_add(count(4).saturating_mul(4)).saturating_add(count(5));
    words.get(start..).map_or(&[], |rest| &rest[..count(6).min(rest.len()).min(64)])
}

/// Whether an accepted program has the instruction that kills a thread.
fn traps(words: &[u32]) -> bool {
    let count = |i: usize| words[i] as usize;
    let mut at = HEADER_WORDS + count(2) + 4 * count(4) + count(5) + count(6) + 5 * count(7);
    (0..count(8)).any(|_| {
        let opcode = words[at];
        at += 4 + (words[at + 1] + words[at + 2] + words[at + 3]) as usize;
        opcode == TRAP
    })
}
