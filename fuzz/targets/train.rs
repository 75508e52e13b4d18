//! Fuzz target: see checks/train.rs.
#![no_main]

#[path = "../checks/bounds.rs"]
mod bounds;
#[path = "../checks/input.rs"]
mod input;
#[path = "../checks/train.rs"]
mod train;

libfuzzer_sys::fuzz_target!(|data: &[u8]| bounds::bounded(data, || train::check(data)));
