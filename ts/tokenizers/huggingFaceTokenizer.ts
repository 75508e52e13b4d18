// Tokenizers that are not byte-level BPE (Unigram, WordPiece, SentencePiece's BPE, words): run by the optional package `@huggingface/tokenizers` behind this
// library's interface. Here lie special tokens, streams, checks and files; how a text is split is the package's business.
import { FerroError } from '../errors';
import { sha256Hex } from '../math/sha256';
import { type AddedToken, checkAllowed, readAddedTokens } from './addedTokens';
import { asObject, idOf, invalid, type JsonObject, show } from './json';
import { type Frame, readPostProcessor } from './postProcessor';
import { readSpecialIds, type SpecialIds } from './specialIds';
import type { DecodeOptions, EncodeOptions, StreamingDecoder, StreamingEncoder, Tokenizer } from './tokenizer';
import { checkId } from './tokenizer';

/** What is used of the package. */
interface PackageTokenizer {
  encode(text: string, options: { add_special_tokens: boolean }): { ids: number[] };
  decode(ids: number[], options: { skip_special_tokens: boolean; clean_up_tokenization_spaces: boolean }): string;
  get_vocab(withAddedTokens: boolean): Map<string, number>;
}
interface Package {
  Tokenizer: new (tokenizer: object, config: object) => PackageTokenizer;
}

/** A tokenizer.json in the form the package takes, its vocabulary checked. */
interface Root {
  added_tokens?: { content: string; special?: boolean }[] | null;
  model: { vocab: [text: string, score: number][] | Record<string, number>; unk_token?: string | null; unk_id?: number | null };
}

/** Loads the package; a literal name inside `try`, so that bundlers take it along where it is installed and go on where it is not. */
async function loadPackage(): Promise<Package> {
  try {
    return (await import('@huggingface/tokenizers')) as unknown as Package;
  } catch (cause) {
    throw new FerroError(
      'TOKENIZER_PACKAGE_MISSING',
      'tokenizer.json: this type of tokenizer needs the package @huggingface/tokenizers (npm install @huggingface/tokenizers), got no such package',
      { cause },
    );
  }
}

/** Never in a text, so never found in one. */
const UNREACHABLE = '\uffff';

/**
 * Checks the vocabulary before the package sees it: it would fill a list up to the largest id. A list's pieces have the ids of their places.
 * @throws INVALID_TOKENIZER
 */
function checkVocabulary(model: JsonObject): void {
  const name = 'tokenizer.json: model.vocab';
  const vocab = model.get('vocab');
  if (Array.isArray(vocab)) {
    const wrong = vocab.findIndex((piece) => !Array.isArray(piece));
    if (wrong >= 0) throw invalid(`${name}: pieces must be lists of text and score, got another at ${wrong}`);
  } else {
    for (const [token, id] of asObject(vocab, name)) idOf(id, `${name}[${show(token)}]`);
  }
}

/**
 * A copy in which only the special tokens of `allowed` are there for texts: the others are neither added tokens nor pieces of the vocabulary (a Unigram
 * model would find `</s>` there). The unknown token stays.
 */
function withSpecial(json: string, allowed: ReadonlySet<string>): Root {
  const root = JSON.parse(json) as Root;
  const hidden = new Set(
    (root.added_tokens ?? []).filter((token) => token.special === true && !allowed.has(token.content)).map(({ content }) => content),
  );
  root.added_tokens = (root.added_tokens ?? []).filter((token) => !hidden.has(token.content));
  const { model } = root;
  if (Array.isArray(model.vocab)) {
    model.vocab = model.vocab.map((piece, id): [string, number] =>
      hidden.has(piece[0]) && id !== model.unk_id ? [`${UNREACHABLE}${id}${UNREACHABLE}`, piece[1]] : piece,
    );
  } else {
    const kept = Object.entries(model.vocab).filter(([token]) => !hidden.has(token) || token === model.unk_token);
    model.vocab = Object.fromEntries(kept);
  }
  return root;
}

/** A lone surrogate counts as U+FFFD. */
const wellFormed = (text: string): string => text.replace(/\p{Surrogate}/gu, '\ufffd');

