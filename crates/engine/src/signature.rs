//! The table of opcodes: the operands, dims and params each instruction has, in their order (docs/architecture.md, section 2).
//! What the arguments mean to a kernel is decided in `decode/`.

/// Storage type of an operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DType {
    /// 32-bit float.
    F32,
    /// 32-bit signed integer.
    I32,
    /// 64-bit float (partial sums only).
    F64,
}

impl DType {
    /// The type of a code of the format.
    pub fn from_word(word: u32) -> Option<Self> {
        [DType::F32, DType::I32, DType::F64].get(word as usize).copied()
    }

    /// Bytes of one element.
    pub fn bytes(self) -> u64 {
        if self == DType::F64 {
            8
        } else {
            4
        }
    }

    fn name(self) -> &'static str {
        ["f32", "i32", "f64"][self as usize]
    }
}

impl std::fmt::Display for DType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// One operand of an opcode.
#[derive(Clone, Copy, Debug)]
pub struct Operand {
    /// Name in the table and in the kernel's struct.
    pub name: &'static str,
    /// The only type it may have.
    pub dtype: DType,
    /// Whether the instruction writes it.
    pub written: bool,
    /// Whether it may be absent.
    pub optional: bool,
    /// Whether it is addressed by strides, so that its bytes may interleave with those of other operands.
    pub strided: bool,
    /// Whether it may be the same memory as the instruction's first result.
    pub in_place: bool,
}

/// One param word of an opcode.
#[derive(Clone, Copy, Debug)]
pub enum Param {
    /// An integer from 0 to this one.
    Integer(u32),
    /// Any 32 bits (half of a path, a label).
    Bits,
    /// The bits of an f32.
    Float,
    /// Index of one of the run's scalars.
    Scalar,
    /// The same, or absent.
    MaybeScalar,
}

/// An opcode's arguments.
#[derive(Debug)]
pub struct Signature {
    /// Name in messages.
    pub name: &'static str,
    /// Operands in order.
    pub operands: &'static [Operand],
    /// Names of the dims in order.
    pub dims: &'static [&'static str],
    /// Names and kinds of the params in order.
    pub params: &'static [(&'static str, Param)],
}

impl Operand {
    const fn of(name: &'static str, dtype: DType, written: bool) -> Self {
        Self { name, dtype, written, optional: false, strided: false, in_place: false }
    }
    const fn maybe(self) -> Self {
        Self { optional: true, ..self }
    }
    const fn strided(self) -> Self {
        Self { strided: true, ..self }
    }
    const fn or_result(self) -> Self {
        Self { in_place: true, ..self }
    }
}

/// An f32 that is read.
const fn r(name: &'static str) -> Operand {
    Operand::of(name, DType::F32, false)
}
/// An i32 that is read.
const fn ri(name: &'static str) -> Operand {
    Operand::of(name, DType::I32, false)
}
/// An f32 that is written (and perhaps read).
const fn w(name: &'static str) -> Operand {
    Operand::of(name, DType::F32, true)
}

use Param::{Bits, Float, Integer, MaybeScalar, Scalar};

const PATH: [(&str, Param); 7] = [
    ("p", Float),
    ("path_lo", Bits),
    ("path_hi", Bits),
    ("seed_lo", MaybeScalar),
    ("seed_hi", MaybeScalar),
    ("step", MaybeScalar),
    ("micro", MaybeScalar),
];
const ATTENTION_DIMS: [&str; 9] = ["batch", "tq", "tk", "q_row", "k_row", "v_row", "q_batch", "k_batch", "v_batch"];
const ATTENTION_PARAMS: [(&str, Param); 11] = [
    ("heads", Integer(u32::MAX)),
    ("head_dim", Integer(u32::MAX)),
    ("causal", Integer(1)),
    ("scale", Float),
    PATH[0],
    PATH[1],
    PATH[2],
    PATH[3],
    PATH[4],
    PATH[5],
    PATH[6],
];
const IGNORE: [(&str, Param); 1] = [("ignore", Bits)];
const VOCAB_ROWS: [&str; 3] = ["rows", "vocab", "cols"];
const HEAD_DIMS: [&str; 5] = ["rows", "vocab", "cols", "most", "stride"];
const HEAD_PARAMS: [(&str, Param); 2] = [IGNORE[0], ("first", Integer(u32::MAX))];
const ROWS_COLS: [&str; 2] = ["rows", "cols"];

