// Ids of byte-level BPE next to those of Hugging Face's tokenizers and tiktoken (test/golden/byte_level.py): every Unicode scalar, all pairs of ASCII
// characters, 100,000 random strings, the splitting rules in use, added tokens with every flag.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { loadTokenizer } from './load';
import {
  byteLevelGolden,
  digest,
  fill,
  GOLDEN_URL,
  goldenTokenizer,
  Random,
  randomString,
  ruleJson,
  SCALARS,
  scalar,
} from './testing/strings';

const golden = byteLevelGolden();
const rules = Object.entries(golden.rules);
const chunks = (hashes: string) => hashes.match(/.{16}/g) ?? [];

test('the golden file is what its script made', () => {
  const source = readFileSync(new URL(golden.script, GOLDEN_URL), 'utf8').replaceAll('\r\n', '\n');
  expect(createHash('sha256').update(source).digest('hex'), `run ${golden.script} again`).toBe(golden.scriptSha256);
  expect(rules.length).toBeGreaterThan(10);
});

describe.each(rules)('ids of the rule %s', (_, rule) => {
  const load = () => loadTokenizer(ruleJson(golden, rule));

  test('random strings', async () => {
    const tokenizer = await load();
    const random = new Random(20261126);
    const expected = chunks(rule.random);
    expect(expected.length).toBeGreaterThanOrEqual(10);
    for (const [chunk, hash] of expected.entries()) {
      const strings = Array.from({ length: 1000 }, () =>
        randomString(random, { words: golden.words, ranges: golden.ranges.slice(0, rule.ranges) }),
      );
      expect(digest(tokenizer, strings), `strings ${chunk * 1000} to ${chunk * 1000 + 999}`).toBe(hash);
    }
  });

  test('pairs of ASCII characters', async () => {
    const tokenizer = await load();
    const ascii = Array.from({ length: 128 }, (_, code) => String.fromCharCode(code));
    const expected = chunks(rule.pairs);
    expect(expected).toHaveLength(128);
    for (const [code, hash] of expected.entries()) {
      const strings = ascii.flatMap((b) => [`${ascii[code]}${b}`, ` ${ascii[code]}${b} `, `a${ascii[code]}${b}1`]);
      expect(digest(tokenizer, strings), `first character ${code}`).toBe(hash);
    }
  });

  const { scalars } = rule;
  if (scalars === undefined) return;
  test('every Unicode scalar', async () => {
    const tokenizer = await load();
    const templates = scalars.length === 1 ? [golden.templates[2]] : golden.templates;
    expect(scalars).toHaveLength(templates.length);
    for (const [t, template] of templates.entries()) {
      for (const [chunk, hash] of chunks(scalars[t]).entries()) {
        const start = chunk * golden.chunk;
        const count = Math.min(golden.chunk, SCALARS - start);
        const strings = Array.from({ length: count }, (_, i) => fill(template, scalar(start + i), scalar(start + i)));
        expect(digest(tokenizer, strings), `${JSON.stringify(template)}, scalars from number ${start}`).toBe(hash);
      }
    }
  });
});

test('texts of random ids', async () => {
  const tokenizer = await goldenTokenizer(golden);
  const random = new Random(7);
  const size = tokenizer.vocabSize;
  const texts = Array.from({ length: 5000 }, () => {
    const length = 1 + random.below(12);
    return tokenizer.decode(Array.from({ length }, () => random.below(random.below(2) === 0 ? size : 256)));
  });
  expect(createHash('sha256').update(texts.join('\u0001')).digest('hex')).toBe(golden.decoded);
});

describe('added tokens', () => {
  const load = () => goldenTokenizer(golden, { added_tokens: golden.added.added_tokens, normalizer: golden.added.normalizer });

  test.each([
    ['special tokens are looked for', true, golden.added.with_special],
    ['special tokens are ordinary text', false, golden.added.without_special],
  ] as const)('K14: %s, with lstrip, rstrip, single_word and normalized', async (_, allowSpecial, expected) => {
    const tokenizer = await load();
    const { texts } = golden.added;
    expect(texts.length).toBeGreaterThan(2000);
    const wrong = texts.filter((text, i) => tokenizer.encode(text, { allowSpecial }).join(',') !== expected[i]);
    expect(wrong).toEqual([]);
  });
});
