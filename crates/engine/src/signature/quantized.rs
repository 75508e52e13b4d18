//! Opcodes 64 to 71: arithmetic on weights in int8 blocks as they are. (That they are read as f32 is `Operand::stored`.)

use super::Param::Integer;
use super::{r, w, DType, Operand, Signature};

/// Opcode 64 is the first.
pub static SIGNATURES: [Signature; 1] = [signature!(
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
)];
