//! The text kernels: byte-level BPE with frozen Unicode tables, and the header of safetensors files. A WebAssembly build of its own, without threads or shared memory, so that it runs on a
//! page's main thread and without an engine. Safe code only; whatever it is given, it answers or refuses with `CODE: op: rule, got value`.

#![forbid(unsafe_code)]

pub mod bpe;
mod exports;
mod hash;
pub mod json;
pub mod pattern;
pub mod safetensors;
pub mod split;
pub mod train;
pub mod unicode;

pub use exports::{Bpe, BpeTrainer, SafetensorsHeader};
