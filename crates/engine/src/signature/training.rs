//! Opcodes 1 to 40: forward and backward of the GPT, losses, optimizers, copying and the draw.

use super::Param::{Bits, Float, Integer, MaybeScalar, Scalar};
use super::{r, ri, w, wi, DType, Operand, Param, Signature};

const PATH: [(&str, Param); 7] = [
    ("p", Float),
    ("path_lo", Bits),
    ("path_hi", Bits),
    ("seed_lo", MaybeScalar),
    ("seed_hi", MaybeScalar),
    ("step", MaybeScalar),
    ("micro", MaybeScalar),
];
const ATTENTION_DIMS: [&str; 10] =
    ["batch", "tq", "tk", "q_row", "k_row", "v_row", "q_batch", "k_batch", "v_batch", "masks"];
const ATTENTION_PARAMS: [(&str, Param); 12] = [
    ("heads", Integer(u32::MAX)),
    ("kv_heads", Integer(u32::MAX)),
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

/// Opcode 1 is the first.
pub static SIGNATURES: [Signature; 40] = [
    signature!(
        "matmul",
        [r("a"), r("b").stored(), r("init").maybe().or_result(), r("bias").maybe(), w("out"), w("act").maybe()],
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
    signature!("embedding", [r("table").stored(), ri("ids"), w("out")], ["rows", "cols", "vocab"], []),
    signature!(
        "embedding_backward",
        [ri("ids"), r("dy"), r("init").maybe().or_result(), w("dtable")],
        ["rows", "cols", "vocab"],
        []
    ),
    signature!(
        "add_position",
        [r("x").or_result(), r("table"), ri("positions").maybe(), w("out")],
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
        [
            r("q").strided(),
            r("k").strided(),
            r("v").strided(),
            ri("key_mask").maybe(),
            r("mask").maybe(),
            ri("starts").maybe(),
            ri("key_counts").maybe(),
            w("out"),
            w("lse")
        ],
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
            r("mask").maybe(),
            ri("starts").maybe(),
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
            r("mask").maybe(),
            ri("starts").maybe(),
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
    signature!(
        "linear_cross_entropy",
        [r("x"), r("w").stored(), ri("labels"), w("loss"), w("log_z")],
        VOCAB_ROWS,
        IGNORE
    ),
    signature!(
        "linear_cross_entropy_backward_x",
        [r("x"), r("w").stored(), ri("labels"), r("log_z"), r("g"), r("gz").maybe(), w("dx")],
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
        [r("src").strided(), ri("positions").maybe(), w("dst").strided()],
        ["batch", "time", "cols", "src_row", "src_batch", "src_offset", "dst_row", "dst_batch", "dst_offset"],
        []
    ),
    signature!(
        "sample",
        [
            r("logits"),
            r("bias").maybe(),
            ri("lists").maybe(),
            wi("counts").maybe(),
            wi("state").maybe(),
            wi("positions").maybe(),
            wi("out"),
            wi("report").maybe()
        ],
        ["rows", "vocab", "stride", "list", "columns"],
        [
            ("temperature", Scalar),
            ("top_k", Scalar),
            ("top_p", Scalar),
            ("seed_lo", Scalar),
            ("seed_hi", Scalar),
            ("draw", Scalar),
            ("min_p", MaybeScalar),
            ("repetition", MaybeScalar),
            ("presence", MaybeScalar),
            ("frequency", MaybeScalar),
            ("min_new", MaybeScalar),
            ("top_n", MaybeScalar)
        ]
    ),
    signature!("transpose", [r("x"), w("out")], ["batch", "m", "n"], []),
    signature!("trap", [], [], [("thread", Integer(u32::MAX))]),
    signature!("head_logits", [r("x"), r("w").stored(), ri("labels"), w("logits"), w("stats")], HEAD_DIMS, HEAD_PARAMS),
    signature!("head_loss", [ri("labels"), r("logits"), r("stats"), w("loss"), w("log_z")], HEAD_DIMS, HEAD_PARAMS),
    signature!(
        "head_backward_w",
        [r("x"), ri("labels"), r("log_z"), r("g"), r("init").maybe().or_result(), w("dw").maybe(), w("logits")],
        HEAD_DIMS,
        HEAD_PARAMS
    ),
    signature!("head_backward_x", [r("w").stored(), ri("labels"), r("dlogits"), w("dx")], HEAD_DIMS, HEAD_PARAMS),
    signature!(
        "attention_backward",
        [
            r("q").strided(),
            r("k").strided(),
            r("v").strided(),
            ri("key_mask").maybe(),
            r("mask").maybe(),
            ri("starts").maybe(),
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
