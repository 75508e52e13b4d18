// A workload: the folder from which both sides of a comparison start. model.safetensors and config.json (GPT-2's layout), tokens.i32 (little-endian ids,
// consecutive batches of rows × (context + 1): inputs are all but the last of a row, labels all but the first), workload.json (shape, learning rate).
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Engine, GPT } from '../../dist/index.node.js';
import { gptOptions } from './sizes.mjs';

export const LEARNING_RATE = 1e-3;

/** Ids with something to learn: each follows from the one before in three of four cases. The same on every machine. */
export function makeTokens(count, vocabulary) {
  const ids = new Int32Array(count);
  let state = 12345;
  const random = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0; // Numerical Recipes' generator: no quality needed
    return state / 2 ** 32;
  };
  for (let i = 1; i < count; i++) ids[i] = random() < 0.75 ? (ids[i - 1] * 7 + 3) % vocabulary : Math.floor(random() * vocabulary);
  return ids;
}

/** Inputs and labels of the batch whose ids begin at `start`, as new arrays. */
export function batchOf(tokens, start, { rows, context }) {
  const [inputIds, labels] = [new Int32Array(rows * context), new Int32Array(rows * context)];
  for (let row = 0; row < rows; row++) {
    const from = start + row * (context + 1);
    inputIds.set(tokens.subarray(from, from + context), row * context);
    labels.set(tokens.subarray(from + 1, from + context + 1), row * context);
  }
  return { inputIds: { data: inputIds, shape: [rows, context] }, labels: { data: labels, shape: [rows, context] } };
}

/** Writes the workload of a shape for `steps` steps into an existing folder. */
export async function writeWorkload(folder, shape, steps) {
  const { layers, heads, width, context, rows, vocabulary } = shape;
  const engine = await Engine.start({ threads: 1, simd: 'portable' });
  try {
    const model = await GPT.create(engine, { ...gptOptions(shape), seed: 1 });
    await model.save(join(folder, 'model'));
  } finally {
    await engine.close();
  }
  const tokens = makeTokens(steps * rows * (context + 1), vocabulary);
  await writeFile(join(folder, 'model', 'tokens.i32'), new Uint8Array(tokens.buffer));
  const description = { shape: { layers, heads, width, context, rows, vocabulary }, learningRate: LEARNING_RATE };
  await writeFile(join(folder, 'model', 'workload.json'), JSON.stringify(description));
  return join(folder, 'model');
}
