// Rows of a table picked by ids.
import { type Dim, dimMul } from '../dims';
import { apply, asTensor, checkDtype, checkRule, checkWeights, type OpDefinition } from '../op';
import type { Operand, Tensor } from '../tensor';

interface EmbeddingAttrs {
  readonly rows: Dim;
  readonly cols: Dim;
  readonly vocab: Dim;
}

const embeddingOp: OpDefinition<EmbeddingAttrs> = {
  name: 'embedding',
  infer: ([, ids], { cols }) => [{ shape: [...ids.shape, cols], dtype: 'f32' }],
  gradient: ({ attrs, inputs: [, ids], upstream: [dy], needed }) =>
    dy === undefined || !needed[0] ? [] : [apply(embeddingBackwardOp, [ids, dy], attrs)[0], undefined],
  lower: (c) => c.emit('embedding', { table: c.view(c.inputs[0]), ids: c.view(c.inputs[1]), out: c.out() }, { ...c.attrs }),
};

const embeddingBackwardOp: OpDefinition<EmbeddingAttrs> = {
  name: 'embedding_backward',
  infer: (_inputs, { vocab, cols }) => [{ shape: [vocab, cols], dtype: 'f32' }],
  lower: (c) => c.emit('embedding_backward', { ids: c.view(c.inputs[0]), dy: c.view(c.inputs[1]), dtable: c.out() }, { ...c.attrs }),
};

/** table[ids]. table: f32, bf16 or q8 [V, C]; ids: i32 [...], each from 0 to V − 1 (checked by the kernel: TOKEN_OUT_OF_RANGE) → [..., C]. */
export function embedding(table: Operand, ids: Operand): Tensor {
  const rowsOf = asTensor('embedding', 'table', table);
  const picked = asTensor('embedding', 'ids', ids);
  checkRule(rowsOf.rank === 2, 'embedding', 'table must be [V, C]', rowsOf);
  checkWeights('embedding', 'table', rowsOf);
  checkDtype('embedding', 'ids', picked, 'i32');
  const [vocab, cols] = rowsOf.shape;
  return apply(embeddingOp, [rowsOf, picked], { rows: dimMul(...picked.shape), cols, vocab })[0];
}
