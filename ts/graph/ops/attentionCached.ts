// Attention of new positions over a cache of keys and values (generation; forward only).
import { dimEquals, type Extent, shapeEquals } from '../dims';
import { apply, asSequenceNumbers, asTensor, checkDtype, checkRule, type OpDefinition } from '../op';
import type { Operand, Tensor } from '../tensor';
import { packedHeadDim } from './attention';
import { type AttentionAttrs, attentionOp } from './attentionCore';

/** The same instruction as `attention`, without a gradient rule: what is read from a cache was made by earlier runs. */
const attentionCachedOp: OpDefinition<AttentionAttrs> = { name: 'attention_cached', infer: attentionOp.infer, lower: attentionOp.lower };

/** Options of attention over a cache. */
export interface CachedAttentionOptions {
  /** Number of heads (H). */
  nHead: number;
  /** Number of heads of keys and values (Hkv), a divisor of nHead. Default nHead. */
  nKvHead?: number;
  /** How many rows of the caches hold something: of the longest sequence, where they differ. */
  keysUsed: Extent;
  /** i32 [B], each from 1 to keysUsed: sequence b sees only its first keyCounts[b] rows, and gets the bits it gets alone. */
  keyCounts?: Operand;
  /** True (default): the last query sees the last key, each earlier query one key less. False: all queries see all keys (of another sequence). */
  causal?: boolean;
  /** Default 1 ÷ √D, D the width of a head. */
  scale?: number;
}

/** The width of a head where the rows are queries without keys and values beside them; undefined where they are not. */
function queriesAlone(q: Tensor, keys: Tensor, nHead: number, nKvHead: number): number | undefined {
  const [row, width] = [q.shape[2], keys.shape[2]];
  const valid = typeof width === 'number' && Number.isInteger(nKvHead) && nKvHead >= 1 && nHead % nKvHead === 0 && width % nKvHead === 0;
  return valid && row === nHead * (width / nKvHead) ? width / nKvHead : undefined;
}

/**
 * Attention of the queries in qkv over the first `keysUsed` rows of the caches; where it is causal the last query sees the last of them.
 * qkv: f32 [B, T, (H + 2·Hkv)·D] (its keys and values must already be in the caches: see writeRows), or the queries alone [B, T, H·D];
 * keys, values: f32 [B, P, Hkv·D]
 * → [B, T, H·D].
 * @throws INVALID_SHAPE, INVALID_DTYPE, INVALID_OPTION. A count out of range ends the run with INVALID_SHAPE. Not differentiable.
 */
export function attentionCached(qkv: Operand, keys: Operand, values: Operand, options: CachedAttentionOptions): Tensor {
  const op = 'attentionCached';
  const tensor = asTensor(op, 'qkv', qkv);
  const key = asTensor(op, 'keys', keys);
  const value = asTensor(op, 'values', values);
  for (const [name, part] of Object.entries({ qkv: tensor, keys: key, values: value })) {
    checkDtype(op, name, part, 'f32');
    checkRule(part.rank === 3, op, `${name} must have three axes`, part);
  }
  const { nHead, nKvHead = nHead } = options;
  const headDim = queriesAlone(tensor, key, nHead, nKvHead) ?? packedHeadDim(op, tensor, nHead, nKvHead);
  checkRule(shapeEquals(key.shape, value.shape), op, 'keys and values must have the same shape', key, value);
  checkRule(
    dimEquals(tensor.shape[0], key.shape[0]) && key.shape[2] === nKvHead * headDim,
    op,
    'keys must be [B, P, Hkv·D] for qkv [B, T, (H + 2·Hkv)·D] or queries [B, T, H·D]',
    key,
    tensor,
  );
  checkRule(
    typeof key.shape[1] === 'number' && options.keysUsed.max <= key.shape[1],
    op,
    'keysUsed must not exceed the rows of the cache',
    options.keysUsed,
    key,
  );
  const counts = options.keyCounts === undefined ? undefined : asSequenceNumbers(op, 'keyCounts', options.keyCounts, tensor.shape[0]);
  const attrs: AttentionAttrs = {
    packed: false,
    hasKeyMask: false,
    hasCounts: counts !== undefined,
    nHead,
    nKvHead,
    headDim,
    causal: options.causal ?? true,
    scale: options.scale ?? 1 / Math.sqrt(headDim),
    p: 0,
    path: '',
    batch: tensor.shape[0],
    tq: tensor.shape[1],
    tk: options.keysUsed,
  };
  return apply(attentionCachedOp, counts === undefined ? [tensor, key, value] : [tensor, key, value, counts], attrs)[0];
}
