// One small training run with everything in it, the same in Node and in a browser page: it is given the library and answers plain data, so that runs can
// be compared bit for bit. Imports types alone: a page loads this file as it is.
import type * as Library from 'ferroformer';

/** What to run. */
export interface TrainingJob {
  steps: number;
  threads?: number;
  simd?: Library.EngineOptions['simd'];
}

/** What came out. */
export interface TrainingOutcome {
  losses: number[];
  evalLoss: number;
  text: string;
  /** Everything that writing text in other ways gave: a batch under penalties, beams, a conversation; ids and log-probabilities. */
  generated: string;
  /** SHA-256 of all parameters in order of their names, as hexadecimal digits. */
  hash: string;
  threads: number;
  build: string;
  isolated: boolean;
  warnings: string[];
}

/** A text that a small model learns something from within a few steps: long enough for windows, short enough to encode at once. */
export const TEXT = Array.from({ length: 240 }, (_, i) => `line ${i}: the sea has ${i % 7} waves and ${i % 5} whales.\n`).join('');

/** Trains a nano GPT with dropout, accumulation, evaluation and a sample in between. */
export async function train(library: typeof Library, { steps, threads, simd }: TrainingJob): Promise<TrainingOutcome> {
  const { CharTokenizer, Engine, GPT, TextDataset, Trainer } = library;
  const warnings: string[] = [];
  const engine = await Engine.start({ threads, simd, onWarning: ({ code }) => warnings.push(code) });
  try {
    const tokenizer = CharTokenizer.fromText(TEXT);
    const model = await GPT.create(engine, { preset: 'gpt-nano', blockSize: 32, dropout: 0.1, tokenizer, seed: 7 });
    const dataset = TextDataset.fromText(TEXT, tokenizer);
    const trainer = new Trainer(model, {
      dataset,
      maxSteps: steps,
      batchSize: 4,
      gradientAccumulationSteps: 2,
      learningRate: 3e-3,
      evalSteps: 5,
      seed: 7,
    });
    const losses: number[] = [];
    for await (const { step, loss } of trainer.train()) {
      losses.push(loss);
      if (step === 3) await model.generate('line ', { maxNewTokens: 8, seed: 1 });
    }
    const { loss: evalLoss } = await trainer.evaluate();
    const { text } = await model.generate('line ', { maxNewTokens: 24, seed: 5 });
    const generated = JSON.stringify(await writeInManyWays(model));
    const { threads: used, build, isolated } = engine.info;
    return { losses, evalLoss, text, generated, hash: await hashParameters(model), threads: used, build, isolated, warnings };
  } finally {
    await engine.close();
  }
}

/** Texts by every way of choosing tokens. */
async function writeInManyWays(model: Library.GPT): Promise<unknown[]> {
  const options = { maxNewTokens: 40, seed: 9, topK: 20, topP: 0.95, minP: 0.01, repetitionPenalty: 1.1, frequencyPenalty: 0.1 };
  const batch = await model.generate(['line 1', 'the sea has ', ''], { ...options, badWords: ['whales'], topLogProbs: 3 });
  const beams = await model.generate('line 1', { numBeams: 4, numReturnSequences: 3, maxNewTokens: 20, lengthPenalty: 0.7 });
  const chat = model.startConversation();
  await chat.generate('line 2', options);
  await chat.generate(' and ', options);
  return [batch, beams, chat.ids];
}

/** SHA-256 over the bytes of all parameters in order of their names. */
export async function hashParameters(model: { readonly parameters: Library.GPT['parameters'] }): Promise<string> {
  const arrays: Uint8Array[] = [];
  for (const name of [...model.parameters.keys()].sort()) {
    const data = await model.parameters.get(name)!.data();
    arrays.push(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  }
  const whole = new Uint8Array(arrays.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const array of arrays) {
    whole.set(array, at);
    at += array.length;
  }
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', whole));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
