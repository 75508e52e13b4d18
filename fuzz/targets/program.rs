//! Fuzz target: the program loader of the engine.
#![no_main]

#[path = "../checks/bounds.rs"]
mod bounds;
#[path = "../checks/program.rs"]
mod program;

libfuzzer_sys::fuzz_target!(|data: &[u8]| bounds::bounded(data, || {
    program::check(data);
}));
