// The one-pass head on the real kernels: against the three kernels and the f64 interpreter, with ignored rows, whatever the size of its blocks.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { assign, differentiate, input, linearCrossEntropy, sum, type Tensor, Variable } from '../graph';
import { type CompileSwitches, compileDetailed } from '../graph/compile';
import { interpret, randomValues, type Values } from '../graph/testing/interpreter';
import { EngineHost } from './index';

const [ROWS, VOCAB, COLS] = [70, 600, 24];
const x = new Variable({ name: 'x', shape: [ROWS, COLS] });
const w = new Variable({ name: 'w', shape: [VOCAB, COLS] });
const targets = [x, w].map((of) => new Variable({ name: `d ${of.name}`, shape: of.shape }));
const variables = [x, w, ...targets];
const { loss, logZ } = linearCrossEntropy(x, w, input('labels', [ROWS], 'i32'));
const gradients = differentiate(sum(loss), [x, w]);
const request = { name: 'head', outputs: { loss, logZ }, effects: [x, w].map((of, i) => assign(targets[i], gradients.get(of) as Tensor)) };

/** Every third row is ignored. */
const LABELS = Int32Array.from({ length: ROWS }, (_, i) => (i % 3 === 1 ? -100 : (i * 97) % VOCAB));
const NONE = new Int32Array(ROWS).fill(-100);
const VALUES: Values = new Map([...randomValues(variables, 9)].map(([of, data]) => [of, Float64Array.from(data, Math.fround)]));

type Results = Record<string, Float32Array>;

async function run(host: EngineHost, switches: CompileSwitches, labels = LABELS, xs?: Float32Array): Promise<Results> {
  for (const [of, data] of VALUES) await host.write(of, of === x && xs !== undefined ? xs : Float32Array.from(data));
  const handle = await host.load(compileDetailed(request, switches).program);
  try {
    const [outputs] = await host.run({ handle, inputs: { labels } });
    const [dx, dw] = await Promise.all(targets.map((target) => host.read(target)));
    return { ...outputs, dx, dw } as Results;
  } finally {
    await host.unload(handle);
  }
}

/** Expects a few units in the last place of each array's largest value. */
function expectClose(got: Results, want: Record<string, ArrayLike<number>>, tolerance: number): void {
  for (const [name, reference] of Object.entries(want)) {
    const size = Math.max(...Array.from(reference, Math.abs));
    const worst = Math.max(...Array.from(reference, (value, i) => Math.abs(value - got[name][i])));
    expect(worst, name).toBeLessThanOrEqual(tolerance * size);
  }
}

describe.each(['portable', 'auto'] as const)('simd %s', (simd) => {
  let host: EngineHost;
  beforeAll(async () => {
    host = await EngineHost.start({ worker: false, simd });
    await host.allocate(variables, { seed: 1 });
  });
  afterAll(() => host.close());

  it('gives what the three kernels give, and what the definition says', async () => {
    const got = await run(host, {});
    expectClose(got, await run(host, { fuse: false }), 1e-6);
    const values: Values = new Map([...VALUES].map(([of, data]) => [of, data.slice()]));
    const outputs = interpret(compileDetailed(request, { fuse: false }), { variables: values, inputs: { labels: LABELS } });
    expectClose(got, { ...outputs, dx: values.get(targets[0])!, dw: values.get(targets[1])! }, 2e-6);
  });

  it('gives the same bits in blocks of 16 rows', async () => {
    expect(await run(host, { headLogitsBytes: 1 })).toEqual(await run(host, {}));
  });

  it('never looks at ignored rows, and leaves zeros for them', async () => {
    const xs = Float32Array.from(VALUES.get(x)!, (value, i) => (LABELS[Math.floor(i / COLS)] === -100 ? Number.NaN : value));
    const got = await run(host, {}, LABELS, xs);
    expect(got).toEqual(await run(host, {}));
    expect(Array.from(got.dx.subarray(COLS, 2 * COLS))).toEqual(new Array(COLS).fill(0));
    expect([got.loss[1], got.logZ[1]]).toEqual([0, 0]);
  });

  it('gives zeros when no row counts', async () => {
    for (const data of Object.values(await run(host, { headLogitsBytes: 1 }, NONE, new Float32Array(ROWS * COLS).fill(Number.NaN)))) {
      expect(data.every((value) => value === 0)).toBe(true);
    }
  });

  it.each([
    ['the first row', 0, VOCAB],
    ['a row of the second block', 33, -1],
    ['the last row', ROWS - 1, 2 ** 31 - 1],
  ])('names a label out of range in %s', async (_name, row, label) => {
    const labels = LABELS.slice();
    labels[row] = label;
    for (const switches of [{}, { headLogitsBytes: 1 }]) {
      await expect(run(host, switches, labels)).rejects.toMatchObject({
        code: 'LABEL_OUT_OF_RANGE',
        message: expect.stringContaining(`got ${label} at position ${row}`),
      });
    }
  });
});
