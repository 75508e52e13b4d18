// Attention's node, gradient and lowering, shared by attention.ts (three tensors or one packed tensor) and attentionCached.ts.
// Checks of users' arguments are in those files.
import { type Dim, dimMax, dimMul, type Shape } from '../dims';
import { apply, type LowerContext, type OpDefinition, type View } from '../op';
import { dropoutParams } from '../path';
import type { Tensor } from '../tensor';

/** Everything but the data. Inputs are q, k, v (or one packed qkv), then those of key mask, mask, starts and key counts that there are. */
export interface AttentionAttrs {
  /** One [B, T, (H + 2·Hkv)·D] tensor holds q, k and v side by side. */
  readonly packed: boolean;
  readonly hasKeyMask: boolean;
  /** The first size of the mask [G, Tq, Tk] if there is one. */
  readonly masks?: Dim;
  readonly hasStarts?: boolean;
  /** The number of keys of each sequence is given: i32 [B]. Forward only. */
  readonly hasCounts?: boolean;
  readonly nHead: number;
  readonly nKvHead: number;
  readonly headDim: number;
  readonly causal: boolean;
  readonly scale: number;
  readonly p: number;
  readonly path: string;
  readonly batch: Dim;
  readonly tq: Dim;
  readonly tk: Dim;
}

const BYTES = 4;

/**
 * Heads of keys and values (of all sequences) from which backward takes a whole head per work item: five products instead of seven. With fewer heads
 * more than this many threads would idle, so the work is cut by queries and keys. Both give the same bits.
 */
const WHOLE_HEADS = 6;

/** Outputs: the attended values [B, Tq, C] and the log-sum-exp of each score row [B, H, Tq]. */
export const attentionOp: OpDefinition<AttentionAttrs> = {
  name: 'attention',
  infer: (_inputs, { batch, tq, nHead, headDim }) => [
    { shape: [batch, tq, nHead * headDim], dtype: 'f32' },
    { shape: [batch, nHead, tq], dtype: 'f32' },
  ],
  gradient: ({ attrs, inputs, outputs: [out, lse], upstream: [dout] }) => {
    if (dout === undefined) return [];
    return apply(attentionBackwardOp, [...inputs, out, lse, dout], attrs);
  },
  lower: (c) => {
    const { operands, dims, params, rest } = lowering(c);
    const key_counts = c.attrs.hasCounts ? c.view(rest[0]) : undefined;
    c.emit('attention', { ...operands, key_counts, out: c.out(0), lse: c.out(1) }, dims, params);
  },
};

/** Inputs: those of the forward node, then out, lse and the upstream gradient. Outputs: dq, dk, dv, or one packed gradient. */
const attentionBackwardOp: OpDefinition<AttentionAttrs> = {
  name: 'attention_backward',
  infer: (inputs, { packed }) => inputs.slice(0, packed ? 1 : 3).map((tensor) => ({ shape: tensor.shape, dtype: 'f32' as const })),
  lower: (c) => {
    const { operands, dims, params, rest } = lowering(c);
    const [out, lse, dout] = rest.map((tensor) => c.view(tensor));
    const { packed, batch, nHead, nKvHead, tq } = c.attrs;
    const [dq, dk, dv] = packed ? slices(c.out(0), c.attrs) : [c.out(0), c.out(1), c.out(2)];
    if (dimMax(batch) * nKvHead >= WHOLE_HEADS) {
      c.emit('attention_backward', { ...operands, out, lse, dout, dq, dk, dv }, dims, params);
      return;
    }
    const delta = c.temporary([batch, nHead, tq]);
    c.emit('attention_backward_q', { ...operands, out, lse, dout, dq, delta }, dims, params);
    c.emit('attention_backward_kv', { ...operands, lse, dout, delta, dk, dv }, dims, params);
  },
};

/** A packed buffer [B, T, (H + 2·Hkv)·D] as q, k and v: the same rows, beginning after each other. */
function slices(view: View, { nHead, nKvHead, headDim }: AttentionAttrs): [View, View, View] {
  const part = (heads: number): View => {
    const skip = heads * headDim * BYTES;
    return { ...view, offset: view.offset + skip, bytes: view.bytes - skip };
  };
  return [part(0), part(nHead), part(nHead + nKvHead)];
}

function lowering(c: LowerContext<AttentionAttrs>): {
  operands: Record<string, View | undefined>;
  dims: Record<string, Dim>;
  params: Record<string, number | string>;
  rest: readonly Tensor[];
} {
  const { packed, hasKeyMask, masks, hasStarts = false, nHead, nKvHead, headDim, causal, scale, p, path, batch, tq, tk } = c.attrs;
  const count = packed ? 1 : 3;
  const views = c.inputs.slice(0, count).map((tensor) => c.view(tensor));
  // In attentionCached q is the first part of packed rows while k and v are caches: strides are those of each tensor.
  const rowOf = (tensor: Tensor): number => tensor.shape[tensor.rank - 1] as number;
  const batchOf = (tensor: Tensor): Dim => dimMul(...(tensor.shape as Shape).slice(1));
  const tensors = packed ? [c.inputs[0], c.inputs[0], c.inputs[0]] : c.inputs.slice(0, 3);
  const [q, k, v] = packed ? slices(views[0], c.attrs) : views;
  let next = count;
  const take = (present: boolean): View | undefined => (present ? c.view(c.inputs[next++]) : undefined);
  const [key_mask, mask, starts] = [hasKeyMask, masks !== undefined, hasStarts].map(take);
  return {
    operands: { q, k, v, key_mask, mask, starts },
    dims: {
      batch,
      tq,
      tk,
      q_row: rowOf(tensors[0]),
      k_row: rowOf(tensors[1]),
      v_row: rowOf(tensors[2]),
      q_batch: batchOf(tensors[0]),
      k_batch: batchOf(tensors[1]),
      v_batch: batchOf(tensors[2]),
      masks: masks ?? 0,
    },
    params: { heads: nHead, kv_heads: nKvHead, head_dim: headDim, causal: Number(causal), scale, ...dropoutParams(p, path) },
    rest: c.inputs.slice(next),
  };
}
