// Scores of a classifier over a data set: the loss, accuracy and F1, and what it said of each example. Letters in shapes: B batch, L labels.
import type { BoundModule } from '../bind';
import { type BatchTensors, type ExampleDataset, evalBatches, IGNORE_INDEX } from '../data';
import { FerroError, show, throwIfAborted } from '../errors';
import { exp, ln } from '../math';
import { type ClassificationScores, classificationScores } from '../metrics';
import { checkNames, namesOf } from '../options';
import { checkClasses } from '../train';
import { logitsOf } from './classify';

/** A model whose module turns a batch { inputIds, lengths } into logits f32 [B, L], and the names of its labels. */
export interface LabelModel {
  readonly bound: BoundModule;
  readonly labels: readonly string[];
}

/** Options of `evaluateClassification`. */
export interface EvaluateClassificationOptions {
  /** Examples of a batch. Default 32. */
  batchSize?: number;
  /** The label that `binary` is about. */
  positive?: string;
  signal?: AbortSignal;
}

const OPTIONS = namesOf<EvaluateClassificationOptions>({ batchSize: true, positive: true, signal: true });

/** What was said of an example. */
export interface LabelPrediction {
  label: string;
  /** Of every label, in the order of the model's labels; they sum to 1. */
  probabilities: number[];
}

/** What `evaluateClassification` gives. */
export interface ClassificationEvaluation extends ClassificationScores {
  /** Mean cross-entropy in nats per example. */
  loss: number;
  /** In the order of the data set; examples with the label −100 are predicted but not scored. */
  predictions: LabelPrediction[];
}

/**
 * Predicts every example of a data set and scores the predictions.
 * @param dataset batches { inputIds i32 [B, T], lengths i32 [B], labels i32 [B] }
 * @throws EMPTY_DATA without a labelled example, INVALID_OPTION for a data set without labels or with others than the model's, UNKNOWN_OPTION, LABEL_OUT_OF_RANGE, MODEL_CLOSED, ABORTED
 */
export async function evaluateClassification(
  { bound, labels }: LabelModel,
  dataset: ExampleDataset,
  options: EvaluateClassificationOptions = {},
): Promise<ClassificationEvaluation> {
  checkNames('evaluateClassification', options, OPTIONS);
  const { batchSize = 32, positive, signal } = options;
  checkClasses('evaluateClassification', 'dataset', labels, dataset);
  if (positive !== undefined && !labels.includes(positive))
    throw new FerroError(
      'INVALID_OPTION',
      `evaluateClassification: "positive" must be one of the labels ${show(labels)}, got ${show(positive)}`,
    );
  const predictions: LabelPrediction[] = [];
  const right: number[] = [];
  const said: number[] = [];
  let total = 0;
  for await (const { tensors } of evalBatches(dataset, { blockSize: 1, batchSize })) {
    throwIfAborted(signal, 'evaluateClassification');
    const { labels: wanted, ...inputs } = tensors;
    if (wanted === undefined)
      throw new FerroError('INVALID_OPTION', `evaluateClassification: batches must have labels, got ${Object.keys(tensors).join(', ')}`);
    const rows = await logProbabilities(bound, inputs, labels.length, signal);
    rows.forEach((row, i) => {
      const best = row.indexOf(Math.max(...row));
      predictions.push({ label: labels[best], probabilities: row.map(exp) });
      const label = wanted.data[i];
      if (label === IGNORE_INDEX) return;
      right.push(label);
      said.push(best);
      total -= row[label] ?? 0; // a label out of range is refused below
    });
  }
  const scores = classificationScores(said, right, labels, { positive });
  return { ...scores, loss: total / right.length, predictions };
}

/** Logarithms of the probabilities, one list of L for each example. */
async function logProbabilities(
  bound: BoundModule,
  inputs: BatchTensors,
  count: number,
  signal: AbortSignal | undefined,
): Promise<number[][]> {
  const logits = await logitsOf(bound, inputs, signal);
  return Array.from({ length: logits.length / count }, (_, row) => {
    const values = Array.from(logits.subarray(row * count, (row + 1) * count));
    if (!values.every(Number.isFinite))
      throw new FerroError('NON_FINITE_LOGITS', 'evaluateClassification: logits must be finite numbers, got others');
    const most = Math.max(...values);
    const logSum = most + ln(values.reduce((sum, value) => sum + exp(value - most), 0));
    return values.map((value) => value - logSum);
  });
}
