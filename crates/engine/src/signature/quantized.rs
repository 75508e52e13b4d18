//! Opcodes 64 to 71: weights stored as int8 blocks.

use super::Param::{Bits, Integer};
use super::{r, ri, w, DType, Operand, Signature};

/// Opcode 64 is the first.
pub static SIGNATURES: [Signature; 3] = [
    signature!(
        "matmul_q8",
        [
            r("a"),
            Operand::of("b", DType::Q8, false),
            r("init").maybe().or_result(),
            r("bias").maybe(),
            w("out"),
            w("act").maybe()
        ],
        ["m", "n", "k"],
        [("activation", Integer(3))]
    ),
    signature!(
        "embedding_q8",
        [Operand::of("table", DType::Q8, false), ri("ids"), w("out")],
        ["rows", "cols", "vocab"],
        []
    ),
    signature!(
        "linear_cross_entropy_q8",
        [r("x"), Operand::of("w", DType::Q8, false), ri("labels"), w("loss"), w("log_z")],
        ["rows", "vocab", "cols"],
        [("ignore", Bits)]
    ),
];
