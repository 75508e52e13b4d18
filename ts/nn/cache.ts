// The cache of keys and values as layers see it, and where new rows go in it. Who fills it and when is ts/generate's business.

import { addInteger, type Extent, type Tensor, type Variable } from '../graph';

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
