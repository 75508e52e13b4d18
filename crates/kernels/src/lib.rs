//! The kernels of ferroformer: one file (or folder) per operation, each with
//! - an argument struct that implements [`TileOp`] (raw pointers, for the engine),
//! - a safe shell on slices that checks lengths,
//! - a naive oracle and tests beside it.
//!
//! They allocate nothing: a thread brings `scratch_len()` floats. Every output element is one chain of operations in a
//! fixed order, so results do not depend on tiles, blocking or the number of threads. Names, operands and dims are those
//! of `docs/architecture.md`, section 2.

pub mod adamw;
pub mod attention;
pub mod binary;
pub mod copy_rows;
pub mod cross_entropy;
pub mod dropout;
pub mod embedding;
pub mod fill;
pub mod gelu;
pub mod init;
pub mod integer;
pub mod lanes;
pub mod layer_norm;
pub mod linear_cross_entropy;
pub mod matmul;
pub mod norm;
pub mod philox;
pub mod position;
pub mod reduce;
pub mod rms_norm;
pub mod rotary;
pub mod sample;
pub mod scalar_math;
pub mod sgd;
pub mod softmax;
pub mod stored;
pub mod swiglu;
pub mod tile;
pub mod transpose;
pub mod unary;
pub mod vecmath;

pub use tile::{run_all, Fault, FaultCode, TileOp};

#[cfg(any(test, feature = "testkit"))]
pub mod testkit;

#[cfg(test)]
mod short_lengths;
#[cfg(test)]
mod tile_order;
