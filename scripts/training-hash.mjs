// Prints the SHA-256 of all parameters after 50 training steps on each kernel build: `BUILD HASH` lines. .ci/run compares what the
// committed and the rebuilt kernels give.
import { createHash } from 'node:crypto';
import { setFlagsFromString } from 'node:v8';
import { CharTokenizer, Engine, GPT, TextDataset, Trainer } from '../dist/index.node.js';

if (process.versions.node.startsWith('20.')) setFlagsFromString('--experimental-wasm-relaxed-simd'); // there already, behind a flag

const TEXT = Array.from({ length: 400 }, (_, i) => `verse ${i}: ${i % 11} ships, ${i % 7} whales, one sea.\n`).join('');

async function hashOf(simd) {
  const engine = await Engine.start({ simd, threads: 2 });
  try {
    const tokenizer = CharTokenizer.fromText(TEXT);
    const model = await GPT.create(engine, { preset: 'gpt-nano', blockSize: 48, dropout: 0.1, tokenizer, seed: 11 });
    await new Trainer(model, {
      dataset: TextDataset.fromText(TEXT, tokenizer),
      maxSteps: 50,
      batchSize: 6,
      learningRate: 3e-3,
      evalSteps: 0,
    }).train();
    const hash = createHash('sha256');
    for (const name of [...model.parameters.keys()].sort()) {
      const data = await model.parameters.get(name).data();
      hash.update(name).update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
    }
    return `${engine.info.build} ${hash.digest('hex')}`;
  } finally {
    await engine.close();
  }
}

for (const simd of ['portable', 'relaxed']) console.log(await hashOf(simd));
