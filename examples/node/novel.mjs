// Trains a character GPT on a text file, shows what it writes as it learns, and saves it where Python's transformers can read it.
// node examples/node/novel.mjs FILE OUT [STEPS]        (inside this repository: after `npm run build`)
import { readFile } from 'node:fs/promises';
import { CharTokenizer, Engine, GPT, TextDataset, Trainer } from 'ferroformer';

const [file, out, steps = '2200'] = process.argv.slice(2);
if (file === undefined || out === undefined) {
  console.error('usage: node novel.mjs FILE OUT [STEPS]');
  process.exit(2);
}

const text = await readFile(file, 'utf8');
const tokenizer = CharTokenizer.fromText(text);
const engine = await Engine.start();
const model = await GPT.create(engine, { preset: 'gpt-micro', blockSize: 64, tokenizer });
const maxSteps = Number(steps);
const trainer = new Trainer(model, { dataset: TextDataset.fromText(text, tokenizer), maxSteps, learningRate: 3e-3 });

for await (const { step, loss, evalLoss, tokensPerSecond } of trainer.train()) {
  if (evalLoss === undefined) continue;
  console.log(`step ${step}: loss ${loss.toFixed(3)}, validation ${evalLoss.toFixed(3)}, ${Math.round(tokensPerSecond)} tokens/s`);
  console.log((await model.generate(text.slice(0, 16), { maxNewTokens: 120, temperature: 0.8, seed: step })).text);
}
await model.save(out);
await engine.close();
