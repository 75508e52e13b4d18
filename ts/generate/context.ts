// Which tokens the model sees when it writes the next one: the full-context rule, a pure function that the cached and the uncached path share.
// It knows no model and no cache.

/** The part of a sequence that is in the context: tokens [start, start + length). */
export interface Context {
  start: number;
  length: number;
}

/**
 * The context for predicting the token after `total` tokens, given the context before. While everything since `start` fits in `blockSize`
 * tokens it grows; when it is full, only the last ⌊blockSize/2⌋ tokens stay (at least one) and are read again from position 0.
 *
 * @param start - first token of the context so far (0 at the beginning)
 * @param total - tokens there are, prompt and new ones, at least 1
 * @param blockSize - tokens the model can see
 */
export function nextContext(start: number, total: number, blockSize: number): Context {
  const length = total - start;
  if (length <= blockSize) return { start, length };
  const kept = Math.max(1, Math.floor(blockSize / 2));
  return { start: total - kept, length: kept };
}
