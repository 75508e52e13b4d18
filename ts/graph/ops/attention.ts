// Scaled dot-product attention, softmax(q·kᵀ·scale)·v per head, fused: scores are never held. Forward and backward, causal or not, masks, packed documents, cross lengths.
import { type Dim, dimEquals, dimMul, shapeEquals } from '../dims';
import { apply, asTensor, checkDtype, checkOption, checkRule, staticLast } from '../op';
import { checkDropout } from '../path';
import type { Operand, Tensor } from '../tensor';
import { attentionOp } from './attentionCore';

/** Options of both forms. */
export interface AttentionOptions {
  /** Number of heads (H). */
  nHead: number;
  /** Number of heads of keys and values (Hkv), a divisor of nHead: query head h reads head ⌊h·Hkv÷H⌋. Default nHead. */
  nKvHead?: number;
  /** Whether a query sees only keys up to its own position; with Tq ≠ Tk the last query sees the last key. */
  causal: boolean;
  /** i32 [B, Tk]: 1 keep, 0 drop. A query that sees no key gives zeros and no gradients. */
  keyMask?: Operand;
  /**
   * f32 [Tq, Tk] or [G, Tq, Tk] with G 1, B or B·H (all heads of the first sequence first, as in torch): added to the scaled scores. −Infinity
   * leaves a key out, finite numbers are biases. No gradient reaches it. Keys and values that it leaves out for some queries and not for
   * others have to be finite.
   */
  mask?: Operand;
  /**
   * i32 [B, Tq]: the first key each query may see, so that documents packed into one row do not see each other; with `causal` query t sees the
   * keys starts[b, t] to t. Below 0 is 0; beyond the last key the query sees none. A document gets the bits it gets alone in a row (with
   * dropout: whatever its neighbours hold), and what lies before it costs no time.
   */
  starts?: Operand;
  /** Default 1 ÷ √D, D the width of a head. */
  scale?: number;
  /** Probability of dropping an attention weight; default 0. */
  dropout?: number;
  /** The module path that keys dropout's random bits; needed when dropout > 0. */
  path?: string;
}

/** nHead checked against the width, and the width of one head. */
export function checkHeads(op: string, width: number, nHead: number): number {
  checkOption(Number.isInteger(nHead) && nHead >= 1, op, 'nHead must be a positive integer', nHead);
  checkOption(width % nHead === 0, op, 'the width (nEmbd) must be divisible by nHead', `${width} and ${nHead}`);
  return width / nHead;
}

/** nKvHead checked against nHead. */
function checkKvHeads(op: string, nHead: number, nKvHead: number): void {
  checkOption(Number.isInteger(nKvHead) && nKvHead >= 1, op, 'nKvHead must be a positive integer', nKvHead);
  checkOption(nHead % nKvHead === 0, op, 'nHead must be divisible by nKvHead', `${nHead} and ${nKvHead}`);
}

/** The width of one head of packed rows [.., (H + 2·Hkv)·D]. @throws INVALID_SHAPE, INVALID_OPTION. */
export function packedHeadDim(op: string, qkv: Tensor, nHead: number, nKvHead: number): number {
  const row = staticLast(op, 'qkv', qkv);
  if (nKvHead === nHead) {
    checkRule(row % 3 === 0, op, 'the last size of qkv must be divisible by 3', qkv);
    return checkHeads(op, row / 3, nHead);
  }
  checkOption(Number.isInteger(nHead) && nHead >= 1, op, 'nHead must be a positive integer', nHead);
  checkKvHeads(op, nHead, nKvHead);
  const heads = nHead + 2 * nKvHead;
  checkRule(row % heads === 0, op, `the last size of qkv must be divisible by nHead + 2·nKvHead = ${heads}`, qkv);
  return row / heads;
}

