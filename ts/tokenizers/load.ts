// Finds out what kind of tokenizer a folder's files are and reads it: single characters and bytes (as this library writes them, or saved again by Python),
// byte-level BPE (tokenizer.json, or vocab.json with merges.txt), and everything else by the optional package. What cannot be run is a typed error;
// nothing is guessed.
import { FerroError } from '../errors';
import { readAddedTokens, readAddedTokensById, specialToken } from './addedTokens';
import { type BpeModel, mergeLines, readBpeModel, readMerges, readVocabulary } from './bpeModel';
import { BpeTokenizer } from './bpeTokenizer';
import { bytesOfToken } from './byteAlphabet';
import { ByteTokenizer } from './byteTokenizer';
import { CharTokenizer } from './charTokenizer';
import { HuggingFaceTokenizer } from './huggingFaceTokenizer';
import { asObject, flagOf, flatten, invalid, type JsonObject, listOf, objectOrNull, parseFile, show, unsupported } from './json';
import { readNormalizer } from './normalizers';
import { PATTERNS } from './patterns';
import { type Frame, readPostProcessor } from './postProcessor';
import { isByteLevel, readPreTokenizer } from './preTokenizer';
import { readSpecialIds } from './specialIds';
import type { Tokenizer } from './tokenizer';

/** The files of a folder that say something about its tokenizer: the vocabulary in one file or in two, and which tokens have a role. */
export const TOKENIZER_FILES = {
  vocabulary: ['tokenizer.json', 'vocab.json', 'merges.txt'],
  roles: ['tokenizer_config.json', 'special_tokens_map.json', 'generation_config.json'],
} as const;

/** True for a WordLevel model behind a split into single characters: the form that character tokenizers are saved in. */
function isCharacters(root: JsonObject): boolean {
  const split = objectOrNull(root.get('pre_tokenizer'), 'tokenizer.json: pre_tokenizer');
  const pattern = objectOrNull(split?.get('pattern'), 'tokenizer.json: pre_tokenizer.pattern');
  const decoder = objectOrNull(root.get('decoder'), 'tokenizer.json: decoder');
  const single = split?.get('type') === 'Split' && pattern?.get('Regex') === '[\\s\\S]';
  const isolated = (split?.get('behavior') ?? 'Isolated') === 'Isolated' && (split?.get('invert') ?? false) === false;
  return single && isolated && decoder?.get('type') === 'Fuse' && leavesText(root) && addsSpecialAtEnd(root);
}

/** No normalizer, no special tokens around a text. */
function leavesText(root: JsonObject): boolean {
  const { before, after } = readPostProcessor(root.get('post_processor'), 'tokenizer.json: post_processor');
  return (root.get('normalizer') ?? null) === null && before.length + after.length === 0;
}

/** The same, and no added tokens. */
function addsNothing(root: JsonObject): boolean {
  return leavesText(root) && listOf(root.get('added_tokens'), 'tokenizer.json: added_tokens').length === 0;
}

/** Added tokens, if any, are special ones without flags whose ids follow those of the vocabulary. */
function addsSpecialAtEnd(root: JsonObject): boolean {
  const vocab = objectOrNull(objectOrNull(root.get('model'), 'tokenizer.json: model')?.get('vocab'), 'tokenizer.json: model.vocab');
  const added = readAddedTokens(root.get('added_tokens'), 'tokenizer.json: added_tokens');
  return added.every(
    (token, i) =>
      token.id === (vocab?.size ?? 0) + i && token.special && !(token.singleWord || token.lstrip || token.rstrip || token.normalized),
  );
}

