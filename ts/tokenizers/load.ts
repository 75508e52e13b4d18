// Reads a tokenizer.json of the kinds this library has: single characters (WordLevel behind a split on `[\s\S]`) and bytes (byte-level BPE without
// merges), written by this library or saved again by Python. Anything else is a typed error that says what is not supported; nothing is guessed.
import { FerroError } from '../errors';
import { parseJson } from '../json';
import { ByteTokenizer, byteAlphabet } from './byteTokenizer';
import { CharTokenizer } from './charTokenizer';
import type { Tokenizer } from './tokenizer';

type JsonObject = Map<string, unknown>;

const invalid = (rule: string): FerroError => new FerroError('INVALID_TOKENIZER', `tokenizer.json: ${rule}`);
const notBuilt = (what: string): FerroError =>
  new FerroError('NOT_BUILT', `tokenizer.json: only character and byte tokenizers can be read so far, got ${what}`);

/** A value's short form for messages. */
function show(value: unknown): string {
  const text = value instanceof Map ? JSON.stringify(Object.fromEntries(value)) : (JSON.stringify(value) ?? 'nothing');
  return text.length > 80 ? `${text.slice(0, 77)}…` : text;
}

function asObject(value: unknown, name: string): JsonObject {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw invalid(`${name} must be an object, got ${show(value)}`);
  return new Map(Object.entries(value));
}

function objectOrNull(value: unknown, name: string): JsonObject | null {
  return value === null || value === undefined ? null : asObject(value, name);
}

function listIn(owner: JsonObject, key: string): readonly unknown[] {
  const value = owner.get(key);
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) throw invalid(`${key} must be a list, got ${show(value)}`);
  return value;
}

/** The vocabulary as tokens by id: every id from 0 on exactly once. */
function tokensById(model: JsonObject): string[] {
  const vocab = asObject(model.get('vocab'), 'model.vocab');
  const tokens = new Array<string | undefined>(vocab.size);
  for (const [token, id] of vocab) {
    if (typeof id !== 'number' || !Number.isInteger(id) || id < 0 || id >= vocab.size || tokens[id] !== undefined) {
      throw invalid(`ids must be 0 to ${vocab.size - 1}, each once, got ${show(id)} for ${show(token)}`);
    }
    tokens[id] = token;
  }
  return tokens as string[];
}

/** True when every present key of `part` has the value given (absent keys are the defaults of Hugging Face's reader). */
function matches(part: JsonObject | null, expected: Record<string, unknown>): boolean {
  if (part === null) return false;
  return Object.entries(expected).every(([key, value]) => !part.has(key) || part.get(key) === value);
}

function isByteLevel(part: JsonObject | null): boolean {
  return part?.get('type') === 'ByteLevel';
}

/** Post-processors that leave the ids of a text alone: ByteLevel (it moves offsets only) and the template "the text and nothing else". */
function addsNothing(postProcessor: JsonObject): boolean {
  if (isByteLevel(postProcessor)) return true;
  const [only, ...more] = postProcessor.get('type') === 'TemplateProcessing' ? listIn(postProcessor, 'single') : [];
  const sequence = (Object(only) as { Sequence?: { id?: unknown } }).Sequence;
  return more.length === 0 && sequence?.id === 'A';
}

function readChar(root: JsonObject, model: JsonObject): Tokenizer {
  const split = objectOrNull(root.get('pre_tokenizer'), 'pre_tokenizer');
  const pattern = split === null ? null : objectOrNull(split.get('pattern'), 'pre_tokenizer.pattern');
  const single = split?.get('type') === 'Split' && pattern?.get('Regex') === '[\\s\\S]';
  if (!single || !matches(split, { behavior: 'Isolated', invert: false }))
    throw notBuilt(`a WordLevel model behind ${show(root.get('pre_tokenizer'))}`);
  const decoder = objectOrNull(root.get('decoder'), 'decoder');
  if (decoder?.get('type') !== 'Fuse') throw notBuilt(`a WordLevel model with the decoder ${show(root.get('decoder'))}`);
  return new CharTokenizer(tokensById(model));
}

function readByte(root: JsonObject, model: JsonObject): Tokenizer {
  const merges = listIn(model, 'merges');
  if (merges.length > 0) throw notBuilt(`a BPE with ${merges.length} merges`);
  const preTokenizer = objectOrNull(root.get('pre_tokenizer'), 'pre_tokenizer');
  const decoder = objectOrNull(root.get('decoder'), 'decoder');
  if (!isByteLevel(preTokenizer) || !isByteLevel(decoder)) throw notBuilt('a BPE that is not byte-level');
  // Without merges the split into words changes nothing; a space in front does.
  if (preTokenizer?.get('add_prefix_space') !== false) throw notBuilt('a byte-level BPE with add_prefix_space');
  const plain = { dropout: null, unk_token: null, continuing_subword_prefix: null, end_of_word_suffix: null };
  for (const [key, value] of Object.entries(plain)) {
    const got = model.get(key) ?? null;
    if (got !== value && got !== '') throw notBuilt(`a BPE with ${key} ${show(got)}`);
  }
  const byteOf = new Map(byteAlphabet().map((character, byte) => [character, byte]));
  const bytes = tokensById(model).map((token) => {
    const byte = byteOf.get(token);
    if (byte === undefined) throw notBuilt(`a byte-level BPE with the token ${show(token)}`);
    return byte;
  });
  if (bytes.length !== 256) throw invalid(`a byte vocabulary must have 256 tokens, got ${bytes.length}`);
  return new ByteTokenizer(bytes);
}

/** The files of a model folder that say something about its tokenizer. */
export const TOKENIZER_FILES = ['tokenizer.json'] as const;

/**
 * The tokenizer of a folder's files.
 * @param files texts by file name (`tokenizer.json`, …: see TOKENIZER_FILES, others are ignored), or the text of a tokenizer.json alone
 * @throws INVALID_TOKENIZER if the text is not a tokenizer.json; NOT_BUILT if it is one of a kind that this library does not have.
 */
export async function loadTokenizer(files: string | ReadonlyMap<string, string>): Promise<Tokenizer> {
  const tokenizerJson = typeof files === 'string' ? files : files.get('tokenizer.json');
  if (tokenizerJson === undefined) throw new FerroError('FILE_NOT_FOUND', 'tokenizer: the files must have tokenizer.json, got none');
  let parsed: unknown;
  try {
    parsed = parseJson(tokenizerJson);
  } catch (cause) {
    throw new FerroError('INVALID_TOKENIZER', `tokenizer.json: must be JSON, got ${(cause as Error).message}`, { cause });
  }
  const root = asObject(parsed, 'the file');
  const model = asObject(root.get('model'), 'model');
  const type = model.get('type');
  if (typeof type !== 'string') throw invalid(`model.type must be a name, got ${show(type)}`);
  if (type !== 'WordLevel' && type !== 'BPE') throw notBuilt(`a ${type} model`);
  if (objectOrNull(root.get('normalizer'), 'normalizer') !== null) throw notBuilt(`the normalizer ${show(root.get('normalizer'))}`);
  const postProcessor = objectOrNull(root.get('post_processor'), 'post_processor');
  if (postProcessor !== null && !addsNothing(postProcessor)) throw notBuilt(`the post-processor ${show(root.get('post_processor'))}`);
  const added = listIn(root, 'added_tokens');
  if (added.length > 0) throw notBuilt(`${added.length} added tokens`);
  return type === 'WordLevel' ? readChar(root, model) : readByte(root, model);
}
