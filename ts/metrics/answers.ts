// Exact match and token F1 of short answers, as SQuAD's evaluation normalises and counts them (Rajpurkar et al., 2016, https://aclanthology.org/D16-1264; an empty answer as in SQuAD 2).
// Tested against torchmetrics'.
import { mean, pairsOf, type References } from './pairs';
import { common, countItems, words } from './words';

/** Shares from 0 to 1. */
export interface AnswerScores {
  /** Predictions that equal a right answer, both normalised. */
  exactMatch: number;
  /** Mean over the predictions of the harmonic mean of precision and recall of words; of several right answers the best counts. */
  f1: number;
}

const PUNCTUATION = /[!-/:-@[-`{-~]/g;
/** Whole words in Python's sense, where letters and digits of every script are part of a word. */
const ARTICLES = /(?<![\p{L}\p{N}_])(?:a|an|the)(?![\p{L}\p{N}_])/gu;

/** Lower case, without ASCII punctuation and English articles, single spaces. */
export function normalizeAnswer(text: string): string {
  return words(text.toLowerCase().replace(PUNCTUATION, '').replace(ARTICLES, ' ')).join(' ');
}

/** F1 of the words of two normalised texts; where one of them is empty, 1 if both are. */
function tokenF1(prediction: string, reference: string): number {
  const [ours, theirs] = [words(prediction), words(reference)];
  if (ours.length === 0 || theirs.length === 0) return ours.length === theirs.length ? 1 : 0;
  const hits = common(countItems(ours), countItems(theirs));
  return hits === 0 ? 0 : (2 * hits) / (ours.length + theirs.length);
}

/**
 * Exact match and token F1.
 * @param references one right answer for each prediction, or a list of them
 * @throws EMPTY_DATA, INVALID_OPTION
 */
export function answerScores(predictions: readonly string[], references: References): AnswerScores {
  const scores = pairsOf('answerScores', predictions, references).map(({ prediction, references: right }) => {
    const ours = normalizeAnswer(prediction);
    const theirs = right.map(normalizeAnswer);
    return { exact: theirs.includes(ours) ? 1 : 0, f1: Math.max(...theirs.map((answer) => tokenF1(ours, answer))) };
  });
  return { exactMatch: mean(scores.map(({ exact }) => exact)), f1: mean(scores.map(({ f1 }) => f1)) };
}
