// The loss of a model over a data set, without a Trainer: nothing is learned and no optimizer is allocated.
import { type Dataset, evalBatches } from '../data';
import { FerroError } from '../errors';
import type { Loss } from '../nn';
import { checkNames, namesOf } from '../options';
import { asTrainable, checkVocabulary, type Evaluation, Evaluator, type TrainableLike, windowOf } from '../train';

/** Options of `evaluateLoss`. */
export interface EvaluateLossOptions {
  /** Rows of a batch. Default 12. */
  batchSize?: number;
  /**
   * Tokens from one window to the next, at most the context length, for a token data set: each window counts only what the one before has not, so that a smaller
   * stride gives every token more context and takes proportionally longer. Default: the context length.
   */
  stride?: number;
  /** Default: the model's own. */
  loss?: Loss;
  signal?: AbortSignal;
}

const OPTIONS = namesOf<EvaluateLossOptions>({ batchSize: true, stride: true, loss: true, signal: true });

/**
 * The mean loss over everything that counts in a data set: every token after the first of a text once, the counted labels of examples.
 * @throws EMPTY_DATA, DATA_TOO_SHORT, VOCABULARY_MISMATCH, INVALID_OPTION, UNKNOWN_OPTION, MODEL_CLOSED, ABORTED
 */
export async function evaluateLoss(model: TrainableLike, dataset: Dataset, options: EvaluateLossOptions = {}): Promise<Evaluation> {
  checkNames('evaluateLoss', options, OPTIONS);
  const { batchSize = 12, stride, loss, signal } = options;
  const trainable = asTrainable(model);
  trainable.bound.assertOpen('evaluateLoss');
  const used = loss ?? trainable.loss;
  if (used === undefined) throw new FerroError('INVALID_OPTION', 'evaluateLoss: "loss" must be given for a module of your own, got none');
  checkVocabulary('evaluateLoss', 'dataset', trainable, dataset);
  const blockSize = windowOf('evaluateLoss', trainable, dataset);
  const evaluator = new Evaluator(trainable.bound, used, batchSize);
  try {
    return await evaluator.run(evalBatches(dataset, { blockSize, batchSize, stride }), signal);
  } finally {
    await evaluator.close();
  }
}
