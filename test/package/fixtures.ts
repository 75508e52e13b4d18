// The files that a user of the package would write, as the package tests write them into an empty folder.

/** Trains 20 steps in Node and prints one JSON object. */
export const NODE_SCRIPT = `import { CharTokenizer, Engine, GPT, TextDataset, Trainer } from 'ferroformer';

const text = Array.from({ length: 200 }, (_, i) => 'verse ' + i + ' of the song of the sea and the ' + (i % 7) + ' whales.\\n').join('');
const tokenizer = CharTokenizer.fromText(text);
const engine = await Engine.start({ threads: 2 });
const model = await GPT.create(engine, { preset: 'gpt-nano', blockSize: 32, tokenizer, seed: 1 });
const trainer = new Trainer(model, { dataset: TextDataset.fromText(text, tokenizer), maxSteps: 20, batchSize: 4, learningRate: 3e-3 });
const losses = [];
for await (const { loss } of trainer.train()) losses.push(loss);
const written = await model.generate('verse ', { maxNewTokens: 10, seed: 1 });
console.log(JSON.stringify({ losses, text: written.text, threads: engine.info.threads, build: engine.info.build }));
await engine.close();
`;

/** The same in a page; the result is put on the page for the test to read. */
export const PAGE_SCRIPT = (specifier: string): string =>
  NODE_SCRIPT.replace("'ferroformer'", `'${specifier}'`)
    .replace('threads: 2', 'threads: 2, onWarning: () => {}')
    .replace('console.log(', 'document.body.textContent = (')
    .concat("document.body.dataset.done = '';\n");

/** A page with that script. */
export const PAGE = (script: string): string => `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Ferroformer</title></head><body><script type="module" src="${script}"></script></body></html>
`;

/** A strict TypeScript project's use of the library: what must and what must not type-check. */
export const TYPES = `import { CharTokenizer, Engine, FerroError, GPT, Linear, Module, type Tensor, TextDataset, Trainer } from 'ferroformer';

class Net extends Module {
  readonly layer = new Linear(2, 1);
  forward(x: Tensor): Tensor {
    return this.layer.forward(x);
  }
}

export async function main(text: string): Promise<number> {
  const tokenizer = CharTokenizer.fromText(text);
  const engine = await Engine.start({ threads: 1, simd: 'portable' });
  const model = await GPT.create(engine, { preset: 'gpt-micro', blockSize: 64, tokenizer, seed: 42 });
  const dataset = TextDataset.fromText(text, tokenizer);
  const trainer = new Trainer(model, { dataset, maxSteps: 10, learningRate: 3e-3, lrSchedulerType: 'linear' });
  for await (const { step, loss, evalLoss } of trainer.train()) console.log(step.toFixed(), loss.toFixed(), evalLoss?.toFixed());
  const { evalLoss } = await trainer.train();
  for await (const piece of model.generate('Call me ', { maxNewTokens: 20, topK: 5 })) console.log(piece.text, piece.id);
  const { ids } = await model.generate('a');
  const net = await engine.bind(new Net(), { seed: 1 });
  const step = engine.trainStep(net, { loss: (module, { x }) => module.forward(x), optimizer: { learningRate: 0.1 } });
  const { gradNorm } = await step({ x: { data: new Float32Array(2), shape: [1, 2] } });
  try {
    await model.save('out');
  } catch (error) {
    if (error instanceof FerroError && error.code === 'FILE_ERROR') throw error;
    // @ts-expect-error no such code
    if (error instanceof FerroError && error.code === 'NO_SUCH_CODE') throw error;
  }
  // @ts-expect-error no such option
  new Trainer(model, { dataset, learningrate: 1 });
  // @ts-expect-error no such preset
  await GPT.create(engine, { preset: 'gpt-5' });
  await engine.close();
  return ids.length + gradNorm + (evalLoss ?? 0);
}
`;
