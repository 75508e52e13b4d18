//! Fuzz target: see checks/pattern.rs.
#![no_main]

#[path = "../checks/bounds.rs"]
mod bounds;
#[path = "../checks/input.rs"]
mod input;
#[path = "../checks/pattern.rs"]
mod pattern;

libfuzzer_sys::fuzz_target!(|data: &[u8]| bounds::bounded(data, || pattern::check(data)));