macro_rules! signature {
    ($name:literal, [$($operand:expr),*], $dims:expr, $params:expr) => {
        Signature { name: $name, operands: &[$($operand),*], dims: &$dims, params: &$params }
    };
}

/// The signature of an opcode, or `None` if there is none of that number.
pub fn signature(opcode: u32) -> Option<&'static Signature> {
    SIGNATURES.get((opcode as usize).checked_sub(1)?)
}

/// Opcode 1 is the first.
static SIGNATURES: [Signature; 40] = [
    signature!(
        "matmul",
        [r("a"), r("b"), r("init").maybe().or_result(), r("bias").maybe(), w("out"), w("act").maybe()],
        ["batch", "m", "n", "k"],
        [("form", Integer(2)), ("activation", Integer(3))]
    ),
    signature!("column_sum", [r("x"), w("out")], ROWS_COLS, []),
    signature!("unary", [r("x").or_result(), w("out")], ["n"], [("kind", Integer(14)), ("c", Float)]),
    signature!(
        "unary_backward",
        [r("x").or_result(), r("y").or_result(), r("dy").or_result(), w("dx")],
        ["n"],
        [("kind", Integer(14)), ("c", Float)]
    ),
    signature!(
        "binary",
        [r("a").or_result(), r("b").or_result(), w("out")],
        ["outer", "inner"],
        [("kind", Integer(3)), ("mode", Integer(3))]
    ),
    signature!("row_sum", [r("x"), w("out")], ROWS_COLS, []),
    signature!("sum_all", [r("x"), w("out")], ["n"], [("scale", Float)]),
    signature!("fill", [w("out")], ["n"], [("value", Float)]),
    signature!("softmax", [r("x"), w("out")], ROWS_COLS, [("log", Integer(1))]),
    signature!("softmax_backward", [r("y"), r("dy"), w("dx")], ROWS_COLS, [("log", Integer(1))]),
    signature!(
        "layer_norm",
        [r("x"), r("weight").maybe(), r("bias").maybe(), w("out"), w("mean"), w("rstd")],
        ROWS_COLS,
        [("eps", Float)]
    ),
    signature!(
        "layer_norm_backward",
        [r("x"), r("weight").maybe(), r("mean"), r("rstd"), r("dy"), r("addend").maybe().or_result(), w("dx")],
        ROWS_COLS,
        []
    ),
    signature!(
        "layer_norm_backward_params",
        [r("x"), r("mean"), r("rstd"), r("dy"), w("dweight"), w("dbias").maybe()],
        ROWS_COLS,
        []
    ),
    signature!("embedding", [r("table"), ri("ids"), w("out")], ["rows", "cols", "vocab"], []),
    signature!(
        "embedding_backward",
        [ri("ids"), r("dy"), r("init").maybe().or_result(), w("dtable")],
        ["rows", "cols", "vocab"],
        []
    ),
    signature!(
        "add_position",
        [r("x").or_result(), r("table"), w("out")],
        ["batch", "time", "cols", "position", "table_rows"],
        []
    ),
    signature!(
        "add_position_backward",
        [r("dy"), w("dtable")],
        ["batch", "time", "cols", "position", "table_rows"],
        []
    ),
    signature!("dropout", [r("x").or_result(), w("out")], ["n"], PATH),
    signature!(
        "attention",
        [r("q").strided(), r("k").strided(), r("v").strided(), ri("key_mask").maybe(), w("out"), w("lse")],
        ATTENTION_DIMS,
        ATTENTION_PARAMS
    ),
    signature!(
        "attention_backward_q",
        [
            r("q").strided(),
            r("k").strided(),
            r("v").strided(),
            ri("key_mask").maybe(),
            r("out"),
            r("lse"),
            r("dout"),
            w("dq").strided(),
            w("delta")
        ],
        ATTENTION_DIMS,
        ATTENTION_PARAMS
    ),
    signature!(
        "attention_backward_kv",
        [
            r("q").strided(),
            r("k").strided(),
            r("v").strided(),
            ri("key_mask").maybe(),
            r("lse"),
            r("dout"),
            r("delta"),
            w("dk").strided(),
            w("dv").strided()
        ],
        ATTENTION_DIMS,
        ATTENTION_PARAMS
    ),
    signature!("cross_entropy", [r("logits"), ri("labels"), w("loss"), w("log_z")], ["rows", "vocab"], IGNORE),
    signature!(
        "cross_entropy_backward",
        [r("logits").or_result(), ri("labels"), r("log_z"), r("g"), r("gz").maybe(), w("dlogits")],
        ["rows", "vocab"],
        IGNORE
    ),
    signature!("linear_cross_entropy", [r("x"), r("w"), ri("labels"), w("loss"), w("log_z")], VOCAB_ROWS, IGNORE),
    signature!(
        "linear_cross_entropy_backward_x",
        [r("x"), r("w"), ri("labels"), r("log_z"), r("g"), r("gz").maybe(), w("dx")],
        VOCAB_ROWS,
        IGNORE
    ),
    signature!(
        "linear_cross_entropy_backward_w",
        [r("x"), r("w"), ri("labels"), r("log_z"), r("g"), r("gz").maybe(), r("init").maybe().or_result(), w("dw")],
        VOCAB_ROWS,
        IGNORE
    ),
    signature!("count_labels", [ri("labels"), w("out")], ["n"], IGNORE),
    signature!("squared_norm", [r("g"), Operand::of("partials", DType::F64, true)], ["n"], []),
    signature!(
        "clip_finish",
        [Operand::of("partials", DType::F64, false), r("count").maybe(), w("out")],
        ["n_partials"],
        [("max_norm", Scalar)]
    ),
    signature!(
        "adamw",
        [w("p"), r("g"), w("m"), w("v"), r("clip")],
        ["n"],
        [
            ("lr", Scalar),
            ("c1", Scalar),
            ("c2", Scalar),
            ("beta1", Float),
            ("beta2", Float),
            ("eps", Float),
            ("weight_decay", Float),
            ("one_minus_beta1", Float),
            ("one_minus_beta2", Float)
        ]
    ),
    signature!(
        "sgd",
        [w("p"), r("g"), w("buf").maybe(), r("clip")],
        ["n"],
        [("lr", Scalar), ("momentum", Float), ("weight_decay", Float), ("nesterov", Integer(1))]
    ),
    signature!(
        "copy_rows",
        [r("src").strided(), w("dst").strided()],
        ["batch", "time", "cols", "src_row", "src_batch", "src_offset", "dst_row", "dst_batch", "dst_offset"],
        []
    ),
    signature!(
        "sample",
        [r("logits"), Operand::of("out", DType::I32, true)],
        ["rows", "vocab"],
        [
            ("temperature", Scalar),
            ("top_k", Scalar),
            ("top_p", Scalar),
            ("seed_lo", Scalar),
            ("seed_hi", Scalar),
            ("draw", Scalar)
        ]
    ),
    signature!("transpose", [r("x"), w("out")], ["batch", "m", "n"], []),
    signature!("trap", [], [], [("thread", Integer(u32::MAX))]),
    signature!("head_logits", [r("x"), r("w"), ri("labels"), w("logits"), w("stats")], HEAD_DIMS, HEAD_PARAMS),
    signature!("head_loss", [ri("labels"), r("logits"), r("stats"), w("loss"), w("log_z")], HEAD_DIMS, HEAD_PARAMS),
    signature!(
        "head_backward_w",
        [r("x"), ri("labels"), r("log_z"), r("g"), r("init").maybe().or_result(), w("dw").maybe(), w("logits")],
        HEAD_DIMS,
        HEAD_PARAMS
    ),
    signature!("head_backward_x", [r("w"), ri("labels"), r("dlogits"), w("dx")], HEAD_DIMS, HEAD_PARAMS),
    signature!(
        "attention_backward",
        [
            r("q").strided(),
            r("k").strided(),
            r("v").strided(),
            ri("key_mask").maybe(),
            r("out"),
            r("lse"),
            r("dout"),
            w("dq").strided(),
            w("dk").strided(),
            w("dv").strided()
        ],
        ATTENTION_DIMS,
        ATTENTION_PARAMS
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_starts_at_one_and_ends_at_the_last_opcode() {
        assert!(signature(0).is_none() && signature(41).is_none() && signature(u32::MAX).is_none());
        assert_eq!(signature(1).unwrap().name, "matmul");
        assert_eq!(signature(19).unwrap().name, "attention");
        assert_eq!(signature(30).unwrap().name, "adamw");
        assert_eq!(signature(35).unwrap().name, "trap");
        assert_eq!(signature(40).unwrap().name, "attention_backward");
    }

    #[test]
    fn names_within_an_opcode_are_distinct() {
        for opcode in 1..=40 {
            let signature = signature(opcode).unwrap();
            let mut names: Vec<&str> = signature.operands.iter().map(|o| o.name).collect();
            names.sort_unstable();
            let count = names.len();
            names.dedup();
            assert_eq!(names.len(), count, "{}", signature.name);
        }
    }
}
