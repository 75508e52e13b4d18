//! The engine: regions of memory, the program format, and an executor in which thread 0 hands out stages, tile by tile.
//!
//! It holds no arithmetic of its own: operations and initial values are those of the kernels' crate. It knows
//! nothing of JavaScript: `crates/wasm` exports it, and natively the same code runs under `cargo test`.
//! The contract is docs/architecture.md, sections 2 to 4.

#![cfg_attr(target_arch = "wasm32", feature(stdarch_wasm_atomic_wait))]

mod arena;
mod by_id;
mod decode;
mod engine;
mod error;
mod executor;
mod fill;
mod format;
mod gate;
mod memory;
mod number;
mod patience;
mod profile;
mod program;
mod regions;
mod run;
mod self_test;
mod signature;
mod sort;
mod wait;

pub use engine::{Engine, ProgramId, MAX_THREADS};
pub use error::{Code, EngineError};
pub use executor::{FaultReport, Shared};
pub use fill::Source;
pub use gate::Poisoned;
pub use kernels::rotary::RotaryScaling;
pub use regions::RegionId;
