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
  pre_tokenizer: { [key: string]: unknown; pattern: Record<string, unknown> };
  model: { [key: string]: unknown; vocab: Record<string, unknown> };
}

/** Stands for byte 255. */
const LAST_BYTE = 'ÿ';

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
    ['no vocabulary', 'INVALID_TOKENIZER', edit(charJson, (root) => delete (root.model as Record<string, unknown>).vocab)],
    ['a hole in the ids', 'INVALID_TOKENIZER', edit(charJson, (root) => (root.model.vocab.a = 7))],
    ['an id twice', 'INVALID_TOKENIZER', edit(charJson, (root) => (root.model.vocab.a = 1))],
    ['an id that is text', 'INVALID_TOKENIZER', edit(charJson, (root) => (root.model.vocab.a = '0'))],
    ['two characters in a token', 'INVALID_TOKENIZER', edit(charJson, (root) => (root.model.vocab = { ab: 0, c: 1 }))],
    ['merges that are no list', 'INVALID_TOKENIZER', edit(byteJson, (root) => (root.model.merges = {}))],
    ['a byte missing', 'INVALID_TOKENIZER', edit(byteJson, (root) => delete root.model.vocab[LAST_BYTE])],
    ['WordPiece', 'NOT_BUILT', edit(charJson, (root) => (root.model.type = 'WordPiece'))],
    ['a WordLevel of words', 'NOT_BUILT', edit(charJson, (root) => (root.pre_tokenizer.type = 'Whitespace'))],
    ['another split', 'NOT_BUILT', edit(charJson, (root) => (root.pre_tokenizer.pattern.Regex = '.'))],
    ['a split that removes', 'NOT_BUILT', edit(charJson, (root) => (root.pre_tokenizer.behavior = 'Removed'))],
    ['no decoder', 'NOT_BUILT', edit(charJson, (root) => (root.decoder = null))],
    ['a normalizer', 'NOT_BUILT', edit(charJson, (root) => (root.normalizer = { type: 'NFC' }))],
    ['a post-processor', 'NOT_BUILT', edit(charJson, (root) => (root.post_processor = { type: 'TemplateProcessing' }))],
    [
      'a template that adds a token',
      'NOT_BUILT',
      edit(charJson, (root) => {
        const single = [{ SpecialToken: { id: '<s>', type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }];
        root.post_processor = { type: 'TemplateProcessing', single };
      }),
    ],
    ['added tokens', 'NOT_BUILT', edit(charJson, (root) => root.added_tokens.push({ id: 3, content: '<s>' }))],
    ['merges', 'NOT_BUILT', edit(byteJson, (root) => (root.model.merges = [['a', 'b']]))],
    ['a space in front', 'NOT_BUILT', edit(byteJson, (root) => (root.pre_tokenizer.add_prefix_space = true))],
    ['a space in front by default', 'NOT_BUILT', edit(byteJson, (root) => delete root.pre_tokenizer.add_prefix_space)],
    ['BPE dropout', 'NOT_BUILT', edit(byteJson, (root) => (root.model.dropout = 0.1))],
    ['a BPE of words', 'NOT_BUILT', edit(byteJson, (root) => (root.pre_tokenizer.type = 'Whitespace'))],
    [
      'a special token among the bytes',
      'NOT_BUILT',
      edit(byteJson, (root) => {
        delete root.model.vocab[LAST_BYTE];
        root.model.vocab['<|endoftext|>'] = 255;
      }),
    ],
  ];
  test.each(refused)('%s is %s', async (_, code, json) => {
    expect(await codeOf(json)).toBe(code);
  });

  test('"__proto__" as a key is data', async () => {
    const before = Object.getOwnPropertyNames(Object.prototype);
    expect(await codeOf(charJson.replace('"a": 0', '"__proto__": 0'))).toBe('INVALID_TOKENIZER'); // nine characters, not one
    expect(await codeOf(charJson.replace('{', '{"__proto__": {"x": 1},'))).toBe('no error');
    expect(Object.getOwnPropertyNames(Object.prototype)).toEqual(before);
    expect(({} as { x?: number }).x).toBeUndefined();
  });
});
