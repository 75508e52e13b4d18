// Tokenizers that the optional package runs, next to what Hugging Face's own give (test/golden/other_tokenizers.py).
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { FerroError } from '../errors';
import { HuggingFaceTokenizer } from './huggingFaceTokenizer';
import { loadTokenizer } from './load';
import { GOLDEN_URL } from './testing/strings';

interface Golden {
  tokenizer: { model: { vocab: unknown }; added_tokens: { content: string; special: boolean }[] };
  cases: { text: string; plain: number[]; framed: number[]; special: number[]; decoded: string }[];
}
const file = JSON.parse(readFileSync(new URL('other-tokenizers.json', GOLDEN_URL), 'utf8'));
const names = ['unigram', 'wordpiece', 'sentencepiece'] as const;
const golden = (name: string): Golden => file[name];

test('the golden file is what its script made', () => {
  const source = readFileSync(new URL(file.script, GOLDEN_URL), 'utf8').replaceAll('\r\n', '\n');
  expect(createHash('sha256').update(source).digest('hex'), `run ${file.script} again`).toBe(file.scriptSha256);
});

describe.each(names)('a %s tokenizer', (name) => {
  const { tokenizer: json, cases } = golden(name);
  const load = () => loadTokenizer(JSON.stringify(json));

  test('has the ids and texts of the reference', async () => {
    const tokenizer = await load();
    expect(tokenizer.kind).toBe('huggingface');
    for (const { text, plain, framed, special, decoded } of cases) {
      expect(Array.from(tokenizer.encode(text, { allowSpecial: true })), text).toEqual(special);
      expect(tokenizer.decode(special), text).toBe(decoded);
      // A Unigram model finds `</s>` in a text even where special tokens are not asked for; here it is ordinary text.
      if (name === 'unigram' && text.includes('</s>')) continue;
      expect(Array.from(tokenizer.encode(text)), text).toEqual(plain);
      expect(Array.from(tokenizer.encode(text, { addSpecialTokens: true })), text).toEqual(framed);
    }
  });

  test('K10: special tokens in a text are ordinary text unless they are asked for', async () => {
    const tokenizer = await load();
    const special = name === 'wordpiece' ? '[SEP]' : '</s>';
    const id = tokenizer.encode(special, { allowSpecial: true });
    expect(id).toHaveLength(1);
    expect(Array.from(tokenizer.encode(`a ${special} b`))).not.toContain(id[0]);
    expect(Array.from(tokenizer.encode(`a ${special} b`, { allowSpecial: [special] }))).toContain(id[0]);
    const others = golden(name).tokenizer.added_tokens.filter((token) => token.special && token.content !== special);
    const another = others[others.length - 1].content;
    const repeated = new Array<string>(others.length + 1).fill(another);
    expect(Array.from(tokenizer.encode(`a ${special} b`, { allowSpecial: repeated }))).not.toContain(id[0]);
    expect(() => tokenizer.encode('a', { allowSpecial: ['<other>'] })).toThrow(expect.objectContaining({ code: 'INVALID_OPTION' }));
    expect(tokenizer.decode([id[0], ...tokenizer.encode('whale')], { skipSpecialTokens: true })).not.toContain(special);
  });

  test('K4, K8, K9: streams are equal to the whole, lone surrogates are U+FFFD, unknown ids are errors', async () => {
    const tokenizer = await load();
    for (const { text, special, decoded } of cases) {
      const decoder = tokenizer.decoder();
      expect(special.map((id) => decoder.push(id)).join('') + decoder.flush(), text).toBe(decoded);
      const encoder = tokenizer.encoder({ allowSpecial: true });
      const got = [...text].flatMap((character) => [...encoder.push(character)]);
      expect([...got, ...encoder.flush()], text).toEqual(special);
    }
    expect(Array.from(tokenizer.encode('a\ud800b'))).toEqual(Array.from(tokenizer.encode('a\ufffdb')));
    for (const id of [tokenizer.vocabSize, -1, 0.5, Number.NaN]) {
      expect(() => tokenizer.decode([id]), String(id)).toThrow(expect.objectContaining({ code: 'TOKEN_OUT_OF_RANGE' }));
      expect(() => tokenizer.byteLength(id)).toThrow(expect.objectContaining({ code: 'TOKEN_OUT_OF_RANGE' }));
    }
    expect(tokenizer.decode([])).toBe('');
  });

  test('is saved as it was', async () => {
    const text = JSON.stringify(json);
    const files = new Map([
      ['tokenizer.json', text],
      ['tokenizer_config.json', '{"bos_token": "<s>", "eos_token": "</s>", "pad_token": "[PAD]"}'],
    ]);
    const tokenizer = await loadTokenizer(files);
    expect(tokenizer.toFiles()).toEqual(files);
    expect([tokenizer.bosId, tokenizer.eosId, tokenizer.padId]).toEqual(name === 'wordpiece' ? [null, null, 3] : [1, 2, null]);
    expect((await load()).hash).toBe(tokenizer.hash);
  });
});

test('bytes of tokens: a space for ▁, nothing for ##, one for a byte', async () => {
  const sentencepiece = await loadTokenizer(JSON.stringify(golden('sentencepiece').tokenizer));
  const vocab = golden('sentencepiece').tokenizer.model.vocab as Record<string, number>;
  expect(['<0xE6>', '▁the', 'e'].map((token) => sentencepiece.byteLength(vocab[token]))).toEqual([1, 4, 1]);
});

test('without the package there is an error that names the command', async () => {
  const text = JSON.stringify(golden('unigram').tokenizer);
  const root = new Map(Object.entries(JSON.parse(text)));
  const missing = () => Promise.reject(new FerroError('TOKENIZER_PACKAGE_MISSING', 'npm install @huggingface/tokenizers'));
  const opened = HuggingFaceTokenizer.open(root, new Map([['tokenizer.json', text]]), missing);
  await expect(opened).rejects.toMatchObject({ code: 'TOKENIZER_PACKAGE_MISSING' });
});

test('what the package cannot run is a typed error', async () => {
  const json = structuredClone(golden('wordpiece').tokenizer) as unknown as Record<string, unknown>;
  json.normalizer = { type: 'Unheard' };
  await expect(loadTokenizer(JSON.stringify(json))).rejects.toMatchObject({ code: 'UNSUPPORTED_TOKENIZER' });
  await expect(loadTokenizer('{"model":{"type":"WordLevel","vocab":{}}}')).rejects.toBeInstanceOf(FerroError);
});

test('a vocabulary is checked before the package sees it', async () => {
  const open = (model: object) => loadTokenizer(JSON.stringify({ ...golden('wordpiece').tokenizer, model }));
  for (const id of [-1, 0.5, 2 ** 22, 1e300, '1', null, [1]]) {
    await expect(open({ type: 'WordLevel', vocab: { a: 0, b: id } }), String(id)).rejects.toMatchObject({ code: 'INVALID_TOKENIZER' });
  }
  for (const vocab of [undefined, null, 'a', 7, [['a', 0], 'b'], ['b']]) {
    await expect(open({ type: 'Unigram', vocab }), String(vocab)).rejects.toMatchObject({ code: 'INVALID_TOKENIZER' });
  }
});
