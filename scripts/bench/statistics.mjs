// Numbers of a comparison: medians, ratios by round, how far two sides' losses are apart. Pure functions.

/** The middle value; of an even number the mean of the two. */
export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}

/** Reference time over own time in each round, from the medians of the round. */
export const roundRatios = (own, reference) => own.map((ms, round) => median(reference[round]) / median(ms));

/** The reference's fastest step over our fastest. */
export const bestRatio = (own, reference) => Math.min(...reference.flat()) / Math.min(...own.flat());

/** Largest difference at the same step, over all starts of a side, against the first start of the reference. */
export function worstDifference(own, [reference]) {
  let worst = 0;
  for (const losses of own) {
    losses.forEach((loss, step) => {
      if (step < reference.length) worst = Math.max(worst, Math.abs(loss - reference[step]));
    });
  }
  return worst;
}
