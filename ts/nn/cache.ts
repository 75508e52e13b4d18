// The cache of keys and values as layers see it, where new rows go in it, and attention to it. Who fills it and when is ts/generate's business.

import { addInteger, attentionCached, type Extent, type QkvPart, type Tensor, type Variable, writeRows } from '../graph';

/** Keys and values of earlier positions, kept between runs. */
export interface KeyValueCache {
  /** f32 [B, P, width of all key heads] */
  readonly keys: Variable;
  /** as keys */
  readonly values: Variable;
}

/** Where new rows go in a cache, and how much of it is used with them. */
export type CachePlace = PlaceInStep | PlacePerRow;

/** T new rows of one sequence, or of several in step. */
export interface PlaceInStep {
  /** Rows already in the cache: the new rows go behind them. */
  readonly position: Extent;
  /** position + T; at most P. */
  readonly keysUsed: Extent;
}

/** One new row for each sequence of a batch, each at a position of its own. */
export interface PlacePerRow {
  /** i32 [B]: rows that each sequence has in the cache; its new one goes behind them. */
  readonly positions: Tensor;
  /** The largest of them + 1; at most P. */
  readonly keysUsed: Extent;
  /** i32 [B]: positions + 1. Models make it once for all their layers (`withKeyCounts`). */
  readonly keyCounts?: Tensor;
}

/** The place with the counts of keys, so that the layers share them. */
export function withKeyCounts(place: CachePlace): CachePlace {
  return 'position' in place ? place : { ...place, keyCounts: keyCountsOf(place) };
}

/** Where the new rows go: the same for all sequences, or i32 [B]. */
export function positionOf(place: CachePlace): Extent | Tensor {
  return 'position' in place ? place.position : place.positions;
}

/** i32 [B]: the keys that each sequence sees; undefined where all see `keysUsed`. */
export function keyCountsOf(place: CachePlace): Tensor | undefined {
  if ('position' in place) return undefined;
  return place.keyCounts ?? addInteger(place.positions, 1);
}

/**
 * Attention of new positions to all earlier ones, causal: their keys and values are written behind the cached rows.
 * @param q f32 [B, T, H·D], or the packed rows that k and v are parts of
 * @param k f32 [B, T, Hkv·D] @param v as k
 * @returns f32 [B, T, H·D]
 */
export function attendCached(
  q: Tensor,
  k: Tensor | QkvPart,
  v: Tensor | QkvPart,
  cache: KeyValueCache,
  place: CachePlace,
  heads: { nHead: number; nKvHead?: number },
): Tensor {
  const position = positionOf(place);
  const keys = writeRows(cache.keys, k, position);
  const values = writeRows(cache.values, v, position);
  return attentionCached(q, keys, values, { ...heads, keysUsed: place.keysUsed, keyCounts: keyCountsOf(place) });
}
