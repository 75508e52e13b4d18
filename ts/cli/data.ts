// Tokenizers and data sets from what the flags say. Files are streamed; a vocabulary of their characters or words costs a first pass over them.

import { readFile } from 'node:fs/promises';
import { readText, TextDataset } from '../data';
import { FerroError } from '../errors';
import { readTokenizerFiles } from '../io';
import { nodeFolder, resolveModelFolder } from '../io/node';
import { BpeTokenizer, ByteTokenizer, CharVocabulary, cutPieces, loadTokenizer, type Tokenizer } from '../tokenizers';

/** What a run trains and evaluates on. `evalDataset` is null where there is nothing to evaluate on. */
export interface RunData {
  tokenizer: Tokenizer;
  dataset: TextDataset;
  evalDataset: TextDataset | null;
}

/** Tokens of a BPE that is trained without a size. */
export const DEFAULT_BPE = 4096;

/** How `--tokenizer bpe` is trained. */
export interface BpeSettings {
  vocabSize?: number;
  specialTokens?: readonly string[];
  minFrequency?: number;
  pattern?: string;
  signal?: AbortSignal;
}

/** A byte-level BPE of the files' text, which is read once, in pieces. */
export function trainTokenizer(files: readonly string[], settings: BpeSettings = {}): Promise<BpeTokenizer> {
  const { vocabSize = DEFAULT_BPE, signal } = settings;
  return BpeTokenizer.train(cutPieces(readText(files, { signal }), settings.pattern ?? 'gpt2'), { ...settings, vocabSize });
}

/**
 * The tokenizer that `--tokenizer` names: `char` (the characters of the files), `byte`, `bpe` (trained on the files), or a folder with a tokenizer.
 * @throws FILE_NOT_FOUND, INVALID_TOKENIZER, UNSUPPORTED_TOKENIZER, TOKENIZER_PACKAGE_MISSING for a folder; the errors of reading text
 */
export async function chooseTokenizer(name: string, files: readonly string[], settings: BpeSettings = {}): Promise<Tokenizer> {
  if (name === 'byte') return new ByteTokenizer();
  if (name === 'bpe') return trainTokenizer(files, settings);
  if (name !== 'char') return openTokenizer(name);
  const vocabulary = new CharVocabulary();
  for await (const piece of readText(files, { signal: settings.signal })) vocabulary.add(piece);
  return vocabulary.build();
}

/** The tokenizer of a folder (a model's, a run's, or its own), or of a tokenizer.json. @throws as `chooseTokenizer` */
export async function openTokenizer(path: string): Promise<Tokenizer> {
  const missing = (cause?: unknown) =>
    new FerroError('FILE_NOT_FOUND', `--tokenizer: must be char, byte, bpe or a folder with tokenizer.json, got ${JSON.stringify(path)}`, {
      cause,
    });
  if (path.endsWith('.json')) {
    return loadTokenizer(
      await readFile(path, 'utf8').catch((cause: unknown) => {
        throw missing(cause);
      }),
    );
  }
  const inFolder = async (folder: string) => readTokenizerFiles(nodeFolder(folder));
  const files =
    (await inFolder(path)) ?? (await inFolder(await resolveModelFolder(path).catch((cause: unknown) => Promise.reject(missing(cause)))));
  if (files === null) throw missing();
  return loadTokenizer(files);
}

/** The training part and the evaluation part: the files of --eval-data, else the end of the data. */
export async function loadData(
  options: { data: readonly string[]; evalData?: readonly string[]; evalFraction: number },
  tokenizer: Tokenizer,
  signal?: AbortSignal,
): Promise<RunData> {
  const whole = await TextDataset.fromFiles(options.data, tokenizer, { signal });
  if (options.evalData !== undefined) {
    return { tokenizer, dataset: whole, evalDataset: await TextDataset.fromFiles(options.evalData, tokenizer, { signal }) };
  }
  return splitData(whole, tokenizer, options.evalFraction);
}

/** Keeps the end of a data set for evaluation; a part too short to predict one token is none. */
export function splitData(whole: TextDataset, tokenizer: Tokenizer, evalFraction: number): RunData {
  const { train, validation } = whole.split({ evalFraction });
  return { tokenizer, dataset: train, evalDataset: validation.length > 1 ? validation : null };
}
