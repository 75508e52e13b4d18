//! Opcodes 41 to 48: root-mean-square norms, rotary positions, SwiGLU, and whole numbers that move on.

use super::Param::{Bits, Float, Integer};
use super::{r, ri, w, wi, Signature};

const ROWS_COLS: [&str; 2] = ["rows", "cols"];
const STRIDED_ROWS: [&str; 4] = ["rows", "cols", "gate_row", "up_row"];

/// Opcode 41 is the first.
pub static SIGNATURES: [Signature; 7] = [
    signature!("rms_norm", [r("x"), r("weight").maybe(), w("out"), w("rstd")], ROWS_COLS, [("eps", Float)]),
    signature!(
        "rms_norm_backward",
        [r("x"), r("weight").maybe(), r("rstd"), r("dy"), r("addend").maybe().or_result(), w("dx")],
        ROWS_COLS,
        []
    ),
    signature!("rms_norm_backward_params", [r("x"), r("rstd"), r("dy"), w("dweight")], ROWS_COLS, []),
    signature!(
        "rotary",
        [r("x").or_result(), r("table"), ri("positions").maybe(), w("out")],
        ["batch", "time", "cols", "position", "table_rows"],
        [("heads", Integer(u32::MAX)), ("head_dim", Integer(u32::MAX)), ("inverse", Integer(1))]
    ),
    signature!("swiglu", [r("gate").strided(), r("up").strided(), w("out")], STRIDED_ROWS, []),
    signature!(
        "swiglu_backward",
        [r("gate").strided(), r("up").strided(), r("dout"), w("dgate").strided(), w("dup").strided()],
        STRIDED_ROWS,
        []
    ),
    signature!("add_integer", [ri("x").or_result(), wi("out")], ["n"], [("c", Bits)]),
];
