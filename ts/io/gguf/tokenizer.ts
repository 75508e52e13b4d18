// A tokenizer as GGUF metadata, read off its tokenizer.json: what llama.cpp needs to give the same ids. What it would split differently is refused, never
// approximated. llama.cpp knows byte-level BPE as model "gpt2" with a named rule of splitting, and single characters or bytes as "rwkv".
import { FerroError } from '../../errors';
import { PATTERNS, type SpecialIds } from '../../tokenizers';
import { byteAlphabet } from '../../tokenizers/byteAlphabet';
import type { GgufValue } from './container';

type Json = Record<string, unknown>;

/** enum llama_token_type, as far as it occurs here. */
const TOKEN_TYPES = { normal: 1, control: 3, userDefined: 4, unused: 5 } as const;

/** Splitting rules of tokenizer.json files and llama.cpp's names for them; `ignoring` where a token that stands for a whole word goes before merges. */
const RULES: readonly { regex: string; plain: string | null; ignoring: string | null }[] = [
  { regex: PATTERNS.cl100k, plain: 'dbrx', ignoring: 'llama-bpe' },
  { regex: PATTERNS.qwen2, plain: 'qwen2', ignoring: null },
];

const refused = (rule: string, got: unknown): FerroError =>
  new FerroError(
    'NOT_SUPPORTED',
    `export: ${rule}, got ${typeof got === 'string' ? got : JSON.stringify(got)} (llama.cpp has no tokenizer that would give the same ids)`,
  );

const isObject = (value: unknown): value is Json => typeof value === 'object' && value !== null && !Array.isArray(value);
const listOf = (value: unknown): Json[] => (Array.isArray(value) ? value.filter(isObject) : []);

/** Tokens, types and merges of one vocabulary. */
interface Vocabulary {
  /** By id; undefined where no token has the id. */
  tokens: (string | undefined)[];
  types: number[];
  merges: string[] | null;
  /** llama.cpp's name of the splitting rule of its model "gpt2"; null for its model "rwkv", which has neither rule nor merges. */
  pre: string | null;
  /** What "rwkv" takes for a byte that no token begins with. */
  unknownId?: number;
}

/** What surrounds a text: from the post-processor. */
interface Surroundings {
  addBos: boolean;
  addEos: boolean;
  bosToken?: string;
  eosToken?: string;
}

/**
 * The tokenizer's metadata.
 * @param files the tokenizer's, by name: tokenizer.json, and tokenizer_config.json where there is one
 * @param vocabSize the model's; ids without a token are filled up with unused ones
 * @throws NOT_SUPPORTED for kinds, splitting rules and normalizers that llama.cpp does not have
 */
export function tokenizerMetadata(files: ReadonlyMap<string, string>, ids: SpecialIds, vocabSize: number): Map<string, GgufValue> {
  const json = JSON.parse(files.get('tokenizer.json') ?? '{}') as Json;
  const model = isObject(json.model) ? json.model : {};
  const { tokens, types, merges, pre, unknownId } = vocabularyOf(json, model, vocabSize);
  addTokens(json, tokens, types);
  for (let id = 0; id < vocabSize; id++) {
    if (tokens[id] !== undefined) continue;
    tokens[id] = `[PAD${id}]`;
    types[id] = TOKEN_TYPES.unused;
  }
  const metadata = new Map<string, GgufValue>([
    ['tokenizer.ggml.model', { type: 'string', value: pre === null ? 'rwkv' : 'gpt2' }],
    ...(pre === null ? [] : ([['tokenizer.ggml.pre', { type: 'string', value: pre }]] as const)),
    ['tokenizer.ggml.tokens', { type: 'strings', value: tokens as string[] }],
    ['tokenizer.ggml.token_type', { type: 'i32s', value: types }],
    ...(merges === null ? [] : ([['tokenizer.ggml.merges', { type: 'strings', value: merges }]] as const)),
  ]);
  if (unknownId !== undefined) metadata.set('tokenizer.ggml.unknown_token_id', { type: 'u32', value: unknownId });
  const unused = types.indexOf(TOKEN_TYPES.unused);
  addSpecialIds(metadata, surroundings(json.post_processor), ids, tokens, unused < 0 ? null : unused);
  const template = (JSON.parse(files.get('tokenizer_config.json') ?? '{}') as Json).chat_template;
  if (typeof template === 'string') metadata.set('tokenizer.chat_template', { type: 'string', value: template });
  return metadata;
}

