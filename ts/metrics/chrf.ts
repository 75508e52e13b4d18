// chrF and chrF++ of a corpus (Popović, WMT 2015, https://aclanthology.org/W15-3049; WMT 2017, https://aclanthology.org/W17-4770): F-score of character n-grams, with word n-grams in
// chrF++. The numbers are sacreBLEU's (orders that one side is too short for are left out), and tested against them.
import { checkNames, namesOf } from '../options';
import { VERSION } from '../version';
import { pairsOf, type References } from './pairs';
import { type Counts, common, countRuns, size, visibleCharacters, words } from './words';

/** Options of `chrf`. */
export interface ChrfOptions {
  /** Longest character n-gram. Default 6. */
  charOrder?: number;
  /** Longest word n-gram; 2 is chrF++. Default 0. */
  wordOrder?: number;
  /** How many times recall weighs against precision. Default 2. */
  beta?: number;
  /** Counts white space as characters. Default false. */
  whitespace?: boolean;
  /** Scores lower-cased texts. Default false. */
  lowercase?: boolean;
}

const OPTIONS = namesOf<ChrfOptions>({ charOrder: true, wordOrder: true, beta: true, whitespace: true, lowercase: true });

/** What `chrf` gives. */
export interface ChrfScore {
  /** 0 to 100. */
  score: number;
  /** chrF2, chrF2++ … */
  name: string;
  /** How it was computed, as sacreBLEU writes it. */
  signature: string;
}

/** N-grams of the prediction, of the reference and in common, for each order: characters first, then words. */
interface Statistics {
  ours: number;
  theirs: number;
  matches: number;
}

const PUNCTUATION = new Set('!"#$%&\'()*+,-./:;<=>?@[\\]^_`{|}~');

/** Words with one punctuation mark at the end taken off, else one at the beginning. */
function wordsAndMarks(text: string): string[] {
  return words(text).flatMap((word) => {
    const characters = Array.from(word);
    if (characters.length === 1) return [word];
    const last = characters.length - 1;
    if (PUNCTUATION.has(characters[last])) return [characters.slice(0, last).join(''), characters[last]];
    if (PUNCTUATION.has(characters[0])) return [characters[0], characters.slice(1).join('')];
    return [word];
  });
}

type Settings = Required<ChrfOptions>;

/** The n-grams of a text, one multiset per order. */
function gramsOf(text: string, { charOrder, wordOrder, whitespace, lowercase }: Settings): Counts[] {
  const cased = lowercase ? text.toLowerCase() : text;
  const characters = whitespace ? Array.from(cased) : visibleCharacters(cased);
  const orders = Array.from({ length: charOrder }, (_, i) => countRuns(characters, i + 1, ''));
  if (wordOrder === 0) return orders;
  const marked = wordsAndMarks(cased);
  return [...orders, ...Array.from({ length: wordOrder }, (_, i) => countRuns(marked, i + 1, ' '))];
}

/** Counts of each order; n-grams of an order that the reference does not have at all do not count against the prediction. */
function compare(ours: readonly Counts[], theirs: readonly Counts[]): Statistics[] {
  return ours.map((grams, i) => ({
    ours: theirs[i].size > 0 ? size(grams) : 0,
    theirs: size(theirs[i]),
    matches: common(grams, theirs[i]),
  }));
}

/** F of the mean precision and the mean recall over the orders that both sides have, 0 to 100. */
function fScore(statistics: readonly Statistics[], beta: number): number {
  const used = statistics.filter(({ ours, theirs }) => ours > 0 && theirs > 0);
  const precision = used.reduce((sum, { ours, matches }) => sum + matches / ours, 0) / Math.max(1, used.length);
  const recall = used.reduce((sum, { theirs, matches }) => sum + matches / theirs, 0) / Math.max(1, used.length);
  if (precision + recall === 0) return 0;
  const factor = beta * beta;
  return (100 * ((1 + factor) * precision * recall)) / (factor * precision + recall);
}

/**
 * chrF of a corpus; of several references the one with the highest F counts.
 * @param references one right text for each prediction, or a list of them
 * @throws EMPTY_DATA, INVALID_OPTION, UNKNOWN_OPTION
 */
export function chrf(predictions: readonly string[], references: References, options: ChrfOptions = {}): ChrfScore {
  checkNames('chrf', options, OPTIONS);
  const { charOrder = 6, wordOrder = 0, beta = 2, whitespace = false, lowercase = false } = options;
  const settings: Settings = { charOrder, wordOrder, beta, whitespace, lowercase };
  const pairs = pairsOf('chrf', predictions, references);
  const total: Statistics[] = Array.from({ length: charOrder + wordOrder }, () => ({ ours: 0, theirs: 0, matches: 0 }));
  for (const { prediction, references: right } of pairs) {
    const ours = gramsOf(prediction, settings);
    let best: Statistics[] = [];
    let highest = -1;
    for (const reference of right) {
      const statistics = compare(ours, gramsOf(reference, settings));
      const score = fScore(statistics, beta);
      if (score > highest) [best, highest] = [statistics, score];
    }
    best.forEach(({ ours: a, theirs: b, matches }, i) => {
      total[i].ours += a;
      total[i].theirs += b;
      total[i].matches += matches;
    });
  }
  const counts = new Set(pairs.map(({ references: right }) => right.length));
  return {
    score: fScore(total, beta),
    name: `chrF${beta}${'+'.repeat(wordOrder)}`,
    signature: signature(counts.size === 1 ? pairs[0].references.length : 'var', settings),
  };
}

function signature(references: number | 'var', { charOrder, wordOrder, whitespace, lowercase }: Settings): string {
  const parts = [
    `nrefs:${references}`,
    `case:${lowercase ? 'lc' : 'mixed'}`,
    'eff:yes',
    `nc:${charOrder}`,
    `nw:${wordOrder}`,
    `space:${whitespace ? 'yes' : 'no'}`,
  ];
  return [...parts, `version:ferroformer-${VERSION}`].join('|');
}
