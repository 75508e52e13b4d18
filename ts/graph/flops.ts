// Floating-point operations of one instruction at given sizes: two per multiply-add, one per element of simple elementwise work. An estimate for people and plans.
import type { OpcodeName } from './opcodes';

type Sizes = Readonly<Record<string, number>>;

/** Pairs (query, key) an attention computes per head: all, or those at or before the last visible key, bottom right aligned. */
function visiblePairs({ tq, tk }: Sizes, causal: boolean): number {
  if (!causal) return tq * tk;
  const rows = Math.min(tq, tk);
  return rows * tk - (rows * (rows - 1)) / 2;
}

function attentionFlops(dims: Sizes, params: Sizes, perPair: number): number {
  return perPair * params.head_dim * params.heads * dims.batch * visiblePairs(dims, params.causal === 1);
}

/** Rows of one block of the one-pass head, if none is ignored. */
function headRows({ rows, most }: Sizes, { first }: Sizes): number {
  return Math.max(0, Math.min(most, rows - first));
}

const COUNTS: Readonly<Record<OpcodeName, (dims: Sizes, params: Sizes) => number>> = {
  matmul: ({ batch, m, n, k }) => 2 * batch * m * n * k,
  matmul_q8: ({ m, n, k }) => 2 * m * n * k,
  column_sum: ({ rows, cols }) => rows * cols,
  unary: ({ n }) => n,
  unary_backward: ({ n }) => 2 * n,
  binary: ({ outer, inner }) => outer * inner,
  row_sum: ({ rows, cols }) => rows * cols,
  sum_all: ({ n }) => n,
  fill: () => 0,
  softmax: ({ rows, cols }) => 4 * rows * cols,
  softmax_backward: ({ rows, cols }) => 4 * rows * cols,
  layer_norm: ({ rows, cols }) => 8 * rows * cols,
  layer_norm_backward: ({ rows, cols }) => 11 * rows * cols,
  layer_norm_backward_params: ({ rows, cols }) => 5 * rows * cols,
  embedding: () => 0,
  embedding_backward: ({ rows, cols }) => rows * cols,
  add_position: ({ batch, time, cols }) => batch * time * cols,
  add_position_backward: ({ batch, time, cols }) => batch * time * cols,
  dropout: ({ n }) => n,
  attention: (dims, params) => attentionFlops(dims, params, 4),
  attention_backward: (dims, params) => attentionFlops(dims, params, 10),
  attention_backward_q: (dims, params) => attentionFlops(dims, params, 6),
  attention_backward_kv: (dims, params) => attentionFlops(dims, params, 8),
  cross_entropy: ({ rows, vocab }) => 4 * rows * vocab,
  cross_entropy_backward: ({ rows, vocab }) => 4 * rows * vocab,
  linear_cross_entropy: ({ rows, vocab, cols }) => rows * vocab * (2 * cols + 4),
  linear_cross_entropy_backward_x: ({ rows, vocab, cols }) => rows * vocab * (4 * cols + 4),
  linear_cross_entropy_backward_w: ({ rows, vocab, cols }) => rows * vocab * (4 * cols + 4),
  count_labels: ({ n }) => n,
  squared_norm: ({ n }) => 2 * n,
  clip_finish: ({ n_partials }) => n_partials,
  adamw: ({ n }) => 14 * n,
  sgd: ({ n }) => 6 * n,
  copy_rows: () => 0,
  sample: ({ rows, vocab }) => 4 * rows * vocab,
  beam_scores: ({ rows, vocab }) => 4 * rows * vocab,
  permute_rows: () => 0,
  transpose: () => 0,
  trap: () => 0,
  head_logits: (dims, params) => headRows(dims, params) * dims.vocab * (2 * dims.cols + 2),
  head_loss: (dims, params) => headRows(dims, params),
  head_backward_w: (dims, params) => headRows(dims, params) * dims.vocab * (2 * dims.cols + 2),
  rms_norm: ({ rows, cols }) => 4 * rows * cols,
  rms_norm_backward: ({ rows, cols }) => 7 * rows * cols,
  rms_norm_backward_params: ({ rows, cols }) => 3 * rows * cols,
  rotary: ({ batch, time }, { heads, head_dim }) => 3 * batch * time * heads * head_dim,
  swiglu: ({ rows, cols }) => 5 * rows * cols,
  swiglu_backward: ({ rows, cols }) => 10 * rows * cols,
  add_integer: ({ n }) => n,
  head_backward_x: (dims, params) => headRows(dims, params) * dims.vocab * 2 * dims.cols,
};

/** Floating-point operations of an instruction; `dims` and integer `params` by the names of the opcode table. */
export function instructionFlops(opcode: OpcodeName, dims: Sizes, params: Sizes): number {
  return COUNTS[opcode](dims, params);
}
