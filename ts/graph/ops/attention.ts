// Scaled dot-product attention, softmax(q·kᵀ·scale)·v per head, fused: scores are never held. Forward and backward, causal or not, key mask, cross lengths.
import { dimEquals, shapeEquals } from '../dims';
import { apply, asTensor, checkDtype, checkOption, checkRule, staticLast } from '../op';
import { checkDropout } from '../path';
import type { Operand, Tensor } from '../tensor';
import { attentionOp } from './attentionCore';

/** Options of both forms. */
export interface AttentionOptions {
  /** Number of heads; it divides the width C. */
  nHead: number;
  /** Whether a query sees only keys up to its own position; with Tq ≠ Tk the last query sees the last key. */
  causal: boolean;
  /** i32 [B, Tk]: 1 keep, 0 drop. A row whose keys are all dropped gives zeros. */
  keyMask?: Operand;
  /** Default 1 ÷ √(C ÷ nHead). */
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

function build(op: string, tensors: readonly Tensor[], width: number, options: AttentionOptions): Tensor {
  const { nHead, causal, keyMask, dropout = 0, path } = options;
  const packed = tensors.length === 1;
  const headDim = checkHeads(op, width, nHead);
  checkOption(typeof causal === 'boolean', op, 'causal must be true or false', causal);
  const scale = options.scale ?? 1 / Math.sqrt(headDim);
  checkOption(Number.isFinite(scale), op, 'scale must be a finite number', scale);
  checkDropout(op, dropout, path);
  const [batch, tq] = tensors[0].shape;
  const tk = packed ? tq : tensors[1].shape[1];
  const mask = keyMask === undefined ? undefined : asTensor(op, 'keyMask', keyMask);
  if (mask !== undefined) {
    checkDtype(op, 'keyMask', mask, 'i32');
    checkRule(shapeEquals(mask.shape, [batch, tk]), op, 'keyMask must be [B, Tk]', mask, [batch, tk]);
  }
  const attrs = { packed, hasMask: mask !== undefined, nHead, headDim, causal, scale, p: dropout, path: path ?? '', batch, tq, tk };
  return apply(attentionOp, mask === undefined ? tensors : [...tensors, mask], attrs)[0];
}

/**
 * Attention of queries over keys and values. q: f32 [B, Tq, C]; k, v: f32 [B, Tk, C] → [B, Tq, C].
 * @throws INVALID_SHAPE, INVALID_DTYPE, INVALID_OPTION (nHead, scale, dropout).
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
  checkRule(
    dimEquals(query.shape[0], key.shape[0]) && dimEquals(query.shape[2], key.shape[2]),
    op,
    'q and k must agree in batch and width',
    query,
    key,
  );
  return build(op, tensors, width, options);
}

/**
 * Self-attention of packed projections. qkv: f32 [B, T, 3C], each row q, k and v side by side → [B, T, C].
 * @throws INVALID_SHAPE, INVALID_DTYPE, INVALID_OPTION (nHead, scale, dropout).
 */
export function attentionQkv(qkv: Operand, options: AttentionOptions): Tensor {
  const op = 'attentionQkv';
  const tensor = asTensor(op, 'qkv', qkv);
  checkDtype(op, 'qkv', tensor, 'f32');
  checkRule(tensor.rank === 3, op, 'qkv must be [B, T, 3C]', tensor);
  const row = staticLast(op, 'qkv', tensor);
  checkRule(row % 3 === 0, op, 'the last size of qkv must be divisible by 3', tensor);
  return build(op, [tensor], row / 3, options);
}