function readCharacters(root: JsonObject, model: JsonObject, files: ReadonlyMap<string, string>): CharTokenizer {
  const { tokens } = readVocabulary(asObject(model.get('vocab'), 'tokenizer.json: model.vocab'), 'tokenizer.json: model.vocab');
  const hole = Array.from(tokens).indexOf(undefined);
  if (hole >= 0) throw invalid(`tokenizer.json: model.vocab: ids must be 0 to ${tokens.length - 1}, each once, got none for ${hole}`);
  const added = readAddedTokens(root.get('added_tokens'), 'tokenizer.json: added_tokens').map(({ content }) => content);
  // A tokenizer without special tokens has no roles, whatever the files beside it say.
  if (added.length === 0) return new CharTokenizer(tokens as string[]);
  const idOf = (content: string) => (added.includes(content) ? tokens.length + added.indexOf(content) : undefined);
  return new CharTokenizer(tokens as string[], added, readSpecialIds(files, idOf, tokens.length + added.length));
}

/** The ids' bytes where the vocabulary is the 256 bytes and nothing else; null otherwise. */
function bytesOnly({ tokens, merges }: BpeModel): number[] | null {
  if (merges.length > 0 || tokens.length !== 256) return null;
  const bytes = tokens.map((token) => (token === undefined || token.length !== 1 ? undefined : bytesOfToken(token)?.[0]));
  return bytes.includes(undefined) ? null : (bytes as number[]);
}

/** Decoders that turn byte-level tokens back into text and do nothing else. */
function checkDecoder(root: JsonObject): void {
  const types = flatten(root.get('decoder'), 'decoders', 'tokenizer.json: decoder').map((part) => part.get('type'));
  if (types.filter((type) => type === 'ByteLevel').length !== 1 || types.some((type) => type !== 'ByteLevel' && type !== 'Fuse')) {
    throw unsupported(`tokenizer.json: decoder: a byte-level BPE must have ByteLevel, got ${show(types)}`);
  }
}

async function readByteLevel(root: JsonObject, modelPart: JsonObject, files: ReadonlyMap<string, string>): Promise<Tokenizer> {
  const model = readBpeModel(modelPart);
  const preTokenizer = readPreTokenizer(root.get('pre_tokenizer'), 'tokenizer.json: pre_tokenizer');
  checkDecoder(root);
  const bytes = bytesOnly(model);
  if (bytes !== null && addsNothing(root) && !preTokenizer.addPrefixSpace) return new ByteTokenizer(bytes);
  const added = readAddedTokens(root.get('added_tokens'), 'tokenizer.json: added_tokens');
  const idOf = (content: string) => added.find((token) => token.content === content)?.id ?? model.idOf.get(content);
  return BpeTokenizer.fromParts({
    model,
    preTokenizer,
    added,
    normalizer: readNormalizer(root.get('normalizer'), 'tokenizer.json: normalizer'),
    frame: readPostProcessor(root.get('post_processor'), 'tokenizer.json: post_processor'),
    special: readSpecialIds(files, idOf, Math.max(model.tokens.length, ...added.map(({ id }) => id + 1))),
    files,
  });
}

/** The tokenizers of transformers whose vocab.json and merges.txt mean GPT-2's splitting rule. */
const GPT2_CLASSES = /^(GPT2|CodeGen|PreTrained)Tokenizer(Fast)?$|^TokenizersBackend$/;
const END_OF_TEXT = '<|endoftext|>';