function build(op: string, tensors: readonly Tensor[], headDim: number, options: AttentionOptions): Tensor {
  const { nHead, nKvHead = nHead, causal, dropout = 0, path } = options;
  const packed = tensors.length === 1;
  checkOption(typeof causal === 'boolean', op, 'causal must be true or false', causal);
  const scale = options.scale ?? 1 / Math.sqrt(headDim);
  checkOption(Number.isFinite(scale), op, 'scale must be a finite number', scale);
  checkDropout(op, dropout, path);
  const [batch, tq] = tensors[0].shape;
  const tk = packed ? tq : tensors[1].shape[1];
  const words = (name: 'keyMask' | 'starts', axes: string, shape: readonly Dim[]): Tensor | undefined => {
    const given = options[name];
    if (given === undefined) return undefined;
    const tensor = asTensor(op, name, given);
    checkDtype(op, name, tensor, 'i32');
    checkRule(shapeEquals(tensor.shape, shape), op, `${name} must be ${axes}`, tensor, shape);
    return tensor;
  };
  const keyMask = words('keyMask', '[B, Tk]', [batch, tk]);
  const mask = options.mask === undefined ? undefined : checkMask(op, asTensor(op, 'mask', options.mask), [batch, tq, tk], nHead);
  const starts = words('starts', '[B, Tq]', [batch, tq]);
  const attrs = {
    packed,
    hasKeyMask: keyMask !== undefined,
    ...(mask === undefined ? {} : { masks: mask.rank === 2 ? 1 : mask.shape[0] }),
    hasStarts: starts !== undefined,
    nHead,
    nKvHead,
    headDim,
    causal,
    scale,
    p: dropout,
    path: path ?? '',
    batch,
    tq,
    tk,
  };
  const limits = [keyMask, mask, starts].filter((tensor) => tensor !== undefined);
  return apply(attentionOp, [...tensors, ...limits], attrs)[0];
}

/** A mask of pairs whose shape fits. */
function checkMask(op: string, mask: Tensor, [batch, tq, tk]: readonly Dim[], nHead: number): Tensor {
  checkDtype(op, 'mask', mask, 'f32');
  const firsts = mask.rank === 2 ? [[]] : [[1], [batch], [dimMul(batch, nHead)]];
  checkRule(
    firsts.some((first) => shapeEquals(mask.shape, [...first, tq, tk])),
    op,
    'mask must be [Tq, Tk] or [G, Tq, Tk] with G 1, B or B·nHead',
    mask,
    [batch, tq, tk],
  );
  return mask;
}

/**
 * Attention of queries over keys and values. q: f32 [B, Tq, H·D]; k, v: f32 [B, Tk, Hkv·D] → [B, Tq, H·D].
 * @throws INVALID_SHAPE, INVALID_DTYPE, INVALID_OPTION (nHead, nKvHead, scale, dropout).
 */
export function attention(q: Operand, k: Operand, v: Operand, options: AttentionOptions): Tensor {
  const op = 'attention';
  const tensors = [asTensor(op, 'q', q), asTensor(op, 'k', k), asTensor(op, 'v', v)];
  const [query, key, value] = tensors;
  for (const [name, tensor] of Object.entries({ q: query, k: key, v: value })) {
    checkDtype(op, name, tensor, 'f32');
    checkRule(tensor.rank === 3, op, `${name} must be [B, T, C]`, tensor);
  }
  const width = staticLast(op, 'q', query);
  checkRule(shapeEquals(key.shape, value.shape), op, 'k and v must have the same shape', key, value);
  const { nHead, nKvHead = nHead } = options;
  const headDim = checkHeads(op, width, nHead);
  checkKvHeads(op, nHead, nKvHead);
  checkRule(
    dimEquals(query.shape[0], key.shape[0]) && dimEquals(nKvHead * headDim, key.shape[2]),
    op,
    'q and k must agree in batch and width',
    query,
    key,
  );
  return build(op, tensors, headDim, options);
}

/**
 * Self-attention of packed projections. qkv: f32 [B, T, (H + 2·Hkv)·D], each row q, k and v side by side → [B, T, H·D].
 * @throws INVALID_SHAPE, INVALID_DTYPE, INVALID_OPTION (nHead, nKvHead, scale, dropout).
 */
export function attentionQkv(qkv: Operand, options: AttentionOptions): Tensor {
  const op = 'attentionQkv';
  const tensor = asTensor(op, 'qkv', qkv);
  checkDtype(op, 'qkv', tensor, 'f32');
  checkRule(tensor.rank === 3, op, 'qkv must be [B, T, 3C]', tensor);
  return build(op, [tensor], packedHeadDim(op, tensor, options.nHead, options.nKvHead ?? options.nHead), options);
}
