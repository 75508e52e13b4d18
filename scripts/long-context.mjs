#!/usr/bin/env node
// Trains a GPT at a long context for a few steps and checks that memory is what the plan says and that the loss falls. On dist/ (npm run build).
// What it is not: a benchmark; times are printed for orientation.

import { parseArgs } from 'node:util';
import { Engine, estimate, GPT } from '../dist/index.node.js';

const HELP = `usage: node scripts/long-context.mjs [--context 4096] [--layers 6] [--heads 6] [--width 384] [--steps 4] [--threads 2]

Exit status 1 if the engine's memory differs from the plan, grows over the steps, or the loss does not fall.`;

const DEFAULTS = { context: '4096', layers: '6', heads: '6', width: '384', steps: '4', threads: '2' };

/** The whole positive numbers on the command line; ends the process where they are none. */
function readOptions() {
  const options = Object.fromEntries(Object.entries(DEFAULTS).map(([name, text]) => [name, { type: 'string', default: text }]));
  try {
    const { values } = parseArgs({ options: { ...options, help: { type: 'boolean', default: false } } });
    const numbers = Object.fromEntries(Object.keys(DEFAULTS).map((name) => [name, Number(values[name])]));
    const wrong = Object.keys(numbers).find((name) => !(Number.isInteger(numbers[name]) && numbers[name] >= 1));
    if (!values.help && wrong === undefined) return numbers;
    console.error(HELP);
    process.exit(values.help ? 0 : 2);
  } catch (error) {
    console.error(`long-context: ${error.message}\n\n${HELP}`);
    process.exit(2);
  }
}

/** Tokens with a pattern that attention can find: a random text of 61 tokens, again and again. */
function pattern(length) {
  let state = 1;
  const period = Array.from({ length: 61 }, () => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return (state >>> 16) % 65;
  });
  return Int32Array.from({ length }, (_, i) => period[i % 61]);
}

const MB = (bytes) => `${(bytes / 1e6).toFixed(1)} MB`;

const { context, layers, heads, width, steps, threads } = readOptions();
const engine = await Engine.start({ threads });
const model = await GPT.create(engine, { nLayer: layers, nHead: heads, nEmbd: width, blockSize: context, vocabSize: 65 });
const plan = estimate(model.config, { batchSize: 1 }).memory;
const step = engine.trainStep(model, { loss: model.loss, optimizer: { learningRate: 1e-3 } });
const tokens = pattern(context + 1);
const batch = {
  inputIds: { data: tokens.slice(0, context), shape: [1, context] },
  labels: { data: tokens.slice(1), shape: [1, context] },
};
const problems = [];
const losses = [];
let first;
for (let i = 0; i < steps; i++) {
  const started = performance.now();
  const { loss } = await step(batch);
  losses.push(loss);
  const bytes = await engine.info.bytes();
  console.log(`step ${i + 1}: loss ${loss.toFixed(4)}, ${((performance.now() - started) / 1000).toFixed(1)} s, live ${MB(bytes.live)}`);
  first ??= bytes;
  if (bytes.live !== first.live) problems.push(`live bytes went from ${first.live} to ${bytes.live}`);
}
const COUNTERS = 8; // the step's count and guard
const variables = plan.parameters + plan.gradients + plan.optimizer + COUNTERS;
console.log(`arena ${MB(first.arena)} (planned ${MB(plan.activations)}), variables ${MB(first.regions)} (planned ${MB(variables)})`);
console.log(`programs with their inputs, and scratch of ${threads} threads: ${MB(first.live - first.arena - first.regions)}`);
console.log(`all heads' probabilities, if they were kept: ${MB(layers * heads * context * context * 4)}`);
if (first.arena !== plan.activations) problems.push(`the arena has ${first.arena} bytes, planned are ${plan.activations}`);
if (first.regions !== variables) problems.push(`variables have ${first.regions} bytes, planned are ${variables}`);
if (!(losses[losses.length - 1] < losses[0])) problems.push(`the loss went from ${losses[0]} to ${losses[losses.length - 1]}`);
await engine.close();
for (const problem of problems) console.error(`long-context: ${problem}`);
process.exitCode = problems.length === 0 ? 0 : 1;
