// What a GPT with rotary positions makes of a context longer than it was trained with: trains at one length, reads at a longer one with positions as they are, with
// another base, and stretched (linear, llama3), before and after a few steps at the new length; perplexity by a sliding window with the window's stride and half of it.
// Prints one JSON object. Numbers for people, not a test of quality: a small model, few steps.
//   node scripts/long-rotary.mjs FILE [--steps 400] [--tune-steps 40] [--length 256] [--longer 1024] [--width 128] [--eval-characters 20000]
import { readFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { CharTokenizer, Engine, evaluateLoss, GPT, TextDataset, Trainer } from '../dist/index.node.js';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    steps: { type: 'string', default: '400' },
    'tune-steps': { type: 'string', default: '40' },
    length: { type: 'string', default: '256' },
    longer: { type: 'string', default: '1024' },
    width: { type: 'string', default: '128' },
    'eval-characters': { type: 'string', default: '20000' },
  },
});
if (positionals.length !== 1) throw new Error('long-rotary: give one text file');
const [steps, tuneSteps, length, longer, width, evalCharacters] = Object.values(values).map(Number);

const text = (await readFile(positionals[0], 'utf8')).replaceAll('\r\n', '\n');
const tokenizer = CharTokenizer.fromText(text);
const train = TextDataset.fromText(text.slice(0, -evalCharacters), tokenizer);
const held = TextDataset.fromText(text.slice(-evalCharacters), tokenizer);
const [factor, headDim] = [longer / length, width / 4];
const TOKENS_PER_STEP = 2048;

async function teach(model, blockSize, maxSteps, learningRate) {
  const trainer = new Trainer(model, {
    dataset: train,
    maxSteps,
    batchSize: Math.max(1, Math.round(TOKENS_PER_STEP / blockSize)),
    learningRate,
    warmupSteps: Math.min(20, Math.ceil(maxSteps / 5)),
    evalSteps: 0,
    seed: 1,
  });
  await trainer.train();
  await trainer.close();
}

/** Perplexity with windows side by side and with windows that overlap by half. */
async function read(model) {
  const result = {};
  for (const stride of [model.blockSize, model.blockSize / 2]) {
    const { perplexity, tokens } = await evaluateLoss(model, held, { stride, batchSize: 4 });
    result[`stride ${stride}`] = Number(perplexity.toFixed(4));
    result.tokens = tokens;
  }
  return result;
}

const engine = await Engine.start();
try {
  const started = performance.now();
  const size = { nLayer: 4, nHead: 4, nEmbd: width, blockSize: length, tokenizer, positionEmbedding: 'rotary', seed: 1 };
  const short = await GPT.create(engine, size);
  await teach(short, length, steps, 2e-3);
  const folder = Array.from(await short.toFiles(), ([name, blob]) => new File([blob], name));
  const report = {
    steps,
    tuneSteps,
    length,
    longer,
    factor,
    parameters: [...short.parameters.values()].reduce((sum, p) => sum + p.size, 0),
  };
  report[`read at ${length}`] = await read(short);
  await short.close();
  const contexts = {
    'as trained': {},
    // The base at which the slowest pair turns `factor` times more slowly.
    'larger base': { ropeTheta: 10000 * factor ** (headDim / (headDim - 2)) },
    linear: { ropeScaling: { kind: 'linear', factor } },
    llama3: { ropeScaling: { kind: 'llama3', factor, lowFrequencyFactor: 1, highFrequencyFactor: 4, originalPositions: length } },
  };
  for (const [name, context] of Object.entries(contexts)) {
    const long = await GPT.fromPretrained(engine, folder, { blockSize: longer, ...context });
    const found = { before: await read(long) };
    if (tuneSteps > 0) {
      await teach(long, longer, tuneSteps, 5e-4);
      found[`after ${tuneSteps} steps at ${longer}`] = await read(long);
    }
    report[`read at ${longer}, ${name}`] = found;
    await long.close();
  }
  report.seconds = Math.round((performance.now() - started) / 1000);
  console.log(JSON.stringify(report, null, 2));
} finally {
  await engine.close();
}