/** Which tokens begin and end a text. llama.cpp's "gpt2" takes id 11 for what is not said, so it is always said. */
function addSpecialIds(
  metadata: Map<string, GgufValue>,
  around: Surroundings,
  ids: SpecialIds,
  tokens: readonly unknown[],
  unused: number | null,
): void {
  const idOf = (token: string | undefined): number | null => (token === undefined ? null : tokens.indexOf(token));
  const bos = idOf(around.bosToken) ?? ids.bosId;
  const gpt2 = metadata.get('tokenizer.ggml.model')?.value === 'gpt2';
  // An id that no text has, and that training has therefore made unlikely, can stand for the end that the tokenizer does not have.
  const eos = idOf(around.eosToken) ?? ids.eosId ?? (gpt2 && bos === null ? unused : null);
  if (eos === null && bos === null && gpt2) throw refused('a BPE tokenizer must have a beginning- or end-of-text token', 'neither');
  const set = (key: string, id: number | null) => {
    if (id !== null) metadata.set(`tokenizer.ggml.${key}`, { type: 'u32', value: id });
  };
  set('bos_token_id', bos ?? eos);
  set('eos_token_id', eos ?? bos);
  set('padding_token_id', ids.padId);
  metadata.set('tokenizer.ggml.add_bos_token', { type: 'bool', value: around.addBos });
  metadata.set('tokenizer.ggml.add_eos_token', { type: 'bool', value: around.addEos });
}

/** Puts added tokens at their ids, with the type that says how they are matched. */
function addTokens(json: Json, tokens: (string | undefined)[], types: number[]): void {
  for (const { id, content, special, lstrip, rstrip, single_word } of listOf(json.added_tokens)) {
    if (lstrip === true || rstrip === true || single_word === true) {
      throw refused('added tokens must have no flags lstrip, rstrip or single_word', content);
    }
    tokens[id as number] = content as string;
    types[id as number] = special === true ? TOKEN_TYPES.control : TOKEN_TYPES.userDefined;
  }
}

/** Byte-level BPE: the vocabulary as it is, merges as "left right". */
function byteLevelVocabulary(json: Json, model: Json): Vocabulary {
  if (model.type !== 'BPE' || !isObject(model.vocab))
    throw refused('the tokenizer must be of bytes, characters or byte-level BPE', model.type);
  if (json.normalizer !== null && json.normalizer !== undefined) throw refused('the tokenizer must have no normalizer', json.normalizer);
  for (const key of ['continuing_subword_prefix', 'end_of_word_suffix', 'byte_fallback', 'dropout']) {
    if (Boolean(model[key]) === true) throw refused(`the BPE must be byte-level, without "${key}"`, model[key]);
  }
  const tokens: (string | undefined)[] = [];
  const types: number[] = [];
  for (const [token, id] of Object.entries(model.vocab)) {
    tokens[id as number] = token;
    types[id as number] = TOKEN_TYPES.normal;
  }
  const merges = (Array.isArray(model.merges) ? model.merges : []).map((merge) => (Array.isArray(merge) ? merge.join(' ') : String(merge)));
  return { tokens, types, merges, pre: splittingRule(json.pre_tokenizer, merges.length > 0, model.ignore_merges === true) };
}

/** llama.cpp's name for a pre-tokenizer. */
function splittingRule(pre: unknown, merges: boolean, ignoreMerges: boolean): string {
  const steps = isObject(pre) && pre.type === 'Sequence' ? listOf(pre.pretokenizers) : isObject(pre) ? [pre] : [];
  const last = steps.at(-1);
  if (last?.type !== 'ByteLevel') throw refused('the pre-tokenizer must end in bytes', pre);
  if (last.add_prefix_space === true) throw refused('the pre-tokenizer must not add a space in front', pre);
  if (!merges) return 'gpt-2'; // single bytes and added tokens: no rule of splitting changes them
  const [first] = steps;
  if (steps.length === 1 && last.use_regex !== false && !ignoreMerges) return 'gpt-2';
  if (steps.length === 2 && last.use_regex !== false && first.type === 'Digits' && first.individual_digits === true && !ignoreMerges)
    return 'smollm';
  if (steps.length === 2 && last.use_regex === false && first.type === 'Split' && first.behavior === 'Isolated' && first.invert !== true) {
    const regex = isObject(first.pattern) ? first.pattern.Regex : undefined;
    const known = RULES.find((rule) => rule.regex === regex);
    const name = ignoreMerges ? known?.ignoring : known?.plain;
    if (typeof name === 'string') return name;
  }
  throw refused('the rule of splitting must be one that llama.cpp has (GPT-2, SmolLM, Llama 3, Qwen 2)', pre);
}

