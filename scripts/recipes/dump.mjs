// What a recipe trains on, as files for PyTorch's side (torch_peer.py): sizes, learning rates, the rows of each update, and all rows as ids. Used by the
// recipes' --dump; nothing here trains.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createSampler } from '../../dist/index.node.js';

const IGNORE = -100;

/** The first `length` values of row 0. */
const cut = ({ data }, length) => [...data.subarray(0, length)];

/** Positions up to the last that counts. */
const counted = ({ data }) => data.findLastIndex((label) => label !== IGNORE) + 1;

/** One row of a data set without its padding, by the kind of task. */
const ROWS = {
  lm: ({ inputIds, labels }) => ({ inputIds: cut(inputIds, counted(labels)), labels: cut(labels, counted(labels)) }),
  sft: ({ inputIds, labels }) => ({ inputIds: cut(inputIds, counted(labels)), labels: cut(labels, counted(labels)) }),
  classify: ({ inputIds, lengths, labels }) => ({ inputIds: cut(inputIds, lengths.data[0]), label: labels.data[0] }),
  seq2seq: ({ inputIds, inputMask, decoderInputIds, labels }) => ({
    inputIds: cut(
      inputIds,
      inputMask.data.reduce((sum, keep) => sum + keep, 0),
    ),
    decoderInputIds: cut(decoderInputIds, counted(labels)),
    labels: cut(labels, counted(labels)),
  }),
};

/** What comes before the first counted label of a row: what an answer is written for. */
const promptOf = ({ inputIds, labels }) => inputIds.slice(0, labels.findIndex((label) => label !== IGNORE) + 1);

async function writeRows(path, task, dataset) {
  const lines = [];
  for (let i = 0; i < dataset.length; i++) {
    const row = ROWS[task](await dataset.batch([i]));
    lines.push(JSON.stringify(task === 'sft' ? { ...row, prompt: promptOf(row) } : row));
  }
  writeFileSync(path, `${lines.join('\n')}\n`);
}

/**
 * Writes spec.json, train.jsonl and test.jsonl.
 * @param folder where to
 * @param recipe { task, model: sizes by the library's option names, trainer, train, test: data sets, weightDecay? (that of the trainer; 0.1), ids: { bos, eos, pad }, numLabels?, pooling?, labelSmoothing?, maxNewTokens? }
 */
export async function dumpForTorch(folder, { task, model, trainer, train, test, weightDecay = 0.1, ...rest }) {
  mkdirSync(folder, { recursive: true });
  const { maxSteps, batchSize, gradientAccumulationSteps, schedule, seed, maxGradNorm } = trainer.settings;
  const sampler = createSampler(train, { seed, blockSize: model.blockSize ?? 0 });
  const batches = [];
  for (let t = 0; t < maxSteps; t++) batches.push((await sampler.nextBatch(batchSize * gradientAccumulationSteps)).exampleIds);
  const spec = {
    task,
    model,
    seed,
    rates: batches.map((_, i) => schedule.at(i + 1)),
    batches,
    optimizer: { beta1: 0.9, beta2: 0.99, epsilon: 1e-8, weightDecay, maxGradNorm },
    ...rest,
  };
  writeFileSync(join(folder, 'spec.json'), JSON.stringify(spec));
  await writeRows(join(folder, 'train.jsonl'), task, train);
  await writeRows(join(folder, 'test.jsonl'), task, test);
  console.log(`${folder}: ${train.length} and ${test.length} rows; now: python scripts/recipes/torch_peer.py ${folder}`);
}
