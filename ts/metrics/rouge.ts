// ROUGE-N, ROUGE-L and ROUGE-Lsum (Lin, 2004, https://aclanthology.org/W04-1013), with the numbers of Google's rouge-score without its stemmer, tested against them. Its tokens are
// runs of a-z and 0-9, so texts in other scripts have none and score 0: use chrF for them.
import { mean, pairsOf, type References } from './pairs';
import { common, countItems, countRuns, size } from './words';

/** The kinds of ROUGE. */
export const ROUGE_TYPES = ['rouge1', 'rouge2', 'rougeL', 'rougeLsum'] as const;
export type RougeType = (typeof ROUGE_TYPES)[number];

/** Each from 0 to 1. */
export interface RougeScore {
  precision: number;
  recall: number;
  fmeasure: number;
}

/** What `rouge` gives. */
export type RougeScores = Record<RougeType, RougeScore>;

/** Lower-cased runs of letters a-z and digits. */
export function rougeTokens(text: string): string[] {
  return text.toLowerCase().match(/[a-z0-9]+/g) ?? [];
}

const NOTHING: RougeScore = { precision: 0, recall: 0, fmeasure: 0 };

function score(hits: number, predicted: number, right: number): RougeScore {
  const precision = hits / Math.max(1, predicted);
  const recall = hits / Math.max(1, right);
  return { precision, recall, fmeasure: precision + recall > 0 ? (2 * precision * recall) / (precision + recall) : 0 };
}

function rougeN(prediction: readonly string[], reference: readonly string[], n: number): RougeScore {
  const [ours, theirs] = [countRuns(prediction, n, ' '), countRuns(reference, n, ' ')];
  return score(common(ours, theirs), size(ours), size(theirs));
}

/** Lengths of the longest common subsequences of all beginnings: [rows + 1, columns + 1]. */
function lcsTable(a: readonly string[], b: readonly string[]): Int32Array[] {
  const table = [new Int32Array(b.length + 1)];
  for (let i = 1; i <= a.length; i++) {
    const [above, row] = [table[i - 1], new Int32Array(b.length + 1)];
    for (let j = 1; j <= b.length; j++) row[j] = a[i - 1] === b[j - 1] ? above[j - 1] + 1 : Math.max(above[j], row[j - 1]);
    table.push(row);
  }
  return table;
}

/** Adds the places in `a` of one longest common subsequence with `b`; of several it is the one that rouge-score finds. */
function addCommonPlaces(a: readonly string[], b: readonly string[], places: Set<number>): void {
  const table = lcsTable(a, b);
  let [i, j] = [a.length, b.length];
  while (i > 0 && j > 0) {
    if (a[i - 1] === b[j - 1]) {
      places.add(i - 1);
      i--;
      j--;
    } else if (table[i][j - 1] > table[i - 1][j]) j--;
    else i--;
  }
}

function rougeL(prediction: readonly string[], reference: readonly string[]): RougeScore {
  if (prediction.length === 0 || reference.length === 0) return NOTHING;
  return score(lcsTable(reference, prediction)[reference.length][prediction.length], prediction.length, reference.length);
}

/** The sentences of a summary, one per line, as tokens. */
const sentences = (text: string): string[][] =>
  text
    .split('\n')
    .filter((line) => line !== '')
    .map(rougeTokens);

/** Union of each reference sentence's common subsequences with all predicted ones; no token counts more often than both sides have it. */
function rougeLsum(prediction: string, reference: string): RougeScore {
  const [ours, theirs] = [sentences(prediction), sentences(reference)];
  const [left, right] = [countItems(ours.flat()), countItems(theirs.flat())];
  const [predicted, wanted] = [size(left), size(right)];
  if (predicted === 0 || wanted === 0) return NOTHING;
  let hits = 0;
  for (const sentence of theirs) {
    const places = new Set<number>();
    for (const other of ours) addCommonPlaces(sentence, other, places);
    for (const place of [...places].sort((a, b) => a - b)) {
      const token = sentence[place];
      const [a, b] = [left.get(token) ?? 0, right.get(token) ?? 0];
      if (a === 0 || b === 0) continue;
      hits++;
      left.set(token, a - 1);
      right.set(token, b - 1);
    }
  }
  return score(hits, predicted, wanted);
}

/** ROUGE of one text against one reference. */
export function rougeOf(prediction: string, reference: string): RougeScores {
  const [ours, theirs] = [rougeTokens(prediction), rougeTokens(reference)];
  return {
    rouge1: rougeN(ours, theirs, 1),
    rouge2: rougeN(ours, theirs, 2),
    rougeL: rougeL(ours, theirs),
    rougeLsum: rougeLsum(prediction, reference),
  };
}

/**
 * Mean ROUGE over texts; of several references the one with the highest F counts, for each kind.
 * @param references one right text for each prediction, or a list of them
 * @throws EMPTY_DATA, INVALID_OPTION
 */
export function rouge(predictions: readonly string[], references: References): RougeScores {
  const best = pairsOf('rouge', predictions, references).map(({ prediction, references: right }) => {
    const all = right.map((reference) => rougeOf(prediction, reference));
    const highest = (type: RougeType) => all.map((one) => one[type]).reduce((a, b) => (b.fmeasure > a.fmeasure ? b : a));
    return Object.fromEntries(ROUGE_TYPES.map((type) => [type, highest(type)])) as RougeScores;
  });
  const average = (type: RougeType): RougeScore => ({
    precision: mean(best.map((one) => one[type].precision)),
    recall: mean(best.map((one) => one[type].recall)),
    fmeasure: mean(best.map((one) => one[type].fmeasure)),
  });
  return Object.fromEntries(ROUGE_TYPES.map((type) => [type, average(type)])) as RougeScores;
}
