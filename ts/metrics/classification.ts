// Accuracy, precision, recall and F1 of labels, with scikit-learn's definitions (0 where a quotient is 0/0) and tested against it. One label for each example.
import { FerroError, show } from '../errors';
import { checkNames } from '../options';

/** Each from 0 to 1. */
export interface PrecisionRecall {
  precision: number;
  recall: number;
  f1: number;
}

/** The scores of one label against all others. */
export interface LabelScores extends PrecisionRecall {
  label: string;
  /** Examples that have it. */
  support: number;
  /** Examples it was predicted for. */
  predicted: number;
}

/** What `classificationScores` gives. */
export interface ClassificationScores {
  /** Share of examples with the right label. */
  accuracy: number;
  /** Unweighted mean over the labels that occur in predictions or references. */
  macro: PrecisionRecall;
  /** All decisions in one pot; with one label per example all three are the accuracy. */
  micro: PrecisionRecall;
  /** Mean over the labels weighted by support. */
  weighted: PrecisionRecall;
  /** The positive label's scores: where `positive` is given, or of two labels the second. */
  binary: PrecisionRecall | null;
  /** Every label's scores, in the order of `labels`. */
  labels: LabelScores[];
  /** confusion[i][j]: examples of label i that were called j. */
  confusion: number[][];
  examples: number;
}

const ratio = (a: number, b: number): number => (b === 0 ? 0 : a / b);

function scores(hits: number, predicted: number, support: number): PrecisionRecall {
  return { precision: ratio(hits, predicted), recall: ratio(hits, support), f1: ratio(2 * hits, predicted + support) };
}

function average(parts: readonly PrecisionRecall[], weights: readonly number[]): PrecisionRecall {
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const of = (key: keyof PrecisionRecall) =>
    ratio(
      parts.reduce((sum, part, i) => sum + part[key] * weights[i], 0),
      total,
    );
  return { precision: of('precision'), recall: of('recall'), f1: of('f1') };
}

function tabulate(predictions: ArrayLike<number>, references: ArrayLike<number>, labels: readonly string[]): number[][] {
  const confusion = labels.map(() => new Array<number>(labels.length).fill(0));
  for (let i = 0; i < references.length; i++) {
    for (const id of [predictions[i], references[i]]) {
      if (Number.isInteger(id) && id >= 0 && id < labels.length) continue;
      throw new FerroError(
        'LABEL_OUT_OF_RANGE',
        `classificationScores: labels must be integers from 0 to ${labels.length - 1}, got ${show(id)} at ${i}`,
      );
    }
    confusion[references[i]][predictions[i]]++;
  }
  return confusion;
}

/**
 * The scores of predicted labels.
 * @param predictions numbers of labels, 0 to labels.length − 1
 * @param references the right ones, as many
 * @param labels their names
 * @param options positive: name of the label that `binary` is about
 * @throws EMPTY_DATA; INVALID_OPTION for lists of different lengths or an unknown positive label; UNKNOWN_OPTION; LABEL_OUT_OF_RANGE
 */
export function classificationScores(
  predictions: ArrayLike<number>,
  references: ArrayLike<number>,
  labels: readonly string[],
  options: { positive?: string } = {},
): ClassificationScores {
  const examples = references.length;
  if (predictions.length !== examples) {
    throw new FerroError(
      'INVALID_OPTION',
      `classificationScores: there must be as many references as predictions, got ${examples} and ${predictions.length}`,
    );
  }
  if (examples === 0) throw new FerroError('EMPTY_DATA', 'classificationScores: there must be something to score, got nothing');
  checkNames('classificationScores', options, ['positive']);
  const positive = options.positive === undefined ? (labels.length === 2 ? 1 : -1) : labels.indexOf(options.positive);
  if (options.positive !== undefined && positive < 0) {
    throw new FerroError(
      'INVALID_OPTION',
      `classificationScores: "positive" must be one of the labels ${labels.map((name) => show(name)).join(', ')}, got ${show(options.positive)}`,
    );
  }
  const confusion = tabulate(predictions, references, labels);
  const all = labels.map((label, i): LabelScores => {
    const support = confusion[i].reduce((sum, n) => sum + n, 0);
    const predicted = confusion.reduce((sum, row) => sum + row[i], 0);
    return { label, ...scores(confusion[i][i], predicted, support), support, predicted };
  });
  const present = all.filter(({ support, predicted }) => support + predicted > 0);
  const hits = confusion.reduce((sum, row, i) => sum + row[i], 0);
  const { precision, recall, f1 } = all[positive] ?? { precision: 0, recall: 0, f1: 0 };
  return {
    accuracy: hits / examples,
    macro: average(
      present,
      present.map(() => 1),
    ),
    micro: scores(hits, examples, examples),
    weighted: average(
      present,
      present.map(({ support }) => support),
    ),
    binary: positive < 0 ? null : { precision, recall, f1 },
    labels: all,
    confusion,
    examples,
  };
}
