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
