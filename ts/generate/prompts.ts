// From what a user gives as a prompt to the tokens to start from.
import { FerroError } from '../errors';
import type { Tokenizer } from '../tokenizers';

/** A text, or token ids. */
export type Prompt = string | ArrayLike<number>;

/** The tokenizer and the vocabulary that prompts are read with. */
export interface PromptReader {
  tokenizer: Tokenizer | null;
  vocabSize: number;
}

/** Whether several prompts are given: a list of texts or of lists of ids. Numbers are one prompt, and so is the empty list. */
export function isPrompts(value: Prompt | readonly Prompt[]): value is readonly Prompt[] {
  return Array.isArray(value) && value.length > 0 && value.some((item) => typeof item !== 'number');
}

/**
 * The tokens to start from: a text's own, and around it what transformers adds to a prompt too (Llama's beginning-of-text token). An empty prompt starts from the
 * tokenizer's beginning-of-text token, else from a line break, else from token 0; that token is not part of the result.
 * @throws TOKEN_OUT_OF_RANGE, UNKNOWN_CHARACTER, INVALID_OPTION
 */
export function promptIds(model: PromptReader, prompt: Prompt): Int32Array {
  if (prompt === '' && model.tokenizer !== null) return Int32Array.of(startId(model.tokenizer));
  const ids = tokenIds(model, prompt, true);
  return ids.length > 0 ? ids : Int32Array.of(model.tokenizer === null ? 0 : startId(model.tokenizer));
}

/** The tokens of a text or of ids, perhaps none. @throws TOKEN_OUT_OF_RANGE, UNKNOWN_CHARACTER, INVALID_OPTION */
export function tokenIds(model: PromptReader, prompt: Prompt, addSpecialTokens: boolean): Int32Array {
  if (typeof prompt === 'string') {
    if (model.tokenizer === null)
      throw new FerroError('INVALID_OPTION', 'generate: a prompt of text needs a model with a tokenizer, got one without');
    return prompt === '' ? new Int32Array(0) : model.tokenizer.encode(prompt, { addSpecialTokens });
  }
  if (typeof prompt !== 'object' || prompt === null || !Number.isInteger(prompt.length))
    throw new FerroError('INVALID_OPTION', `generate: a prompt must be a text or token ids, got ${typeof prompt}`);
  const ids = Array.from(prompt);
  ids.forEach((id, position) => {
    if (!Number.isInteger(id) || id < 0 || id >= model.vocabSize) {
      throw new FerroError(
        'TOKEN_OUT_OF_RANGE',
        `generate: ids must be integers from 0 to ${model.vocabSize - 1}, got ${id} at position ${position}`,
      );
    }
  });
  return Int32Array.from(ids);
}

function startId(tokenizer: Tokenizer): number {
  if (tokenizer.bosId !== null) return tokenizer.bosId;
  try {
    const lineBreak = tokenizer.encode('\n');
    return lineBreak.length === 1 ? lineBreak[0] : 0;
  } catch {
    return 0; // a vocabulary of characters without a line break
  }
}
