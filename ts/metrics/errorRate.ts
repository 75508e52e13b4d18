// Word error rate, and with it the error rate of phonemes (words of a pronunciation) and of characters: insertions, deletions and substitutions for each token of the reference.
import { checkNames } from '../options';
import { pairsOf, type References } from './pairs';
import { words } from './words';

/** What `errorRate` gives. */
export interface ErrorRate {
  /** edits / length: 0 is perfect; above 1 where much is inserted. Of references without any token: 0 without edits, else 1. */
  rate: number;
  /** Insertions, deletions and substitutions that turn the predictions into the references. */
  edits: number;
  /** Tokens of the references. */
  length: number;
}

/** The least number of insertions, deletions and substitutions that turn one list into the other (Levenshtein). */
export function editDistance(a: readonly string[], b: readonly string[]): number {
  let row = Int32Array.from({ length: b.length + 1 }, (_, j) => j);
  let next = new Int32Array(b.length + 1);
  for (let i = 1; i <= a.length; i++) {
    next[0] = i;
    for (let j = 1; j <= b.length; j++) {
      const kept = row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1);
      next[j] = Math.min(kept, row[j] + 1, next[j - 1] + 1);
    }
    [row, next] = [next, row];
  }
  return row[b.length];
}

/**
 * The error rate of a corpus: all edits over all tokens of the references. Of several references the one with the lowest rate counts.
 * @param options unit: 'word' (what stands between white space: words, phonemes) or 'character' (code points). Default 'word'
 * @throws EMPTY_DATA, INVALID_OPTION, UNKNOWN_OPTION
 */
export function errorRate(
  predictions: readonly string[],
  references: References,
  options: { unit?: 'word' | 'character' } = {},
): ErrorRate {
  checkNames('errorRate', options, ['unit']);
  const tokens = options.unit === 'character' ? (text: string) => Array.from(text) : words;
  let edits = 0;
  let length = 0;
  for (const { prediction, references: right } of pairsOf('errorRate', predictions, references)) {
    const ours = tokens(prediction);
    const best = right
      .map((reference) => {
        const theirs = tokens(reference);
        return rated(editDistance(ours, theirs), theirs.length);
      })
      .reduce((a, b) => (b.rate < a.rate ? b : a));
    edits += best.edits;
    length += best.length;
  }
  return rated(edits, length);
}

function rated(edits: number, length: number): ErrorRate {
  return { rate: length > 0 ? edits / length : Math.min(1, edits), edits, length };
}
