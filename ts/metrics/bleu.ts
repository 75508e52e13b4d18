// BLEU of a corpus (Papineni et al., ACL 2002, https://aclanthology.org/P02-1040), with the numbers of sacreBLEU (Post, WMT 2018, https://aclanthology.org/W18-6319):
// its tokenization "13a", its smoothing "exp", the closest reference's length. Tested against sacreBLEU's own values. Not a sentence score unless effectiveOrder is set.
import { FerroError, show } from '../errors';
import { exp, ln } from '../math';
import { checkNames, namesOf } from '../options';
import { VERSION } from '../version';
import { pairsOf, type References } from './pairs';
import { type Counts, countRuns, stripEnd, words } from './words';

/** Options of `bleu`. */
export interface BleuOptions {
  /** '13a' is mteval-v13a's, the field's default; 'char' every character (for languages without spaces); 'none' what stands between spaces. Default '13a'. */
  tokenize?: '13a' | 'char' | 'none';
  /** Scores lower-cased texts. Default false. */
  lowercase?: boolean;
  /** 'exp': the k-th order without a match counts as 1/2^k matches; 'none': BLEU is 0 then. Default 'exp'. */
  smooth?: 'exp' | 'none';
  /** Leaves out orders that the predictions are too short for (for single sentences). Default false. */
  effectiveOrder?: boolean;
}

/** What `bleu` gives. */
export interface BleuScore {
  /** 0 to 100. */
  score: number;
  /** Precision of each order 1 to 4, 0 to 100, smoothed. */
  precisions: number[];
  /** Matches and n-grams of each order. */
  matches: number[];
  totals: number[];
  /** 0 to 1. */
  brevityPenalty: number;
  /** Tokens of the predictions and of the references closest in length. */
  predictionLength: number;
  referenceLength: number;
  /** How it was computed, as sacreBLEU writes it. */
  signature: string;
}

const OPTIONS = namesOf<BleuOptions>({ tokenize: true, lowercase: true, smooth: true, effectiveOrder: true });

const ORDER = 4;

/** Punctuation and symbols of ASCII but for ' , - . which have rules of their own. */
const SYMBOLS = /[{-~[-` -&(-+:-@/]/gu;

/** The tokens of mteval-v13a: entities undone, ASCII symbols apart, full stops and commas apart unless between digits, a dash apart after a digit. */
export function tokenize13a(text: string): string[] {
  const plain = text
    .replaceAll('<skipped>', '')
    .replaceAll('-\n', '')
    .replaceAll('\n', ' ')
    .replaceAll('&quot;', '"')
    .replaceAll('&amp;', '&')
    .replaceAll('&lt;', '<')
    .replaceAll('&gt;', '>');
  const spaced = ` ${plain} `
    .replace(SYMBOLS, ' $& ')
    .replace(/([^0-9])([.,])/gu, '$1 $2 ')
    .replace(/([.,])([^0-9])/gu, ' $1 $2')
    .replace(/([0-9])(-)/gu, '$1 $2 ');
  return words(spaced);
}

const TOKENIZERS: Readonly<Record<string, (text: string) => string[]>> = {
  '13a': tokenize13a,
  char: (text) => words(Array.from(text).join(' ')),
  none: words,
};

function tokenizer({ tokenize = '13a', lowercase = false }: BleuOptions): (text: string) => string[] {
  if (!Object.hasOwn(TOKENIZERS, tokenize))
    throw new FerroError('INVALID_OPTION', `bleu: "tokenize" must be one of "13a", "char", "none", got ${show(tokenize)}`);
  const cut = TOKENIZERS[tokenize];
  // White space at the end is taken off first: 13a joins a dash with the line after it.
  return (text) => cut(stripEnd(lowercase ? text.toLowerCase() : text));
}

/** The most that any reference has of each n-gram. */
function mostOf(lists: readonly (readonly string[])[], n: number): Counts {
  const most: Counts = new Map();
  for (const tokens of lists) {
    for (const [gram, times] of countRuns(tokens, n, ' ')) most.set(gram, Math.max(times, most.get(gram) ?? 0));
  }
  return most;
}

/** The length nearest to `length`, the shorter one of two. */
function closest(length: number, lengths: readonly number[]): number {
  return lengths.reduce((best, one) => {
    const [near, far] = [Math.abs(one - length), Math.abs(best - length)];
    return near < far || (near === far && one < best) ? one : best;
  });
}

/**
 * BLEU of a corpus.
 * @param references one right text for each prediction, or a list of them
 * @throws EMPTY_DATA, INVALID_OPTION, UNKNOWN_OPTION
 */
export function bleu(predictions: readonly string[], references: References, options: BleuOptions = {}): BleuScore {
  const pairs = pairsOf('bleu', predictions, references);
  checkNames('bleu', options, OPTIONS);
  const tokens = tokenizer(options);
  const matches = new Array<number>(ORDER).fill(0);
  const totals = new Array<number>(ORDER).fill(0);
  let predictionLength = 0;
  let referenceLength = 0;
  for (const { prediction, references: right } of pairs) {
    const ours = tokens(prediction);
    const theirs = right.map(tokens);
    predictionLength += ours.length;
    referenceLength += closest(
      ours.length,
      theirs.map((list) => list.length),
    );
    for (let n = 1; n <= ORDER; n++) {
      const most = mostOf(theirs, n);
      for (const [gram, times] of countRuns(ours, n, ' ')) {
        totals[n - 1] += times;
        matches[n - 1] += Math.min(times, most.get(gram) ?? 0);
      }
    }
  }
  const counts = new Set(pairs.map(({ references: right }) => right.length));
  return {
    ...fromCounts({ matches, totals, predictionLength, referenceLength }, options),
    signature: signature(counts.size === 1 ? pairs[0].references.length : 'var', options),
  };
}

type Statistics = Pick<BleuScore, 'matches' | 'totals' | 'predictionLength' | 'referenceLength'>;

/** The score of counts: brevity penalty times the geometric mean of the precisions. */
function fromCounts(statistics: Statistics, { smooth = 'exp', effectiveOrder = false }: BleuOptions): Omit<BleuScore, 'signature'> {
  const { matches, totals, predictionLength, referenceLength } = statistics;
  const short = predictionLength < referenceLength;
  const brevityPenalty = !short ? 1 : predictionLength > 0 ? exp(1 - referenceLength / predictionLength) : 0;
  const precisions = new Array<number>(ORDER).fill(0);
  if (matches.every((n) => n === 0)) return { ...statistics, score: 0, precisions, brevityPenalty };
  let share = 1;
  let order = ORDER;
  for (let n = 0; n < ORDER && totals[n] > 0; n++) {
    if (effectiveOrder) order = n + 1;
    if (matches[n] > 0) precisions[n] = (100 * matches[n]) / totals[n];
    else if (smooth === 'exp') {
      share *= 2;
      precisions[n] = 100 / (share * totals[n]);
    }
  }
  const used = precisions.slice(0, order);
  const score = used.some((p) => p === 0) ? 0 : brevityPenalty * exp(used.reduce((sum, p) => sum + ln(p), 0) / order);
  return { ...statistics, score, precisions, brevityPenalty };
}

function signature(references: number | 'var', { tokenize = '13a', lowercase, smooth = 'exp', effectiveOrder }: BleuOptions): string {
  const parts = [
    `nrefs:${references}`,
    `case:${lowercase ? 'lc' : 'mixed'}`,
    `eff:${effectiveOrder ? 'yes' : 'no'}`,
    `tok:${tokenize}`,
    `smooth:${smooth}`,
  ];
  return [...parts, `version:ferroformer-${VERSION}`].join('|');
}
