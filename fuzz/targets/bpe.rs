//! Fuzz target: see checks/bpe.rs.
#![no_main]

#[path = "../checks/bounds.rs"]
mod bounds;
#[path = "../checks/bpe.rs"]
mod bpe;
#[path = "../checks/input.rs"]
mod input;

libfuzzer_sys::fuzz_target!(|data: &[u8]| bounds::bounded(data, || bpe::check(data)));
