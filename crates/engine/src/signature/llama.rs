//! Opcodes 41 to 48: root-mean-square norms and rotary positions.

use super::Signature;

/// None yet.
pub static SIGNATURES: [Signature; 0] = [];
