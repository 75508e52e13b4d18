// Do the model and the data fit? Checked when the Trainer is made, before anything is allocated.
import { ClassificationDataset, type Dataset, examplesPerEpoch, isTokenDataset, type TextDataset } from '../data';
import { FerroError, show } from '../errors';
import type { Trainable } from './trainable';

/**
 * The window length to train with (1 for a data set of examples).
 * @throws VOCABULARY_MISMATCH, TOKEN_OUT_OF_RANGE, DATA_TOO_SHORT, EMPTY_DATA, INVALID_OPTION
 */
export function checkData(model: Trainable, train: Dataset, evaluation: Dataset | undefined): number {
  for (const [name, dataset] of [['dataset', train] as const, ['evalDataset', evaluation] as const]) {
    if (dataset !== undefined) checkVocabulary('Trainer', name, model, dataset);
  }
  if (!isTokenDataset(train)) {
    examplesPerEpoch(train, 1);
    return 1;
  }
  const blockSize = windowOf('Trainer', model, train);
  examplesPerEpoch(train, blockSize);
  return blockSize;
}

/** The window length for a data set, 1 for a data set of examples. @throws INVALID_OPTION where a text meets a module without a length */
export function windowOf(op: string, model: Trainable, dataset: Dataset): number {
  if (!isTokenDataset(dataset)) return 1;
  if (model.blockSize !== undefined) return model.blockSize;
  throw new FerroError(
    'INVALID_OPTION',
    `${op}: a module of your own needs a data set of examples or a "blockSize" field, got a token data set and none`,
  );
}

/** A ClassificationDataset's classes must be the model's, in their order; it may lack the last ones. @throws INVALID_OPTION */
export function checkClasses(op: string, name: string, labels: readonly string[] | undefined, dataset: Dataset): void {
  if (labels === undefined || !(dataset instanceof ClassificationDataset)) return; // of others it is not known
  if (dataset.labels.every((label, i) => label === labels[i])) return;
  throw new FerroError(
    'INVALID_OPTION',
    `${op}: the labels of "${name}" must be the model's ${show(labels)} in this order, got ${show(dataset.labels)}`,
  );
}

/** @throws VOCABULARY_MISMATCH for tokens, INVALID_OPTION for classes that are not the model's */
export function checkVocabulary(op: string, name: string, model: Trainable, dataset: Dataset): void {
  checkClasses(op, name, model.labels, dataset);
  // Data sets of examples say it where their examples are tokens (SftDataset, ClassificationDataset, PreferenceDataset).
  const { vocabSize, tokenizer } = dataset as Partial<TextDataset>;
  if (typeof vocabSize !== 'number' || model.vocabSize === undefined) return;
  const hash = tokenizer?.hash;
  if (hash !== undefined && model.tokenizerHash !== null && hash !== model.tokenizerHash) {
    throw new FerroError(
      'VOCABULARY_MISMATCH',
      `${op}: "${name}" must be encoded with the model's tokenizer, got another one (${vocabSize} tokens, the model's has ${model.vocabSize})`,
    );
  }
  if (vocabSize > model.vocabSize) {
    throw new FerroError(
      'VOCABULARY_MISMATCH',
      `${op}: ids of "${name}" must be below the model's vocabSize ${model.vocabSize}, got a data set with ${vocabSize}`,
    );
  }
}
