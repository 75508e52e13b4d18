// What the tests of adapters share: a small model that has learned something, a text with other statistics in the same letters, and small measures.
import { CharTokenizer, type Engine, FerroError, GPT, type HostTensor, TextDataset, Trainer, type TrainerOptions } from 'ferroformer';
import { expect } from 'vitest';
import { makeText } from './training';

export const TEXT = makeText(8_000);
export const TOKENIZER = CharTokenizer.fromText(TEXT);
const DATASET = TextDataset.fromText(TEXT, TOKENIZER);
/** The text backwards: other statistics in the same letters, for adapters to learn. */
export const BACKWARDS = TextDataset.fromText(Array.from(TEXT).reverse().join(''), TOKENIZER);
export const IDS: HostTensor = { data: Int32Array.from(TOKENIZER.encode(TEXT.slice(0, 32))), shape: [2, 16] };

export const create = (engine: Engine, more: object = {}) =>
  GPT.create(engine, { nLayer: 2, nHead: 2, nEmbd: 16, blockSize: 16, tokenizer: TOKENIZER, ...more });
/** A base that has learned something. */
export async function createTrained(engine: Engine, more: object = {}): Promise<GPT> {
  const model = await create(engine, more);
  await new Trainer(model, { dataset: DATASET, maxSteps: 60, batchSize: 8, learningRate: 1e-2, evalSteps: 0 }).train();
  return model;
}
export const options = (more: Partial<TrainerOptions> = {}): TrainerOptions => ({
  dataset: DATASET,
  maxSteps: 20,
  batchSize: 4,
  learningRate: 2e-2,
  evalSteps: 0,
  ...more,
});
export const logits = async (model: GPT) => (await model.bound.forward(IDS)).data as Float32Array;
export const worst = (a: ArrayLike<number>, b: ArrayLike<number>) => Math.max(...Array.from(a, (x, i) => Math.abs(x - b[i])));

export const failure = async (work: () => unknown): Promise<FerroError> => {
  try {
    await work();
  } catch (error) {
    expect(error).toBeInstanceOf(FerroError);
    return error as FerroError;
  }
  throw new Error('nothing was thrown');
};

/** Writes the files of an adapter, some of them changed. */
export async function adapterFiles(model: GPT, change: (config: Record<string, unknown>) => object = (config) => config): Promise<File[]> {
  const blobs = await model.adapterToFiles();
  const config = change(JSON.parse(await blobs.get('adapter_config.json')!.text()));
  return [
    new File([JSON.stringify(config)], 'adapter_config.json'),
    new File([blobs.get('adapter_model.safetensors')!], 'adapter_model.safetensors'),
  ];
}
