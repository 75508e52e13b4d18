// Sequences of different lengths in one batch, on the real kernels: what each computes is, bit for bit, what it computes alone. Positions, cache
// writes and attention as generation uses them.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  addPosition,
  assign,
  attentionCached,
  compile,
  copySequence,
  Extent,
  input,
  qkvPart,
  type Tensor,
  Variable,
  writeRows,
} from '../graph';
import { Random } from '../graph/testing/random';
import { EngineHost } from './index';

const [ROWS, WIDTH, HEADS] = [40, 16, 2];
const LENGTHS = [5, 37, 1, 16]; // rows that each sequence's cache holds

const variable = (name: string, ...shape: number[]): Variable => new Variable({ name, shape });
const draw = (seed: number, n: number): Float32Array => {
  const random = new Random(seed);
  return Float32Array.from({ length: n }, () => random.uniform(-2, 2));
};

/** One decoding step: the attended values of a new row, and the caches with it. */
function step(batch: number, keys: Variable, values: Variable, table: Variable, own: boolean): { y: Tensor; keys: Tensor; values: Tensor } {
  const used = new Extent('used', ROWS);
  const qkv = input('qkv', [batch, 1, 3 * WIDTH]);
  const at = own ? input('positions', [batch], 'i32') : new Extent('position', ROWS);
  const x = addPosition(qkv, table, at);
  const [k, v] = [writeRows(keys, qkvPart(x, 'k'), at), writeRows(values, qkvPart(x, 'v'), at)];
  const counts = own ? { keyCounts: input('counts', [batch], 'i32') } : {};
  return { y: attentionCached(x, k, v, { nHead: HEADS, keysUsed: used, ...counts }), keys: k, values: v };
}

describe.each(['portable', 'auto'] as const)('simd %s', (simd) => {
  let host: EngineHost;
  beforeAll(async () => {
    host = await EngineHost.start({ worker: false, simd });
  });
  afterAll(() => host.close());

  async function run(outputs: Record<string, Tensor>, inputs: Record<string, Float32Array | Int32Array>, extents: Record<string, number>) {
    const handle = await host.load(compile({ name: 'step', outputs }));
    try {
      return (await host.run({ handle, inputs, extents }))[0] as Record<string, Float32Array>;
    } finally {
      await host.unload(handle);
    }
  }

  it('a sequence of a batch has the bits it has alone; its cache too', async () => {
    const batch = LENGTHS.length;
    const table = variable('table', ROWS, 3 * WIDTH);
    const together = [variable('keys', batch, ROWS, WIDTH), variable('values', batch, ROWS, WIDTH)];
    const alone = [variable('key', 1, ROWS, WIDTH), variable('value', 1, ROWS, WIDTH)];
    const all = [table, ...together, ...alone];
    await host.allocate(all, { seed: 1 });
    await host.write(table, draw(1, table.size));
    const caches = LENGTHS.map((_, b) => [draw(10 + b, ROWS * WIDTH), draw(20 + b, ROWS * WIDTH)]);
    const qkv = draw(2, batch * 3 * WIDTH);

    // Each prefilled cache goes into its place in the batch.
    for (const [b, length] of LENGTHS.entries()) {
      for (const part of [0, 1]) {
        await host.write(alone[part], caches[b][part]);
        const filled = copySequence(together[part], alone[part], { row: new Extent('row', batch - 1), rowsUsed: new Extent('used', ROWS) });
        const handle = await host.load(compile({ name: 'copy', effects: [assign(together[part], filled)] }));
        await host.run({ handle, extents: { row: b, used: length } });
        await host.unload(handle);
      }
    }
    const got = await run(
      { ...step(batch, together[0], together[1], table, true) },
      { qkv, positions: Int32Array.from(LENGTHS), counts: Int32Array.from(LENGTHS, (length) => length + 1) },
      { used: Math.max(...LENGTHS) + 1 },
    );
    for (const [b, length] of LENGTHS.entries()) {
      for (const part of [0, 1]) await host.write(alone[part], caches[b][part]);
      const want = await run(
        { ...step(1, alone[0], alone[1], table, false) },
        { qkv: qkv.slice(b * 3 * WIDTH, (b + 1) * 3 * WIDTH) },
        { position: length, used: length + 1 },
      );
      expect(got.y.slice(b * WIDTH, (b + 1) * WIDTH)).toEqual(want.y);
      const held = (length + 1) * WIDTH;
      for (const name of ['keys', 'values'])
        expect(got[name].slice(b * ROWS * WIDTH, b * ROWS * WIDTH + held)).toEqual(want[name].slice(0, held));
    }
    await host.release(all);
  });

  it.each([
    ['a position beyond the cache', [ROWS, 0], [1, 1], `got ${ROWS} at position 0`],
    ['a negative position', [0, -1], [1, 1], 'got -1 at position 1'],
    ['no key at all', [0, 0], [1, 0], 'got 0 at position 1'],
    ['more keys than are used', [0, 0], [9, 1], 'got 9 at position 0'],
  ])('%s is refused', async (_name, positions, counts, got) => {
    const all = [variable('keys', 2, ROWS, WIDTH), variable('values', 2, ROWS, WIDTH), variable('table', ROWS, 3 * WIDTH)];
    await host.allocate(all, { seed: 1 });
    const inputs = { qkv: draw(5, 6 * WIDTH), positions: Int32Array.from(positions), counts: Int32Array.from(counts) };
    const refused = run({ ...step(2, all[0], all[1], all[2], true) }, inputs, { used: 8 });
    await expect(refused).rejects.toMatchObject({ code: 'INVALID_SHAPE', message: expect.stringContaining(got) });
    await host.release(all);
  });
});
