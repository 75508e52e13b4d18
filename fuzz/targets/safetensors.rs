//! Fuzz target: see checks/safetensors.rs.
#![no_main]

#[path = "../checks/bounds.rs"]
mod bounds;
#[path = "../checks/input.rs"]
mod input;
#[path = "../checks/safetensors.rs"]
mod safetensors;

libfuzzer_sys::fuzz_target!(|data: &[u8]| bounds::bounded(data, || safetensors::check(data)));
