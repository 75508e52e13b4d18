//! Opcodes 49 to 63: beam search's continuations, and moving cache rows while text is written. (The draw itself is opcode 33.)

use super::Param::MaybeScalar;
use super::{r, ri, w, wi, Signature};

/// Opcode 49 is the first.
pub static SIGNATURES: [Signature; 2] = [
    signature!(
        "beam_scores",
        [
            r("logits"),
            ri("tokens"),
            r("scores"),
            r("bias").maybe(),
            ri("lists").maybe(),
            wi("counts").maybe(),
            wi("state").maybe(),
            wi("report")
        ],
        ["rows", "vocab", "stride", "list", "keep"],
        [
            ("repetition", MaybeScalar),
            ("presence", MaybeScalar),
            ("frequency", MaybeScalar),
            ("min_new", MaybeScalar),
            ("draw", MaybeScalar)
        ]
    ),
    signature!("permute_rows", [w("x"), ri("parents")], ["batch", "time", "cols", "pitch"], []),
];
