#!/usr/bin/env node
// How long a model just loaded takes for its first token: a folder of a 10 M-parameter GPT is written, loaded anew in every round, and a prompt of 16 tokens is
// continued; compiling the programs is part of it. On dist/ (npm run build). What it is not: the time of loading, which is told beside it.
//   node scripts/first-token.mjs [--threads 2] [--simd auto] [--rounds 15] [--vocab-size 65] [--json]
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Engine, GPT } from '../dist/index.node.js';
import { median } from './bench/statistics.mjs';
import { positiveInteger } from './lib/flags.mjs';

const { values: flags } = parseArgs({
  options: {
    threads: { type: 'string', default: '2' },
    simd: { type: 'string', default: 'auto' },
    rounds: { type: 'string', default: '15' },
    'vocab-size': { type: 'string', default: '65' },
    json: { type: 'boolean', default: false },
  },
});
const [threads, rounds, vocabSize] = ['threads', 'rounds', 'vocab-size'].map((name) => positiveInteger(name, flags[name]));

/** Milliseconds from the call to the first piece. */
async function firstToken(model) {
  const started = performance.now();
  for await (const _ of model.generate(PROMPT, { maxNewTokens: 2, seed: 1 })) break;
  return performance.now() - started;
}

const PROMPT = Array.from({ length: 16 }, (_, i) => (i * 7) % vocabSize);
const folder = await mkdtemp(join(tmpdir(), 'ferroformer-first-token-'));
try {
  const engine = await Engine.start({ threads, simd: flags.simd });
  const made = await GPT.create(engine, { nLayer: 6, nHead: 6, nEmbd: 384, blockSize: 256, vocabSize, seed: 1 });
  const parameters = [...made.parameters.values()].reduce((sum, { size }) => sum + size, 0);
  await made.save(join(folder, 'model'));
  await made.close();
  const times = { load: [], first: [], again: [] };
  for (let round = 0; round < rounds; round++) {
    const started = performance.now();
    const model = await GPT.fromPretrained(engine, join(folder, 'model'));
    times.load.push(performance.now() - started);
    times.first.push(await firstToken(model));
    times.again.push(await firstToken(model));
    await model.close();
  }
  const { runtime, build, vectorBits } = engine.info;
  await engine.close();
  const told = Object.fromEntries(
    Object.entries(times).map(([name, list]) => [name, { first: list[0], median: median(list), best: Math.min(...list) }]),
  );
  if (flags.json) console.log(JSON.stringify({ runtime, build, vectorBits, threads, parameters, vocabSize, ...told }));
  else {
    console.log(
      `${runtime}, ${build}, ${vectorBits} bits, ${threads} threads; ${(parameters / 1e6).toFixed(1)} M parameters, ${vocabSize} tokens`,
    );
    for (const [name, { first, median: middle, best }] of Object.entries(told))
      console.log(`${name.padEnd(6)} median ${middle.toFixed(1)} ms, best ${best.toFixed(1)}, in the first round ${first.toFixed(1)}`);
  }
} finally {
  await rm(folder, { recursive: true, force: true });
}