/** What the file says besides how a text is split. */
interface Parts {
  readonly json: string;
  readonly files: ReadonlyMap<string, string>;
  readonly added: readonly AddedToken[];
  readonly frame: Frame;
  readonly special: SpecialIds;
  readonly vocabulary: ReadonlyMap<string, number>;
}

/** A tokenizer that the package runs. */
export class HuggingFaceTokenizer implements Tokenizer {
  readonly kind = 'huggingface';
  readonly vocabSize: number;
  readonly bosId: number | null;
  readonly eosId: number | null;
  readonly padId: number | null;
  readonly hash: string;
  readonly #parts: Parts;
  readonly #package: Package;
  /** With all special tokens; it also decodes. */
  readonly #all: PackageTokenizer;
  /** By the special tokens that count in a text. */
  readonly #instances = new Map<string, PackageTokenizer>();
  readonly #tokens: (string | undefined)[] = [];

  private constructor(parts: Parts, pack: Package, all: PackageTokenizer) {
    this.#parts = parts;
    this.#package = pack;
    this.#all = all;
    for (const [token, id] of parts.vocabulary) this.#tokens[id] = token;
    this.vocabSize = this.#tokens.length;
    this.hash = sha256Hex(parts.json);
    ({ bosId: this.bosId, eosId: this.eosId, padId: this.padId } = parts.special);
  }

