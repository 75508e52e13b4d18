// Tokenizers and data sets from what the flags say. Files are streamed; a character vocabulary costs a first pass over them.

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { readText, TextDataset } from '../data';
import { FerroError } from '../errors';
import { ByteTokenizer, CharVocabulary, loadTokenizer, type Tokenizer } from '../tokenizers';

/** What a run trains and evaluates on. `evalDataset` is null where there is nothing to evaluate on. */
export interface RunData {
  tokenizer: Tokenizer;
  dataset: TextDataset;
  evalDataset: TextDataset | null;
}

/**
 * The tokenizer that `--tokenizer` names: `char` (the characters of the files), `byte`, or a folder with a tokenizer.json.
 * @throws NOT_BUILT for `bpe`; FILE_NOT_FOUND, INVALID_TOKENIZER for a folder; the errors of reading text
 */
export async function chooseTokenizer(name: string, files: readonly string[], signal?: AbortSignal): Promise<Tokenizer> {
  if (name === 'byte') return new ByteTokenizer();
  if (name === 'bpe') throw new FerroError('NOT_BUILT', '--tokenizer: char, byte and folders are built so far, got "bpe"');
  if (name === 'char') {
    const vocabulary = new CharVocabulary();
    for await (const piece of readText(files, { signal })) vocabulary.add(piece);
    return vocabulary.build();
  }
  const path = name.endsWith('.json') ? name : join(name, 'tokenizer.json');
  const json = await readFile(path, 'utf8').catch((cause: unknown) => {
    throw new FerroError('FILE_NOT_FOUND', `--tokenizer: must be char, byte or a folder with tokenizer.json, got ${JSON.stringify(name)}`, {
      cause,
    });
  });
  return await loadTokenizer(json);
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
