// Do the model and the data fit? Checked when the Trainer is made, before anything is allocated.
import { type Dataset, examplesPerEpoch, isTokenDataset, type TextDataset } from '../data';
import { FerroError } from '../errors';
import type { Trainable } from './trainable';

/**
 * The window length to train with (1 for a data set of examples).
 * @throws VOCABULARY_MISMATCH, TOKEN_OUT_OF_RANGE, DATA_TOO_SHORT, EMPTY_DATA, INVALID_OPTION
 */
export function checkData(model: Trainable, train: Dataset, evaluation: Dataset | undefined): number {
  for (const [name, dataset] of [['dataset', train] as const, ['evalDataset', evaluation] as const]) {
    if (dataset !== undefined) checkVocabulary(name, model, dataset);
  }
  if (!isTokenDataset(train)) {
    examplesPerEpoch(train, 1);
    return 1;
  }
  if (model.blockSize === undefined) {
    throw new FerroError(
      'INVALID_OPTION',
      'Trainer: a module of your own needs a data set of examples or a "blockSize" field, got a token data set and none',
    );
  }
  examplesPerEpoch(train, model.blockSize);
  return model.blockSize;
}

function checkVocabulary(name: string, model: Trainable, dataset: Dataset): void {
  if (!isTokenDataset(dataset) || model.vocabSize === undefined) return;
  const hash = (dataset as Partial<TextDataset>).tokenizer?.hash;
  if (hash !== undefined && model.tokenizerHash !== null && hash !== model.tokenizerHash) {
    throw new FerroError(
      'VOCABULARY_MISMATCH',
      `Trainer: "${name}" must be encoded with the model's tokenizer, got another one (${dataset.vocabSize} tokens, the model's has ${model.vocabSize})`,
    );
  }
  if (dataset.vocabSize > model.vocabSize) {
    throw new FerroError(
      'VOCABULARY_MISMATCH',
      `Trainer: ids of "${name}" must be below the model's vocabSize ${model.vocabSize}, got a data set with ${dataset.vocabSize}`,
    );
  }
}
