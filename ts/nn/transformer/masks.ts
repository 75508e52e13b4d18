// What an attention may not see, as torch.nn.Transformer says it. Key masks keep this library's sense (1 keep, 0 leave out), the other way round.

import { FerroError, show } from '../../errors';
import { constant, type Dim, embedding, reshape, Tensor } from '../../graph';

/** What each query of one attention sees. All given must allow a key; a query that sees no key gets zeros (NaN in torch). */
export interface AttentionMasks {
  /**
   * [T, S], or [G, T, S] with G 1, B or B·nHead (of each sequence its heads). f32: added to the scaled scores, −Infinity leaves a key out; no gradient
   * goes to it. i32, as torch's boolean masks: 1 leaves a key out, 0 keeps it.
   */
  readonly mask?: Tensor;
  /** i32 [B, S]: 1 keeps a key, 0 leaves it out (padding). The other way round than torch's key_padding_mask, and as everywhere in this library. */
  readonly keyMask?: Tensor;
  /** True: position t sees positions ≤ t; with fewer queries than keys the last query sees the last key. Default false. */
  readonly causal?: boolean;
}

/**
 * An i32 mask as numbers to add: 0 stays 0, 1 becomes −Infinity. Other numbers end the run with TOKEN_OUT_OF_RANGE. An f32 mask is one already. Stacks of
 * layers do this once for all of them.
 */
export function additiveMask(mask: Tensor | undefined): Tensor | undefined {
  if (mask?.dtype !== 'i32') return mask;
  const shape: Dim[] = [...mask.shape];
  return reshape(embedding(constant(Float32Array.of(0, Number.NEGATIVE_INFINITY), [2, 1]), mask), shape);
}

/** The masks as options of the attention ops. */
export function maskOptions({ mask, keyMask, causal = false }: AttentionMasks): { mask?: Tensor; keyMask?: Tensor; causal: boolean } {
  return { causal, ...(mask === undefined ? {} : { mask: additiveMask(mask) }), ...(keyMask === undefined ? {} : { keyMask }) };
}

/**
 * Checks a sequence of vectors.
 * @throws INVALID_SHAPE for another rank or width; INVALID_OPTION for something that is no tensor
 */
export function checkSequence(op: string, name: string, x: Tensor | undefined, width: number, missing: string): asserts x is Tensor {
  if (x === undefined || x === null) throw new FerroError('INVALID_OPTION', `${op}: ${missing}, got none`);
  if (x.shape?.length !== 3 || x.shape[2] !== width) {
    throw new FerroError('INVALID_SHAPE', `${op}: ${name} must be f32 [B, T, ${width}], got ${x instanceof Tensor ? String(x) : show(x)}`);
  }
}
