import { describe, expect, test } from 'vitest';
import { FerroError } from '../errors';
import { ByteTokenizer } from './byteTokenizer';
import { CharTokenizer } from './charTokenizer';
import { loadTokenizer } from './load';

const jsonOf = (tokenizer: CharTokenizer | ByteTokenizer) => tokenizer.toFiles().get('tokenizer.json')!;
const charJson = jsonOf(CharTokenizer.fromText('abc'));
const byteJson = jsonOf(new ByteTokenizer());

/** The parts of a tokenizer.json that the tests change, of whatever type. */
interface Root {
  [key: string]: unknown;
  added_tokens: unknown[];
  pre_tokenizer: { [key: string]: unknown; pattern?: Record<string, unknown> };
  model: { [key: string]: unknown; vocab: Record<string, unknown> };
}

/** A byte-level BPE of one merge. */
const bpeJson = edit(byteJson, (root) => {
  root.model.vocab.ab = 256;
  root.model.merges = ['a b'];
});

const template = (special_tokens: object) => ({
  type: 'TemplateProcessing',
  single: [{ SpecialToken: { id: '<s>', type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }],
  special_tokens,
});
const splitThen = (split: object) => ({
  type: 'Sequence',
  pretokenizers: [
    { type: 'Split', ...split },
    { type: 'ByteLevel', add_prefix_space: false },
  ],
});
const nested = (depth: number): object => (depth === 0 ? { type: 'NFC' } : { type: 'Sequence', normalizers: [nested(depth - 1)] });

/** A changed copy of a tokenizer.json. */
function edit(json: string, change: (root: Root) => void): string {
  const root = JSON.parse(json) as Root;
  change(root);
  return JSON.stringify(root);
}

const codeOf = async (json: string): Promise<string> => {
  try {
    await loadTokenizer(json);
  } catch (error) {
    return error instanceof FerroError ? error.code : `untyped: ${error}`;
  }
  return 'no error';
};

describe('loadTokenizer', () => {
  test('what is saved comes back the same', async () => {
    for (const tokenizer of [
      CharTokenizer.fromText('b9a0\n"\\__proto__👋\0\u2028'),
      new ByteTokenizer(),
      new ByteTokenizer(Array.from({ length: 256 }, (_, i) => 255 - i)),
    ]) {
      const loaded = await loadTokenizer(jsonOf(tokenizer));
      expect(loaded.kind).toBe(tokenizer.kind);
      expect(loaded.hash).toBe(tokenizer.hash);
      expect(Array.from(loaded.encode('a0b9'))).toEqual(Array.from(tokenizer.encode('a0b9')));
    }
  });

  test('a file that left defaults out, as Python may, is the same tokenizer', async () => {
    const json = edit(charJson, (root) => {
      for (const key of ['truncation', 'padding', 'normalizer', 'post_processor', 'added_tokens']) delete root[key];
      delete root.pre_tokenizer.invert;
    });
    expect((await loadTokenizer(json)).hash).toBe(CharTokenizer.fromText('abc').hash);
    const template = edit(charJson, (root) => {
      root.post_processor = { type: 'TemplateProcessing', single: [{ Sequence: { id: 'A', type_id: 0 } }], special_tokens: {} };
    });
    expect((await loadTokenizer(template)).hash).toBe(CharTokenizer.fromText('abc').hash);
    const withPost = edit(byteJson, (root) => {
      root.post_processor = { type: 'ByteLevel', trim_offsets: false };
      root.pre_tokenizer.use_regex = true;
    });
    expect((await loadTokenizer(withPost)).hash).toBe(new ByteTokenizer().hash);
  });

  const refused: [name: string, code: string, json: string][] = [
    ['not JSON', 'INVALID_TOKENIZER', '{'],
    ['a list', 'INVALID_TOKENIZER', '[]'],
    ['null', 'INVALID_TOKENIZER', 'null'],
    ['no model', 'INVALID_TOKENIZER', '{}'],
    ['no type', 'INVALID_TOKENIZER', '{"model":{}}'],
    ['an unknown type', 'UNSUPPORTED_TOKENIZER', '{"model":{"type":"Word2Vec"}}'],
    ['no vocabulary', 'INVALID_TOKENIZER', edit(charJson, (root) => delete (root.model as Record<string, unknown>).vocab)],
    ['a hole in the ids of characters', 'INVALID_TOKENIZER', edit(charJson, (root) => (root.model.vocab.a = 7))],
    ['an id twice', 'INVALID_TOKENIZER', edit(charJson, (root) => (root.model.vocab.a = 1))],
    ['an id that is text', 'INVALID_TOKENIZER', edit(charJson, (root) => (root.model.vocab.a = '0'))],
    ['two characters in a token', 'INVALID_TOKENIZER', edit(charJson, (root) => (root.model.vocab = { ab: 0, c: 1 }))],
    ['an id beyond reason', 'INVALID_TOKENIZER', edit(bpeJson, (root) => (root.model.vocab.ab = 4_000_000_000))],
    ['a negative id', 'INVALID_TOKENIZER', edit(bpeJson, (root) => (root.model.vocab.ab = -1))],
    ['merges that are no list', 'INVALID_TOKENIZER', edit(bpeJson, (root) => (root.model.merges = {}))],
    ['a merge of three', 'INVALID_TOKENIZER', edit(bpeJson, (root) => (root.model.merges = ['a b c']))],
    ['a merge of one', 'INVALID_TOKENIZER', edit(bpeJson, (root) => (root.model.merges = [['a']]))],
    ['a merge of numbers', 'INVALID_TOKENIZER', edit(bpeJson, (root) => (root.model.merges = [[1, 2]]))],
    ['a merge of an unknown token', 'INVALID_TOKENIZER', edit(bpeJson, (root) => (root.model.merges = ['a qq']))],
    ['a merge into an unknown token', 'INVALID_TOKENIZER', edit(bpeJson, (root) => (root.model.merges = ['a c']))],
    ['a truth value that is none', 'INVALID_TOKENIZER', edit(bpeJson, (root) => (root.model.ignore_merges = 'yes'))],
    ['an added token without an id', 'INVALID_TOKENIZER', edit(bpeJson, (root) => root.added_tokens.push({ content: '<s>' }))],
    ['an added token without text', 'INVALID_TOKENIZER', edit(bpeJson, (root) => root.added_tokens.push({ id: 300, content: '' }))],
    ['an added token with a taken id', 'INVALID_TOKENIZER', edit(bpeJson, (root) => root.added_tokens.push({ id: 3, content: '<s>' }))],
    ['an added token with two ids', 'INVALID_TOKENIZER', edit(bpeJson, (root) => root.added_tokens.push({ id: 300, content: 'ab' }))],
    ['a template without its token', 'INVALID_TOKENIZER', edit(bpeJson, (root) => (root.post_processor = template({})))],
    [
      'a template with an id out of range',
      'INVALID_TOKENIZER',
      edit(bpeJson, (root) => (root.post_processor = template({ '<s>': { ids: [9999] } }))),
    ],
    [
      'a split without a behaviour',
      'INVALID_TOKENIZER',
      edit(bpeJson, (root) => (root.pre_tokenizer = splitThen({ pattern: { Regex: 'a' } }))),
    ],
    [
      'a pattern that is none',
      'UNSUPPORTED_TOKENIZER',
      edit(bpeJson, (root) => (root.pre_tokenizer = splitThen({ behavior: 'Isolated', pattern: { Regex: '(' } }))),
    ],
    ['sequences without end', 'INVALID_TOKENIZER', edit(bpeJson, (root) => (root.normalizer = nested(40)))],
    ['BPE dropout', 'UNSUPPORTED_TOKENIZER', edit(bpeJson, (root) => (root.model.dropout = 0.1))],
    ['byte fallback in a byte-level BPE', 'UNSUPPORTED_TOKENIZER', edit(bpeJson, (root) => (root.model.byte_fallback = true))],
    ['a suffix of words', 'UNSUPPORTED_TOKENIZER', edit(bpeJson, (root) => (root.model.end_of_word_suffix = '</w>'))],
    ['a normalizer that is not there', 'UNSUPPORTED_TOKENIZER', edit(bpeJson, (root) => (root.normalizer = { type: 'Nmt' }))],
    ['a post-processor that is not there', 'UNSUPPORTED_TOKENIZER', edit(bpeJson, (root) => (root.post_processor = { type: 'Other' }))],
    ['no decoder', 'UNSUPPORTED_TOKENIZER', edit(bpeJson, (root) => (root.decoder = null))],
    [
      'a split after the bytes',
      'UNSUPPORTED_TOKENIZER',
      edit(bpeJson, (root) => (root.pre_tokenizer = { type: 'Sequence', pretokenizers: [{ type: 'ByteLevel' }, { type: 'Digits' }] })),
    ],
  ];
  test.each(refused)('%s is %s', async (_, code, json) => {
    expect(await codeOf(json)).toBe(code);
  });

  test('a byte-level BPE is read, also without the name of its type', async () => {
    const loaded = await loadTokenizer(bpeJson);
    expect([loaded.kind, loaded.vocabSize]).toEqual(['bpe', 257]);
    expect(Array.from(loaded.encode('xabab'))).toEqual([120, 256, 256]);
    const old = edit(bpeJson, (root) => delete (root.model as Record<string, unknown>).type);
    expect((await loadTokenizer(old)).hash).toBe(loaded.hash);
    const twice = await loadTokenizer(edit(bpeJson, (root) => (root.model.merges = ['a b', 'a b'])));
    expect(twice.hash).toBe(loaded.hash);
  });

  test('bytes with anything beside them are a BPE', async () => {
    for (const change of [
      (root: Root) => root.added_tokens.push({ id: 256, content: '<s>', special: true }),
      (root: Root) => (root.pre_tokenizer.add_prefix_space = true),
      (root: Root) => (root.normalizer = { type: 'NFC' }),
    ]) {
      expect((await loadTokenizer(edit(byteJson, change))).kind).toBe('bpe');
    }
    const prefixed = await loadTokenizer(edit(byteJson, (root) => delete root.pre_tokenizer.add_prefix_space));
    expect(prefixed.decode(prefixed.encode('a'))).toBe(' a'); // true by default, as for Hugging Face's reader
  });

  test('normalizers', async () => {
    const texts: [object, string, string][] = [
      [{ type: 'NFC' }, 'e\u0301', 'é'],
      [{ type: 'NFKD' }, 'ﬁé', 'fie\u0301'],
      [{ type: 'Lowercase' }, 'ΑΣ İA', 'ασ i\u0307a'],
      [{ type: 'Prepend', prepend: '_' }, 'a', '_a'],
      [{ type: 'Replace', pattern: { String: 'a' }, content: '$&' }, 'aba', '$&b$&'],
      [{ type: 'Strip', strip_left: true, strip_right: false }, '\u0085\u3000 a ', 'a '],
      [{ type: 'Strip' }, ' a \n', 'a'],
      [{ type: 'Sequence', normalizers: [{ type: 'Lowercase' }, { type: 'Replace', pattern: { String: 'a' }, content: 'b' }] }, 'A', 'b'],
    ];
    for (const [normalizer, text, expected] of texts) {
      const tokenizer = await loadTokenizer(edit(bpeJson, (root) => (root.normalizer = normalizer)));
      expect(tokenizer.decode(tokenizer.encode(text)), JSON.stringify(normalizer)).toBe(expected);
    }
  });

  test('vocab.json and merges.txt: with and without #version, line ends of both kinds, what the configuration says', async () => {
    const { vocab } = (JSON.parse(bpeJson) as Root).model;
    const files = (merges: string, config?: object) =>
      new Map([
        ['vocab.json', JSON.stringify({ ...vocab, '<|endoftext|>': 257, '<pad>': 258 })],
        ['merges.txt', merges],
        ...(config === undefined ? [] : [['tokenizer_config.json', JSON.stringify(config)] as const]),
      ]);
    const base = await loadTokenizer(files('#version: 0.2\na b\n'));
    expect([base.kind, base.bosId, base.eosId, base.padId]).toEqual(['bpe', 257, 257, null]);
    for (const merges of ['a b', 'a b\n', '#version: 0.2\r\na b\r\n']) expect((await loadTokenizer(files(merges))).hash).toBe(base.hash);
    const framed = await loadTokenizer(
      files('a b', { add_bos_token: true, pad_token: '<pad>', added_tokens_decoder: { 259: { content: '<new>', special: false } } }),
    );
    expect([framed.padId, framed.vocabSize]).toEqual([258, 260]);
    expect(Array.from(framed.encode('ab<new>', { addSpecialTokens: true }))).toEqual([257, 256, 259]);
    expect(Array.from((await loadTokenizer(framed.toFiles())).encode('ab<new>', { addSpecialTokens: true }))).toEqual([257, 256, 259]);
    await expect(loadTokenizer(files('a b', { tokenizer_class: 'Qwen2Tokenizer' }))).rejects.toMatchObject({
      code: 'UNSUPPORTED_TOKENIZER',
    });
    await expect(loadTokenizer(files('ab'))).rejects.toMatchObject({ code: 'INVALID_TOKENIZER' });
    await expect(loadTokenizer(new Map([['vocab.json', '{}']]))).rejects.toMatchObject({ code: 'FILE_NOT_FOUND' });
  });

  test('"__proto__" as a key is data', async () => {
    const before = Object.getOwnPropertyNames(Object.prototype);
    expect(await codeOf(charJson.replace('"a": 0', '"__proto__": 0'))).toBe('INVALID_TOKENIZER'); // nine characters, not one
    expect(await codeOf(charJson.replace('{', '{"__proto__": {"x": 1},'))).toBe('no error');
    const named = await loadTokenizer(
      bpeJson
        .replace('"ab": 256', '"ab": 256, "_p": 257, "__proto__": 258, "toString": 259')
        .replace('"ab":256', '"ab":256,"_p":257,"__proto__":258,"toString":259'),
    );
    expect([named.vocabSize, named.decode([258, 259])]).toEqual([260, '__proto__toString']);
    const added = await loadTokenizer(edit(bpeJson, (root) => root.added_tokens.push({ id: 257, content: '__proto__', special: true })));
    expect(Array.from(added.encode('a__proto__', { allowSpecial: true }))).toEqual([97, 257]);
    const written = await loadTokenizer(
      new Map([
        [
          'vocab.json',
          `{${Object.entries((JSON.parse(bpeJson) as Root).model.vocab).map(([token, id]) => `${JSON.stringify(token)}:${id}`)},"__proto__":257}`,
        ],
        ['merges.txt', 'a b'],
      ]),
    );
    expect((await loadTokenizer(written.toFiles())).hash).toBe(written.hash);
    expect(Object.getOwnPropertyNames(Object.prototype)).toEqual(before);
    expect(({} as { x?: number }).x).toBeUndefined();
  });
});
