//! From a checked instruction to a kernel's argument struct: one function per opcode, grouped by file. Each asks `args.rs` for
//! every operand together with the number of elements the kernel will touch for these dims, so that nothing can run past its
//! operand. Ranges that are no sizes (positions within a table) are checked here too.

mod args;
mod attention;
mod cost;
mod elementwise;
mod generation;
mod head;
mod layout;
mod llama;
mod matmul;
mod norm;
mod rows;
mod update;

pub use args::Args;
pub use cost::cost_ns;

use crate::error::EngineError;
use crate::fill::Drawn;
use kernels::{Fault, TileOp};

/// Declares `Op` with one variant per kernel struct.
macro_rules! ops {
    ($($name:ident($kernel:ty)),* $(,)?) => {
        /// A decoded instruction.
        pub enum Op {
            $(#[allow(missing_docs)] $name($kernel)),*
        }

        impl Op {
            /// The operation as tiles.
            #[inline]
            pub fn tile_op(&self) -> &dyn TileOp {
                match self {
                    $(Op::$name(op) => op),*
                }
            }
        }

        $(impl From<$kernel> for Op {
            fn from(op: $kernel) -> Self {
                Op::$name(op)
            }
        })*
    };
}

ops! {
    Trap(Trap),
    Drawn(Drawn),
    Matmul(kernels::matmul::Matmul),
    ColumnSum(kernels::reduce::ColumnSum),
    Unary(kernels::unary::Unary),
    UnaryBackward(kernels::unary::UnaryBackward),
    Binary(kernels::binary::Binary),
    RowSum(kernels::reduce::RowSum),
    SumAll(kernels::reduce::SumAll),
    Fill(kernels::fill::Fill),
    Softmax(kernels::softmax::Softmax),
    SoftmaxBackward(kernels::softmax::SoftmaxBackward),
    LayerNorm(kernels::layer_norm::LayerNorm),
    LayerNormBackward(kernels::layer_norm::LayerNormBackward),
    LayerNormBackwardParams(kernels::layer_norm::LayerNormBackwardParams),
    Embedding(kernels::embedding::Embedding),
    EmbeddingBackward(kernels::embedding::EmbeddingBackward),
    AddPosition(kernels::position::AddPosition),
    AddPositionBackward(kernels::position::AddPositionBackward),
    Dropout(kernels::dropout::Dropout),
    Attention(kernels::attention::Attention),
    AttentionBackward(kernels::attention::AttentionBackward),
    AttentionBackwardQ(kernels::attention::AttentionBackwardQ),
    AttentionBackwardKv(kernels::attention::AttentionBackwardKv),
    CrossEntropy(kernels::cross_entropy::CrossEntropy),
    CrossEntropyBackward(kernels::cross_entropy::CrossEntropyBackward),
    LinearCrossEntropy(kernels::linear_cross_entropy::LinearCrossEntropy),
    LinearCrossEntropyBackwardX(kernels::linear_cross_entropy::LinearCrossEntropyBackwardX),
    LinearCrossEntropyBackwardW(kernels::linear_cross_entropy::LinearCrossEntropyBackwardW),
    HeadLogits(kernels::linear_cross_entropy::one_pass::HeadLogits),
    HeadLoss(kernels::linear_cross_entropy::one_pass::HeadLoss),
    HeadBackwardW(kernels::linear_cross_entropy::one_pass::HeadBackwardW),
    HeadBackwardX(kernels::linear_cross_entropy::one_pass::HeadBackwardX),
    CountLabels(kernels::reduce::CountLabels),
    SquaredNorm(kernels::norm::SquaredNorm),
    ClipFinish(kernels::norm::ClipFinish),
    AdamW(kernels::adamw::AdamW),
    Sgd(kernels::sgd::Sgd),
    Sample(kernels::sample::Sample),
    BeamScores(kernels::sample::beam::BeamScores),
    PermuteRows(kernels::sample::beam::PermuteRows),
    CopyRows(kernels::copy_rows::CopyRows),
    Transpose(kernels::transpose::Transpose),
    Rotary(kernels::rotary::Rotary),
    Swiglu(kernels::swiglu::Swiglu),
    SwigluBackward(kernels::swiglu::SwigluBackward),
    AddInteger(kernels::integer::AddInteger),
}

/// The instruction that ends a thread. It has no tiles: the executor looks at its stage's trap instead.
pub struct Trap;

impl TileOp for Trap {
    fn tiles(&self) -> usize {
        0
    }

    fn scratch_len(&self) -> usize {
        0
    }

    unsafe fn run_tile(&self, _tile: usize, _scratch: *mut f32) -> Result<(), Fault> {
        Ok(())
    }
}

/// Decodes one instruction. `BAD_PROGRAM` if its operands do not hold what it would touch.
pub fn decode(args: &Args<'_>) -> Result<Op, EngineError> {
    match args.opcode() {
        1 => matmul::matmul(args),
        2 => elementwise::column_sum(args),
        3 => elementwise::unary(args),
        4 => elementwise::unary_backward(args),
        5 => elementwise::binary(args),
        6 => elementwise::row_sum(args),
        7 => elementwise::sum_all(args),
        8 => elementwise::fill(args),
        9 => rows::softmax(args),
        10 => rows::softmax_backward(args),
        11 => norm::layer_norm(args),
        12 => norm::layer_norm_backward(args),
        13 => norm::layer_norm_backward_params(args),
        14 => layout::embedding(args),
        15 => layout::embedding_backward(args),
        16 => layout::add_position(args),
        17 => layout::add_position_backward(args),
        18 => layout::dropout(args),
        19 => attention::attention(args),
        20 => attention::attention_backward_q(args),
        21 => attention::attention_backward_kv(args),
        22 => rows::cross_entropy(args),
        23 => rows::cross_entropy_backward(args),
        24 => head::linear_cross_entropy(args),
        25 => head::backward_x(args),
        26 => head::backward_w(args),
        27 => elementwise::count_labels(args),
        28 => update::squared_norm(args),
        29 => update::clip_finish(args),
        30 => update::adamw(args),
        31 => update::sgd(args),
        32 => layout::copy_rows(args),
        33 => generation::sample(args),
        34 => layout::transpose(args),
        35 => Ok(Trap.into()),
        36 => head::head_logits(args),
        37 => head::head_loss(args),
        38 => head::head_backward_w(args),
        39 => head::head_backward_x(args),
        40 => attention::attention_backward(args),
        41 => llama::rms_norm(args),
        42 => llama::rms_norm_backward(args),
        43 => llama::rms_norm_backward_params(args),
        44 => llama::rotary(args),
        45 => llama::swiglu(args),
        46 => llama::swiglu_backward(args),
        47 => llama::add_integer(args),
        49 => generation::beam_scores(args),
        50 => generation::permute_rows(args),
        64 => matmul::matmul_q8(args),
        opcode => Err(args.error(format!("the opcode must be known, got {opcode}"))),
    }
}

impl Op {
    /// Floating-point operations of the whole instruction, for profiles: 2 per multiply-add of the large products, and 0 for
    /// what is limited by memory.
    pub fn flops(&self) -> f64 {
        match self {
            Op::Matmul(op) => 2.0 * product(&[op.batch, op.m, op.n, op.k]),
            // The logits, which backward computes again, and its own product.
            Op::LinearCrossEntropy(op) => 2.0 * product(&[op.rows, op.vocab, op.cols]),
            Op::LinearCrossEntropyBackwardX(op) => 4.0 * product(&[op.rows, op.vocab, op.cols]),
            Op::LinearCrossEntropyBackwardW(op) => 4.0 * product(&[op.rows, op.vocab, op.cols]),
            // As if no row were ignored.
            Op::HeadLogits(op) => head_flops(&op.dims),
            Op::HeadBackwardW(op) if !op.dw.is_null() => head_flops(&op.dims),
            Op::HeadBackwardX(op) => head_flops(&op.dims),
            // Scores and their use, 2 products of tq x tk x width; backward recomputes the scores and makes 4 more, or,
            // in two instructions, recomputes them twice and makes 2 more (dq) and 3 more.
            Op::Attention(op) => 2.0 * attention_product(&op.dims),
            Op::AttentionBackward(op) => 5.0 * attention_product(&op.inputs.dims),
            Op::AttentionBackwardQ(op) => 3.0 * attention_product(&op.inputs.dims),
            Op::AttentionBackwardKv(op) => 4.0 * attention_product(&op.inputs.dims),
            _ => 0.0,
        }
    }
}

/// One product of a block of the one-pass head.
fn head_flops(dims: &kernels::linear_cross_entropy::one_pass::HeadBlock) -> f64 {
    let rows = dims.rows.saturating_sub(dims.first).min(dims.most);
    2.0 * product(&[rows, dims.vocab, dims.cols])
}

/// One product of all queries with all keys they see, in floating-point operations.
fn attention_product(dims: &kernels::attention::AttentionDims) -> f64 {
    let all = 2.0 * product(&[dims.batch, dims.heads, dims.head_dim, dims.tq, dims.tk]);
    if !dims.causal || dims.tk == 0 {
        return all;
    }
    // The last query sees all tk keys, each one before it one less.
    let fewest = (dims.tk + 1).saturating_sub(dims.tq).max(1);
    all * (fewest + dims.tk) as f64 / (2 * dims.tk) as f64
}

fn product(sides: &[usize]) -> f64 {
    sides.iter().map(|&side| side as f64).product()
}
