//! Opcodes 49 to 63: choosing tokens and moving cache rows while text is written.

use super::Signature;

/// None yet.
pub static SIGNATURES: [Signature; 0] = [];
