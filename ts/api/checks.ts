// What every model checks of what it is given: its engine, its tokenizer.
import { FerroError } from '../errors';
import type { Tokenizer } from '../tokenizers';
import { Engine } from './engine';

/** @throws INVALID_OPTION for what is no engine */
export function checkEngine(op: string, engine: unknown): asserts engine is Engine {
  if (!(engine instanceof Engine))
    throw new FerroError('INVALID_OPTION', `${op}: the engine must come from Engine.start, got ${typeof engine}`);
}

/** vocabSize from the tokenizer, or as given when it is at least as large (a padded vocabulary). @throws VOCABULARY_MISMATCH */
export function chooseVocabSize(op: string, tokenizer: Tokenizer | null, given: number | undefined): number | undefined {
  if (tokenizer === null || given === undefined) return given ?? tokenizer?.vocabSize;
  if (given < tokenizer.vocabSize) {
    throw new FerroError('VOCABULARY_MISMATCH', `${op}: "vocabSize" must be at least the tokenizer's ${tokenizer.vocabSize}, got ${given}`);
  }
  return given;
}

/** A checkpoint's tokenizer must be the model's, where both are known. @throws VOCABULARY_MISMATCH */
export function checkSameTokenizer(op: string, mine: Tokenizer | null, stored: Tokenizer | null): void {
  if (mine === null || stored === null || mine.hash === stored.hash) return;
  throw new FerroError('VOCABULARY_MISMATCH', `${op}: the checkpoint must have the model's tokenizer, got another one`);
}
