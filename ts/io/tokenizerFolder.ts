// The tokenizer of a model's folder: which files are read, and what becomes of a tokenizer that cannot be used. It knows no architecture; what is in the
// files is the tokenizers' business.
import { FerroError } from '../errors';
import { loadTokenizer, TOKENIZER_FILES, type Tokenizer } from '../tokenizers';
import { type OpenOptions, type ReadableFolder, readFolderText } from './files';

/** A folder's tokenizer, or why there is none. */
export interface FolderTokenizer {
  /** Null where the folder has no tokenizer, or none that can be used (then `tokenizerProblem` says why). */
  readonly tokenizer: Tokenizer | null;
  readonly tokenizerProblem: FerroError | null;
}

/** What leaves the model usable with ids: the tokenizer is sound, but not one that can be run here. A broken file is an error. */
const USABLE_WITHOUT: ReadonlySet<string> = new Set(['UNSUPPORTED_TOKENIZER', 'TOKENIZER_PACKAGE_MISSING']);

/** Texts of files that have been read already, by name; null for one that is not there. */
export type KnownTexts = ReadonlyMap<string, string | null>;

/** The texts of the files that say something about the tokenizer; null without any that holds one. Files of `known` are not read again. */
export async function readTokenizerFiles(
  folder: ReadableFolder,
  options: OpenOptions = {},
  known: KnownTexts = new Map(),
): Promise<Map<string, string> | null> {
  const files = new Map<string, string>();
  const read = async (names: readonly string[]) => {
    for (const name of names) {
      const text = known.has(name) ? known.get(name)! : await readFolderText(folder, name, options);
      if (text !== null) files.set(name, text);
    }
  };
  const [json, ...old] = TOKENIZER_FILES.vocabulary;
  await read([json]);
  if (files.size === 0) await read(old); // tokenizer.json says it all
  if (!files.has(json) && files.size < old.length) return null;
  await read(TOKENIZER_FILES.roles);
  return files;
}

/**
 * Reads a folder's tokenizer.
 * @param vocabSize the model's; the tokenizer may have fewer tokens (a padded vocabulary), not more
 * @param known texts that need not be read again
 * @throws INVALID_TOKENIZER, INVALID_FILE, VOCABULARY_MISMATCH
 */
export async function readTokenizer(
  folder: ReadableFolder,
  vocabSize: number,
  options: OpenOptions = {},
  known?: KnownTexts,
): Promise<FolderTokenizer> {
  const files = await readTokenizerFiles(folder, options, known);
  if (files === null) return { tokenizer: null, tokenizerProblem: null };
  let tokenizer: Tokenizer;
  try {
    tokenizer = await loadTokenizer(files);
  } catch (error) {
    if (error instanceof FerroError && USABLE_WITHOUT.has(error.code)) return { tokenizer: null, tokenizerProblem: error };
    throw error;
  }
  if (tokenizer.vocabSize > vocabSize) {
    throw new FerroError(
      'VOCABULARY_MISMATCH',
      `${folder.label}: the tokenizer must have at most the model's ${vocabSize} tokens, got ${tokenizer.vocabSize}`,
    );
  }
  return { tokenizer, tokenizerProblem: null };
}