/** GPT-2's two files; the special tokens are those that tokenizer_config.json lists, else `<|endoftext|>`. */
async function readVocabAndMerges(files: ReadonlyMap<string, string>): Promise<BpeTokenizer> {
  const vocabulary = readVocabulary(parseFile('vocab.json', files.get('vocab.json')!), 'vocab.json');
  const merges = readMerges(mergeLines(files.get('merges.txt')!), vocabulary.idOf, 'merges.txt');
  const configText = files.get('tokenizer_config.json');
  const config = configText === undefined ? new Map<string, unknown>() : parseFile('tokenizer_config.json', configText);
  const kind = config.get('tokenizer_class') ?? 'GPT2Tokenizer';
  if (typeof kind !== 'string' || !GPT2_CLASSES.test(kind)) {
    throw unsupported(`vocab.json, merges.txt: without tokenizer.json the tokenizer_class must be GPT-2's, got ${show(kind)}`);
  }
  const listed = readAddedTokensById(config.get('added_tokens_decoder'), 'tokenizer_config.json: added_tokens_decoder');
  const named = [END_OF_TEXT, ...['bos_token', 'eos_token', 'pad_token'].map((role) => config.get(role))].flatMap((value) => {
    const content = typeof value === 'string' ? value : value instanceof Object ? (value as { content?: unknown }).content : undefined;
    const id = typeof content === 'string' ? vocabulary.idOf.get(content) : undefined;
    return id === undefined ? [] : [specialToken(id, content as string)];
  });
  const added = [...new Map([...named, ...listed].map((token) => [token.id, token])).values()];
  const special = readSpecialIds(files, (content) => added.find((token) => token.content === content)?.id, vocabulary.tokens.length);
  const end = added.find((token) => token.content === END_OF_TEXT)?.id ?? null;
  const ids = { bosId: special.bosId ?? end, eosId: special.eosId ?? end, padId: special.padId };
  return BpeTokenizer.fromParts({
    model: { ...vocabulary, merges, ignoreMerges: false },
    preTokenizer: {
      steps: [{ pattern: PATTERNS.gpt2, behavior: 'Isolated', invert: false }],
      addPrefixSpace: flagOf(config.get('add_prefix_space'), 'tokenizer_config.json: add_prefix_space', false),
    },
    added,
    normalizer: null,
    frame: configuredFrame(config, ids),
    special: ids,
    files,
  });
}

/** What `add_bos_token` and `add_eos_token` ask for; they count only where there is no tokenizer.json, as in transformers. */
function configuredFrame(config: JsonObject, { bosId, eosId }: { bosId: number | null; eosId: number | null }): Frame {
  const wanted = (key: string, id: number | null) =>
    flagOf(config.get(key), `tokenizer_config.json: ${key}`, false) && id !== null ? [id] : [];
  return { before: wanted('add_bos_token', bosId), after: wanted('add_eos_token', eosId) };
}

/**
 * The tokenizer of a folder's files.
 * @param files texts by file name (those of TOKENIZER_FILES; others are ignored), or the text of a tokenizer.json alone
 * @throws FILE_NOT_FOUND without tokenizer.json and without vocab.json and merges.txt; INVALID_TOKENIZER if a file is not what it must be;
 *   UNSUPPORTED_TOKENIZER if it asks for what this library does not do; TOKENIZER_PACKAGE_MISSING if it needs `@huggingface/tokenizers`
 */
export async function loadTokenizer(files: string | ReadonlyMap<string, string>): Promise<Tokenizer> {
  const byName = typeof files === 'string' ? new Map([['tokenizer.json', files]]) : new Map(files);
  const text = byName.get('tokenizer.json');
  if (text === undefined) {
    if (byName.has('vocab.json') && byName.has('merges.txt')) return readVocabAndMerges(byName);
    throw new FerroError('FILE_NOT_FOUND', 'tokenizer: must have tokenizer.json, or vocab.json and merges.txt, got neither');
  }
  const root = parseFile('tokenizer.json', text);
  const model = asObject(root.get('model'), 'tokenizer.json: model');
  // Old files do not name the model's type: only BPE has merges.
  const type = model.get('type') ?? (model.has('merges') ? 'BPE' : undefined);
  if (typeof type !== 'string') throw invalid(`tokenizer.json: model.type: must be text, got ${show(type)}`);
  if (type === 'WordLevel' && isCharacters(root)) return readCharacters(root, model, byName);
  if (type === 'BPE' && isByteLevel(root.get('pre_tokenizer'))) return readByteLevel(root, model, byName);
  if (!['BPE', 'Unigram', 'WordPiece', 'WordLevel'].includes(type)) throw unsupported(`tokenizer.json: model.type: got ${show(type)}`);
  return HuggingFaceTokenizer.open(root, byName);
}
