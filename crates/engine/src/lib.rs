//! The engine: regions of memory, the program format, and an executor in which every thread walks the same list of stages.
//!
//! It holds no arithmetic of its own: operations and initial values are those of the kernels' crate. It knows
//! nothing of JavaScript: `crates/wasm` exports it, and natively the same code runs under `cargo test`.
//! The contract is docs/architecture.md, sections 2 to 4.

#![cfg_attr(target_arch = "wasm32", feature(stdarch_wasm_atomic_wait))]

mod arena;
mod barrier;
mod decode;
mod engine;
mod error;
mod executor;
mod fill;
mod format;
mod memory;
mod program;
mod queue;
mod regions;
mod run;
mod signature;
mod wait;

pub use barrier::Poisoned;
pub use engine::{Engine, ProgramId, MAX_THREADS};
pub use error::{Code, EngineError};
pub use executor::{FaultReport, Shared};
pub use fill::Source;
pub use regions::RegionId;
