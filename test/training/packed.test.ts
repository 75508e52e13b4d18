// Packed documents: several in one row with starts and positions are what they are alone, in losses, gradients and bits.
import { type Engine, GPT, SGD } from 'ferroformer';
import { describe, expect, test } from 'vitest';
import { measured, sharedEngine } from '../support/training';

const [T, V] = [16, 23];
const MODELS = {
  'learned positions': {},
  'sinusoidal positions': { positionEmbedding: 'sinusoidal' },
  'rotary positions': { positionEmbedding: 'rotary' },
  llama: { modelType: 'llama', nKvHead: 1 },
} as const;

interface Document {
  ids: number[];
  labels: number[];
}

/** Documents of several lengths; the first labels of some are masked, as those of a prompt. */
const DOCUMENTS: Document[] = [7, 4, 5, 16, 1, 9, 3].map((length, d) => ({
  ids: Array.from({ length }, (_, i) => (d * 5 + i * 3) % V),
  labels: Array.from({ length }, (_, i) => (d % 2 === 1 && i < length - 1 ? -100 : (d * 7 + i * 2) % V)),
}));
/** Which documents lie in which row. */
const PACKED = [[0, 1, 2], [3], [4, 5, 6]];

const i32 = (data: Int32Array, rows: number) => ({ data, shape: [rows, data.length / rows] });

function pack(rows: readonly (readonly Document[])[], time = T) {
  const n = rows.length;
  const [inputIds, starts, positions] = [0, 1, 2].map(() => new Int32Array(n * time));
  const labels = new Int32Array(n * time).fill(-100);
  for (const [r, documents] of rows.entries()) {
    let at = 0;
    for (const { ids, labels: wanted } of documents) {
      for (let i = 0; i < ids.length; i++) {
        const place = r * time + at + i;
        [inputIds[place], labels[place], starts[place], positions[place]] = [ids[i], wanted[i], at, i];
      }
      at += ids.length;
    }
    for (let t = at; t < time; t++) starts[r * time + t] = t;
  }
  return { inputIds: i32(inputIds, n), labels: i32(labels, n), starts: i32(starts, n), positions: i32(positions, n) };
}

function plain(documents: readonly Document[], time = T) {
  const { inputIds, labels } = pack(
    documents.map((document) => [document]),
    time,
  );
  return { inputIds, labels };
}

const create = (engine: Engine, more: object) =>
  GPT.create(engine, { nLayer: 2, nHead: 2, nEmbd: 16, blockSize: T, vocabSize: V, seed: 5, ...more });

async function gradients(engine: Engine, more: object, micro: Record<string, { data: Int32Array; shape: number[] }>[]) {
  const model = await create(engine, more);
  const step = engine.trainStep(model, { loss: model.loss, optimizer: new SGD({ learningRate: 0 }), maxGradNorm: 0 });
  const result = await step(micro);
  const found = new Map<string, Float32Array>();
  for (const [name, parameter] of model.parameters) {
    const gradient = await parameter.grad();
    if (gradient !== null) found.set(name, gradient);
  }
  await model.close();
  return { result, found };
}

describe.each(Object.entries(MODELS))('packed documents with %s', (_name, more) => {
  test('have the gradients of padded rows and of each document alone', async () => {
    const engine = await sharedEngine();
    const rows = PACKED.map((row) => row.map((d) => DOCUMENTS[d]));
    const padded = await gradients(engine, more, [plain(DOCUMENTS)]);
    const others = {
      packed: await gradients(engine, more, [pack(rows)]),
      'packed, one row at a time': await gradients(
        engine,
        more,
        rows.map((row) => pack([row])),
      ),
      'alone, each as long as it is': await gradients(
        engine,
        more,
        DOCUMENTS.map((document) => plain([document], document.ids.length)),
      ),
      'beside a row with nothing to learn': await gradients(engine, more, [pack(rows), pack([[{ ids: [1, 2], labels: [-100, -100] }]], 8)]),
    };
    for (const [name, { result, found }] of Object.entries(others)) {
      let worst = 0;
      expect(result.count, name).toBe(padded.result.count);
      expect(Math.abs(result.loss - padded.result.loss), name).toBeLessThan(1e-6);
      for (const [key, want] of padded.found) {
        const most = Math.max(...want.map(Math.abs));
        found.get(key)!.forEach((value, i) => {
          worst = Math.max(worst, Math.abs(value - want[i]) / most);
          expect(Math.abs(value - want[i]), `${name}: ${key}[${i}]`).toBeLessThanOrEqual(2e-6 * most);
        });
      }
      measured(`gradients, ${name}, over each tensor's largest`, worst);
    }
    // And it is the starts and positions that do it.
    const { inputIds, labels } = pack(rows);
    const seen = await gradients(engine, more, [{ inputIds, labels }]);
    expect(Math.abs(seen.result.loss - padded.result.loss)).toBeGreaterThan(1e-5);
  });

  test('have losses that do not change, to the last bit, when a neighbour does', async () => {
    const model = await create(await sharedEngine(), more);
    const losses = async (rows: readonly (readonly Document[])[]) => {
      const build = (inputs: Record<string, never>) => ({ loss: model.bound.module.loss(inputs.inputIds, inputs.labels, inputs).sum });
      const { loss } = await model.bound.evaluate('losses', build as never, pack(rows));
      return loss.data;
    };
    const [first, second, third] = DOCUMENTS;
    const other = { ids: second.ids.map((id) => (id + 11) % V), labels: second.labels };
    const before = await losses([[first, second, third]]);
    const after = await losses([[first, other, third]]);
    const range = (data: ArrayLike<number>, from: number, length: number) => Array.from(data).slice(from, from + length);
    expect(range(after, 0, 7)).toEqual(range(before, 0, 7));
    expect(range(after, 11, 5)).toEqual(range(before, 11, 5));
    expect(range(after, 7, 4)).not.toEqual(range(before, 7, 4));
    // The third document behind nothing: another place of the row.
    expect(range(await losses([[third]]), 0, 5)).toEqual(range(before, 11, 5));
  });
});

test('positions of a longer row than the context are refused', async () => {
  const model = await create(await sharedEngine(), {});
  const long = pack([[{ ids: new Array(24).fill(1), labels: new Array(24).fill(1) }]], 24);
  const step = (await sharedEngine()).trainStep(model, { loss: model.loss });
  await expect(step(long)).rejects.toMatchObject({ code: 'INVALID_SHAPE' });
});
