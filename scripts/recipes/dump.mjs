// What a recipe trains on, as files for PyTorch's side (torch_peer.py): sizes, learning rates, the rows of each update, and all rows as ids. Used by the
// recipes' --dump; nothing here trains.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createSampler } from '../../dist/index.node.js';

const IGNORE = -100;

/** The values of row `index`, for three sizes of position `index` in row 0. */
const valuesOf = ({ data, shape }, index) => [...data.subarray(index * shape.at(-1), (index + 1) * shape.at(-1))];

/** The first `length` values of row 0. */
const cut = (tensor, length) => valuesOf(tensor, 0).slice(0, length);

/** Positions up to the last that counts. */
const counted = ({ data }) => data.findLastIndex((label) => label !== IGNORE) + 1;

/** One row of a data set of examples without its padding, by the kind of task. */
const ROWS = {
  // Packed rows also say where each place's document begins and which place in it that is.
  sft: ({ inputIds, labels, ...packed }) =>
    Object.fromEntries(Object.entries({ inputIds, labels, ...packed }).map(([name, tensor]) => [name, cut(tensor, counted(labels))])),
  classify: ({ inputIds, lengths, labels }) => ({ inputIds: cut(inputIds, lengths.data[0]), label: labels.data[0] }),
  seq2seq: ({ inputIds, inputFeatures, inputMask, decoderInputIds, labels }) => {
    const length = inputMask.data.reduce((sum, keep) => sum + keep, 0);
    return {
      ...(inputFeatures
        ? { inputFeatures: Array.from({ length }, (_, i) => valuesOf(inputFeatures, i)) }
        : { inputIds: cut(inputIds, length) }),
      decoderInputIds: cut(decoderInputIds, counted(labels)),
      labels: cut(labels, counted(labels)),
    };
  },
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

/** Windows of a text as rows: those of every update in order, and those of the evaluation. */
async function writeWindows(folder, { sampler, maxSteps, rowsPerStep, blockSize, test }) {
  const write = (name, rows) => writeFileSync(join(folder, name), rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
  const all = [];
  for (let t = 0; t < maxSteps; t++) {
    const { inputIds, labels } = (await sampler.nextBatch(rowsPerStep)).tensors;
    for (let i = 0; i < rowsPerStep; i++) all.push({ inputIds: valuesOf(inputIds, i), labels: valuesOf(labels, i) });
  }
  write('train.jsonl', all);
  const tests = [];
  for (let at = 0; at + 1 < test.length; at += blockSize) {
    const ids = new Int32Array(Math.min(blockSize + 1, test.length - at));
    test.copyTokens(at, ids.length, ids, 0);
    tests.push({ inputIds: [...ids.subarray(0, -1)], labels: [...ids.subarray(1)] });
  }
  write('test.jsonl', tests);
  return {
    batches: Array.from({ length: maxSteps }, (_, t) => Array.from({ length: rowsPerStep }, (_, i) => t * rowsPerStep + i)),
    rows: all.length,
    tests: tests.length,
  };
}

/** Rows of a list of examples, and their numbers in every update. */
async function writeExamples(folder, { task, sampler, maxSteps, rowsPerStep, train, test }) {
  const batches = [];
  for (let t = 0; t < maxSteps; t++) batches.push((await sampler.nextBatch(rowsPerStep)).exampleIds);
  await writeRows(join(folder, 'train.jsonl'), task, train);
  await writeRows(join(folder, 'test.jsonl'), task, test);
  return { batches, rows: train.length, tests: test.length };
}

/**
 * Writes spec.json, train.jsonl and test.jsonl.
 * @param folder where to
 * @param recipe { task, model: sizes by the library's option names, trainer, train, test: data sets, weightDecay? (that of the trainer; 0.1), ids: { bos, eos, pad }, numLabels?, pooling?, labelSmoothing?, maxNewTokens?, choices? }
 */
export async function dumpForTorch(folder, { task, model, trainer, train, test, weightDecay = 0.1, ...rest }) {
  mkdirSync(folder, { recursive: true });
  const { maxSteps, batchSize, gradientAccumulationSteps, schedule, seed, maxGradNorm } = trainer.settings;
  const { blockSize = 0 } = model;
  const sampler = createSampler(train, { seed, blockSize });
  const parts = { task, sampler, maxSteps, rowsPerStep: batchSize * gradientAccumulationSteps, blockSize, train, test };
  const { batches, rows, tests } = await (task === 'lm' ? writeWindows : writeExamples)(folder, parts);
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
  console.log(`${folder}: ${rows} and ${tests} rows; now: python scripts/recipes/torch_peer.py ${folder}`);
}