  /**
   * @internal
   * @throws TOKENIZER_PACKAGE_MISSING without the package; INVALID_TOKENIZER, UNSUPPORTED_TOKENIZER for a file that it cannot run
   */
  static async open(root: JsonObject, files: ReadonlyMap<string, string>, load = loadPackage): Promise<HuggingFaceTokenizer> {
    return HuggingFaceTokenizer.#open(root, files, load).catch((error: unknown) => {
      throw error instanceof FerroError ? error : unsupportedBy(error as Error);
    });
  }

  static async #open(root: JsonObject, files: ReadonlyMap<string, string>, load: typeof loadPackage): Promise<HuggingFaceTokenizer> {
    const json = files.get('tokenizer.json')!;
    const name = 'tokenizer.json';
    const added = readAddedTokens(root.get('added_tokens'), `${name}: added_tokens`);
    const frame = readPostProcessor(root.get('post_processor'), `${name}: post_processor`);
    const pack = await load();
    checkVocabulary(asObject(root.get('model'), `${name}: model`));
    const all = create(pack, withSpecial(json, new Set(added.map(({ content }) => content))));
    const vocabulary = new Map([...all.get_vocab(true)].filter(([token]) => token !== undefined));
    if (vocabulary.size === 0) throw invalid(`${name}: model.vocab: must have tokens, got none`);
    const special = readSpecialIds(files, (content) => vocabulary.get(content), Math.max(...vocabulary.values()) + 1);
    return new HuggingFaceTokenizer({ json, files, added, frame, special, vocabulary }, pack, all);
  }

  /** The added tokens, special ones among them. */
  get addedTokens(): readonly AddedToken[] {
    return this.#parts.added;
  }

  encode(text: string, options: EncodeOptions = {}): Int32Array {
    const { addSpecialTokens = false } = options;
    const { before, after } = this.#parts.frame;
    const ids = this.#run(this.#instance(options), text);
    return Int32Array.from(addSpecialTokens ? [...before, ...ids, ...after] : ids);
  }

  /** Nothing is certain before the end: pieces of such tokenizers may reach over any border. */
  encoder(options: EncodeOptions = {}): StreamingEncoder {
    let held: string[] = [];
    return {
      push: (text) => {
        held.push(text);
        return new Int32Array(0);
      },
      flush: () => {
        const text = held.join('');
        held = [];
        return this.encode(text, options);
      },
    };
  }

  decode(ids: ArrayLike<number>, options: DecodeOptions = {}): string {
    const list = Array.from(ids);
    for (const [position, id] of list.entries()) this.#check('decode', id, position);
    if (list.length === 0) return '';
    const { skipSpecialTokens = false } = options;
    return typed(() => this.#all.decode(list, { skip_special_tokens: skipSpecialTokens, clean_up_tokenization_spaces: false }));
  }

  /** Text is certain once the ids after it no longer change it: a window of ids is decoded twice, without and with the new ones. */
  decoder(options: DecodeOptions = {}): StreamingDecoder {
    let window: number[] = [];
    let settled = 0;
    const rest = () => this.decode(window, options).slice(this.decode(window.slice(0, settled), options).length);
    return {
      push: (ids) => {
        const list = typeof ids === 'number' ? [ids] : Array.from(ids);
        for (const [position, id] of list.entries()) this.#check('decode', id, position);
        window.push(...list);
        const text = rest();
        if (text === '' || text.endsWith('\ufffd')) return '';
        window = window.slice(settled);
        settled = window.length;
        return text;
      },
      flush: () => {
        const text = rest();
        window = [];
        settled = 0;
        return text;
      },
    };
  }

  /** Bytes of the token's own text: `▁` is a space, `##` nothing, `<0x41>` one byte. */
  byteLength(id: number): number {
    checkId('byteLength', id, this.vocabSize, 0);
    const token = this.#tokens[id];
    if (token === undefined) return 0;
    if (/^<0x[0-9A-F]{2}>$/.test(token)) return 1;
    return new TextEncoder().encode(token.replace(/^##/, '').replaceAll('▁', ' ')).length;
  }

  /** The files as they were read. */
  toFiles(): Map<string, string> {
    const kept = ['tokenizer.json', 'tokenizer_config.json', 'special_tokens_map.json'] as const;
    return new Map(kept.flatMap((name) => (this.#parts.files.has(name) ? [[name, this.#parts.files.get(name)!] as const] : [])));
  }

  #check(op: string, id: number, position: number): void {
    checkId(op, id, this.vocabSize, position);
    if (this.#tokens[id] === undefined)
      throw new FerroError('TOKEN_OUT_OF_RANGE', `${op}: a token must have the id, got ${id} at position ${position}`);
  }

  #run(instance: PackageTokenizer, text: string): readonly number[] {
    const { ids } = typed(() => instance.encode(wellFormed(text), { add_special_tokens: false }));
    // The package gives undefined for what has no id: never pass that on.
    const unknown = ids.findIndex((id) => !Number.isInteger(id));
    if (unknown >= 0)
      throw new FerroError(
        'UNKNOWN_CHARACTER',
        `encode: every character must be in the vocabulary, got one that is not at token ${unknown}`,
      );
    const outside = ids.find((id) => id < 0 || id >= this.vocabSize);
    if (outside !== undefined)
      throw invalid(`tokenizer.json: model.vocab: ids must be integers from 0 to ${this.vocabSize - 1}, got ${outside}`);
    return ids;
  }

  #instance({ allowSpecial = false }: EncodeOptions): PackageTokenizer {
    const special = this.#parts.added.filter((token) => token.special).map(({ content }) => content);
    const list = new Set(allowSpecial === true ? special : allowSpecial === false ? [] : allowSpecial);
    checkAllowed(list, this.#parts.added);
    if (special.every((content) => list.has(content))) return this.#all;
    const key = JSON.stringify([...list].sort());
    const found = this.#instances.get(key) ?? create(this.#package, withSpecial(this.#parts.json, list));
    this.#instances.set(key, found);
    return found;
  }
}

function create(pack: Package, root: Root): PackageTokenizer {
  return typed(() => new pack.Tokenizer(root, { clean_up_tokenization_spaces: false }));
}

/** What the package does, its errors as ours: it meets what it cannot run only when it is used. */
function typed<T>(work: () => T): T {
  try {
    return work();
  } catch (cause) {
    throw unsupportedBy(cause as Error);
  }
}

function unsupportedBy(cause: Error): FerroError {
  return new FerroError(
    'UNSUPPORTED_TOKENIZER',
    `tokenizer.json: must be one that @huggingface/tokenizers can run, got its error: ${cause.message}`,
    {
      cause,
    },
  );
}
