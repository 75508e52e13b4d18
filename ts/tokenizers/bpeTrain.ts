// Training a byte-level BPE: options, the feeding of texts to the text kernels' trainer, and the parts of the tokenizer that comes of it.
import { FerroError, show, throwIfAborted } from '../errors';
import { checkNames, namesOf } from '../options';
import { loadText } from '../text';
import { type AddedToken, specialToken } from './addedTokens';
import { describeSplits, withKernelErrors } from './bpeKernel';
import { modelOfMerges } from './bpeModel';
import type { BpeParts } from './bpeTokenizer';
import { PATTERNS, type PatternName } from './patterns';
import { type SplitStep, withPrefixSpace } from './preTokenizer';

/** How a byte-level BPE is trained. */
export interface BpeTrainOptions {
  /** Tokens in all: 256 bytes, merges, special tokens. The tokenizer has fewer where the texts give no more pairs. */
  vocabSize: number;
  /** A pair that is rarer is not merged. 2 by default. */
  minFrequency?: number;
  /** Special tokens, the last ids of the vocabulary in this order. `['<|endoftext|>']` by default. */
  specialTokens?: readonly string[];
  /** The special tokens that begin and end a text and fill batches; by default `<|endoftext|>` begins and ends, where it is among the special tokens. */
  bosToken?: string | null;
  eosToken?: string | null;
  padToken?: string | null;
  /** How texts are split into words: the name of a rule ('gpt2', 'cl100k', 'qwen2', 'o200k') or a regular expression. 'gpt2' by default. */
  pattern?: PatternName | (string & {});
  /** A text that does not begin with a blank gets one, so that its first word is the same token as that word further on; decoding keeps the blank. With the pattern 'gpt2' only. False by default. */
  addPrefixSpace?: boolean;
  signal?: AbortSignal;
}

const OPTIONS = namesOf<BpeTrainOptions>({
  vocabSize: true,
  minFrequency: true,
  specialTokens: true,
  bosToken: true,
  eosToken: true,
  padToken: true,
  pattern: true,
  addPrefixSpace: true,
  signal: true,
});

const END_OF_TEXT = '<|endoftext|>';
const MOST_TOKENS = 1 << 20;

const wrong = (rule: string, got: unknown): FerroError => new FerroError('INVALID_OPTION', `BpeTokenizer.train: ${rule}, got ${show(got)}`);

function checkOptions(options: BpeTrainOptions) {
  checkNames('BpeTokenizer.train', options, OPTIONS);
  const { vocabSize, minFrequency = 2, specialTokens = [END_OF_TEXT], pattern = 'gpt2', addPrefixSpace = false } = options;
  if (!Array.isArray(specialTokens) || specialTokens.some((token) => typeof token !== 'string' || token === '')) {
    throw wrong('"specialTokens" must be a list of texts, none empty', JSON.stringify(specialTokens));
  }
  const twice = specialTokens.find((token, i) => specialTokens.indexOf(token) !== i);
  if (twice !== undefined) throw wrong('"specialTokens" must list a token once', twice);
  const least = 256 + specialTokens.length;
  if (!Number.isInteger(vocabSize) || vocabSize < least || vocabSize > MOST_TOKENS) {
    throw wrong(`"vocabSize" must be an integer from ${least} (the bytes and the special tokens) to ${MOST_TOKENS}`, vocabSize);
  }
  if (!Number.isInteger(minFrequency) || minFrequency < 1 || minFrequency > 2 ** 31 - 1) {
    throw wrong('"minFrequency" must be an integer of at least 1', minFrequency);
  }
  if (typeof pattern !== 'string' || pattern === '') throw wrong('"pattern" must be the name of a rule or a regular expression', pattern);
  if (typeof addPrefixSpace !== 'boolean') throw wrong('"addPrefixSpace" must be true or false', addPrefixSpace);
  // Hugging Face's pre-tokenizers put the blank in front of every piece of an earlier split, not of the text.
  if (addPrefixSpace && pattern !== 'gpt2') throw wrong('"addPrefixSpace" must go with the pattern "gpt2"', pattern);
  const rule = Object.hasOwn(PATTERNS, pattern) ? PATTERNS[pattern as PatternName] : pattern;
  return { vocabSize, minFrequency, specialTokens, pattern: rule, addPrefixSpace };
}

/** The id of a role's token. @throws INVALID_OPTION if it is not among the special tokens */
function roleOf(name: string, token: string | null | undefined, fallback: string | null, added: readonly AddedToken[]): number | null {
  const content = token === undefined ? fallback : token;
  if (content === null) return null;
  const id = added.find((each) => each.content === content)?.id;
  if (id === undefined && token !== undefined) throw wrong(`"${name}" must be one of "specialTokens"`, content);
  return id ?? null;
}

/** The kernels' trainer. @throws INVALID_OPTION for a pattern that they do not have */
async function newTrainer(steps: readonly SplitStep[]) {
  const { BpeTrainer } = await loadText();
  try {
    return withKernelErrors(() => new BpeTrainer(describeSplits(steps)));
  } catch (error) {
    if (!(error instanceof FerroError)) throw error;
    throw new FerroError('INVALID_OPTION', `BpeTokenizer.train: "pattern": ${error.message}`, { cause: error });
  }
}

/** Trains and gives the tokenizer's parts. @throws INVALID_OPTION, UNKNOWN_OPTION, EMPTY_DATA, ABORTED */
export async function trainBpe(texts: string | Iterable<string> | AsyncIterable<string>, options: BpeTrainOptions): Promise<BpeParts> {
  const { vocabSize, minFrequency, specialTokens, pattern, addPrefixSpace } = checkOptions(options);
  const roles = [options.bosToken, options.eosToken, options.padToken].filter((token) => token !== undefined && token !== null);
  const unknown = roles.find((token) => !specialTokens.includes(token!));
  if (unknown !== undefined) throw wrong('"bosToken", "eosToken" and "padToken" must be among "specialTokens"', unknown);
  throwIfAborted(options.signal, 'BpeTokenizer.train');
  const steps = [{ pattern, behavior: 'Isolated', invert: false } as const];
  const { byte_order: byteOrder } = await loadText();
  const trainer = await newTrainer(steps);
  try {
    let characters = 0;
    for await (const text of typeof texts === 'string' ? [texts] : texts) {
      throwIfAborted(options.signal, 'BpeTokenizer.train');
      if (typeof text !== 'string') throw wrong('texts must be strings', text);
      withKernelErrors(() => trainer.feed(addPrefixSpace ? withPrefixSpace(text) : text));
      characters += text.length;
    }
    if (characters === 0) throw new FerroError('EMPTY_DATA', 'BpeTokenizer.train: the texts must have at least one character, got none');
    const model = modelOfMerges(byteOrder(), trainer.train(vocabSize - specialTokens.length, minFrequency));
    const added = specialTokens.map((content, i) => specialToken(model.tokens.length + i, content));
    const end = specialTokens.includes(END_OF_TEXT) ? END_OF_TEXT : null;
    return {
      model,
      added,
      normalizer: null,
      preTokenizer: { steps, addPrefixSpace },
      frame: { before: [], after: [] },
      special: {
        bosId: roleOf('bosToken', options.bosToken, end, added),
        eosId: roleOf('eosToken', options.eosToken, end, added),
        padId: roleOf('padToken', options.padToken, null, added),
      },
      files: null,
    };
  } finally {
    trainer.free();
  }
}