/** The vocabulary in the model that llama.cpp has for its kind. */
function vocabularyOf(json: Json, model: Json, vocabSize: number): Vocabulary {
  if (listOf(json.added_tokens).length === 0 && isObject(model.vocab)) {
    const split = json.pre_tokenizer;
    const single = isObject(split) && split.type === 'Split' && isObject(split.pattern) && split.pattern.Regex === '[\\s\\S]';
    if (model.type === 'WordLevel' && single) return charVocabulary(model.vocab, vocabSize);
    const byteLevel = model.type === 'BPE' && isObject(split) && split.type === 'ByteLevel';
    if (byteLevel && Array.isArray(model.merges) && model.merges.length === 0)
      return byteVocabulary(model.vocab) ?? byteLevelVocabulary(json, model);
  }
  return byteLevelVocabulary(json, model);
}

/**
 * Characters: llama.cpp's "gpt2" where an id is left for the end of the text, which it must have (it takes id 11, some character, otherwise). A character of
 * more bytes is built up from the left by merges whose steps are no tokens. Without such an id its "rwkv", which has no end and takes the longest token that
 * fits, but reads an unknown character that begins like a known one for ever: so only where every character is one byte.
 * Ids are the same for every text of known characters; an unknown one is an error here, left out by "gpt2" and a space (or the first token) for "rwkv".
 */
function charVocabulary(vocab: Json, vocabSize: number): Vocabulary {
  const alphabet = byteAlphabet();
  const characters: string[] = [];
  for (const [character, id] of Object.entries(vocab)) characters[id as number] = character;
  const types = characters.map(() => TOKEN_TYPES.normal);
  if (characters.length < vocabSize) {
    const spelled = characters.map((character) => Array.from(new TextEncoder().encode(character), (byte) => alphabet[byte]));
    const steps = spelled.flatMap((letters) => letters.slice(1).map((letter, n) => `${letters.slice(0, n + 1).join('')} ${letter}`));
    return { tokens: spelled.map((letters) => letters.join('')), types, merges: [...new Set(steps)], pre: 'gpt-2' };
  }
  const wide = characters.find((character) => character.codePointAt(0)! > 0x7f);
  if (wide !== undefined) {
    const rule = `characters beyond ASCII need an id that no character has: make the model with "vocabSize" ${characters.length + 1}, or use a byte or BPE tokenizer`;
    throw refused(rule, wide);
  }
  const tokens = characters.map((character) => escapedByte(character.charCodeAt(0)));
  return { tokens, types, merges: null, pre: null, unknownId: Math.max(0, characters.indexOf(' ')) };
}

/** The 256 bytes: llama.cpp's "rwkv". Null where they are not all there. */
function byteVocabulary(vocab: Json): Vocabulary | null {
  const byteOf = new Map(byteAlphabet().map((letter, byte) => [letter, byte]));
  const tokens: string[] = [];
  for (const [token, id] of Object.entries(vocab)) {
    const byte = byteOf.get(token);
    if (byte === undefined) return null;
    tokens[id as number] = escapedByte(byte);
  }
  return tokens.length === 256 ? { tokens, types: tokens.map(() => TOKEN_TYPES.normal), merges: null, pre: null } : null;
}

/** A byte as "rwkv" writes tokens: with a backslash and two digits where it is not printable ASCII. */
function escapedByte(byte: number): string {
  const plain = byte > 0x20 && byte < 0x7f && byte !== 0x5c;
  return plain ? String.fromCharCode(byte) : `\\x${byte.toString(16).padStart(2, '0')}`;
}

/** Whether a beginning- or end-of-text token is put around a text. */
function surroundings(processor: unknown): Surroundings {
  const around: Surroundings = { addBos: false, addEos: false };
  const steps =
    isObject(processor) && processor.type === 'Sequence' ? listOf(processor.processors) : isObject(processor) ? [processor] : [];
  for (const step of steps) {
    if (step.type === 'ByteLevel') continue;
    if (step.type !== 'TemplateProcessing') throw refused('the post-processor must be a template', step.type);
    const names = listOf(step.single).map((part) => (isObject(part.SpecialToken) ? String(part.SpecialToken.id) : null));
    const text = names.indexOf(null);
    const [before, after] = [names.slice(0, text), names.slice(text + 1)];
    if (text < 0 || before.length > 1 || after.length > 1) throw refused('a template must add at most one token on each side', step.single);
    const idsOf = (name: string | null): string => {
      const entry = isObject(step.special_tokens) ? step.special_tokens[String(name)] : undefined;
      const list = isObject(entry) && Array.isArray(entry.tokens) ? entry.tokens : [name];
      if (list.length !== 1) throw refused('a special token of a template must be one token', name);
      return String(list[0]);
    };
    if (before.length === 1) Object.assign(around, { addBos: true, bosToken: idsOf(before[0]) });
    if (after.length === 1) Object.assign(around, { addEos: true, eosToken: idsOf(after[0]) });
  }
  return around;
}
