// What generate()'s options mean to the engine: a bias for each token, lists of end ids and of phrases that must not come, penalties. Pure data.
import { FerroError } from '../errors';
import { HISTORY_TOKENS } from '../graph';
import { seedWords } from '../math';
import type { Tokenizer } from '../tokenizers';
import { checkTokenId, type Sampling } from './options';

/** Words of the list that holds end ids and phrases. */
export const LIST_WORDS = 4096;

/** The rules of one generation. */
export interface RuleData {
  /** f32 [V] */
  readonly bias: Float32Array;
  /** i32 [LIST_WORDS], see `GenerationRules.lists`. */
  readonly lists: Int32Array;
  /** Ids that end a text. */
  readonly endIds: readonly number[];
  /** Whether tokens must be counted: a penalty is on. */
  readonly counting: boolean;
}

/**
 * Rules for a vocabulary of `vocab` ids that can be drawn.
 * @param eosIds the model's own end ids
 * @throws INVALID_OPTION for phrases too long or too many, TOKEN_OUT_OF_RANGE
 */
export function ruleData(sampling: Sampling, tokenizer: Tokenizer | null, eosIds: readonly number[], vocab: number): RuleData {
  const bias = new Float32Array(vocab);
  for (const [id, value] of sampling.logitBias) if (id < vocab) bias[id] += value;
  const endIds = [...new Set([...eosIds, ...sampling.stopTokenIds])].filter((id) => id < vocab);
  const words = [endIds.length, ...endIds];
  for (const phrase of phrases(sampling, tokenizer, vocab)) {
    if (phrase.length === 1) bias[phrase[0]] = Number.NEGATIVE_INFINITY;
    else words.push(phrase.length, ...phrase);
  }
  if (words.length >= LIST_WORDS)
    throw new FerroError('INVALID_OPTION', `generate: "badWords" must fit in ${LIST_WORDS} words, got ${words.length}`);
  const lists = new Int32Array(LIST_WORDS);
  lists.set(words);
  const { repetitionPenalty, presencePenalty, frequencyPenalty } = sampling;
  return { bias, lists, endIds, counting: repetitionPenalty !== 1 || presencePenalty !== 0 || frequencyPenalty !== 0 };
}

/** badWords as lists of ids. A text counts as it is and after a space, where that is as many tokens (a word in the middle of a text). */
function phrases(sampling: Sampling, tokenizer: Tokenizer | null, vocab: number): number[][] {
  const result: number[][] = [];
  for (const word of sampling.badWords) {
    if (typeof word !== 'string') {
      for (const id of word) checkTokenId('badWords', id, vocab);
      result.push([...word]);
      continue;
    }
    if (tokenizer === null)
      throw new FerroError('INVALID_OPTION', 'generate: texts in "badWords" need a model with a tokenizer, got one without');
    const plain = encoded(tokenizer, word);
    const spaced = encoded(tokenizer, ` ${word.trimStart()}`);
    if (plain.length > 0) result.push(plain);
    if (spaced.length > 0 && spaced.length === plain.length && spaced[0] !== plain[0]) result.push(spaced);
  }
  for (const phrase of result) {
    if (phrase.length > HISTORY_TOKENS + 1)
      throw new FerroError(
        'INVALID_OPTION',
        `generate: "badWords" must have at most ${HISTORY_TOKENS + 1} tokens each, got ${phrase.length}`,
      );
  }
  return result;
}

/** Ids of a text; none where the vocabulary lacks a character, since then it cannot be written. */
function encoded(tokenizer: Tokenizer, text: string): number[] {
  try {
    return Array.from(tokenizer.encode(text));
  } catch (error) {
    if (error instanceof FerroError && error.code === 'UNKNOWN_CHARACTER') return [];
    throw error;
  }
}

/** The scalars of the rules. */
export function ruleScalars(sampling: Sampling): Record<string, number> {
  const { repetitionPenalty, presencePenalty, frequencyPenalty, minNewTokens } = sampling;
  return { repetition: repetitionPenalty, presence: presencePenalty, frequency: frequencyPenalty, minNew: minNewTokens };
}

/** The scalars of a draw, apart from its number: row 0 draws under this seed. */
export function drawScalars(sampling: Sampling, seed: number): Record<string, number> {
  const [seedLo, seedHi] = seedWords(seed);
  const { temperature, topK, topP, minP, topLogProbs } = sampling;
  return { temperature, topK, topP, minP, seedLo, seedHi, topN: topLogProbs, ...ruleScalars(sampling) };
}
