//! Opcodes 64 to 71: weights stored as int8 blocks.

use super::Signature;

/// None yet.
pub static SIGNATURES: [Signature; 0] = [];
