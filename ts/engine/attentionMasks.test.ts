// Masks and packed documents on the real kernels against PyTorch's scaled_dot_product_attention (test/golden/attention_masks.py), results and gradients;
// and a document's bits beside other neighbours, through the compiled program.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { attention, attentionQkv, compile, constant, differentiate, mul, sum, type Tensor, Variable } from '../graph';
import { EngineHost } from './index';

const folder = new URL('../../test/golden/', import.meta.url);
interface Case {
  name: string;
  shape: [number, number, number];
  mask: { shape: number[]; values: number[]; out: number[] };
  q: number[];
  k: number[];
  v: number[];
  dy: number[];
  y: number[];
  d_q: number[];
  d_k: number[];
  d_v: number[];
}
const golden = JSON.parse(readFileSync(new URL('attention-masks.json', folder), 'utf8')) as {
  script: string;
  scriptSha256: string;
  heads: number;
  starts: number[];
  cases: Case[];
};

const ids = (values: readonly number[], shape: number[]): Tensor => constant(Int32Array.from(values), shape);

it('the golden values are those of their script', () => {
  const script = readFileSync(new URL(golden.script, folder), 'utf8').replaceAll('\r\n', '\n');
  expect(createHash('sha256').update(script).digest('hex')).toBe(golden.scriptSha256);
});

describe.each(['portable', 'auto'] as const)('simd %s', (simd) => {
  let host: EngineHost;
  beforeAll(async () => {
    host = await EngineHost.start({ worker: false, simd });
  });
  afterAll(() => host.close());

  /** The result and the gradients of some variables, Σ y·dy being the loss. */
  async function run(
    values: Record<string, Float32Array>,
    shapes: Record<string, number[]>,
    dy: Float32Array,
    build: (of: Record<string, Variable>) => Tensor,
  ) {
    const entries = Object.entries(shapes).map(([name, shape]) => [name, new Variable({ name, shape })] as const);
    const variables = entries.map(([, variable]) => variable);
    const y = build(Object.fromEntries(entries));
    const gradients = differentiate(sum(mul(y, constant(dy, y.shape as number[]))), variables);
    const outputs = Object.fromEntries(entries.map(([name, variable]) => [`d_${name}`, gradients.get(variable) as Tensor]));
    await host.allocate(variables, { seed: 1 });
    for (const [name, variable] of entries) await host.write(variable, values[name]);
    const handle = await host.load(compile({ name: 'masked', outputs: { y, ...outputs } }));
    const [results] = await host.run({ handle });
    await host.unload(handle);
    await host.release(variables);
    return results as Record<string, Float32Array>;
  }

  it.each(golden.cases.map((one) => [one.name, one] as const))('a mask %s, as in PyTorch', async (name, one) => {
    const [batch, tq, tk] = one.shape;
    const width = golden.heads * 8;
    const bias = Float32Array.from(one.mask.values, (x, i) => (one.mask.out[i] === 1 ? Number.NEGATIVE_INFINITY : x));
    const mask = constant(bias, one.mask.shape);
    const values = { q: Float32Array.from(one.q), k: Float32Array.from(one.k), v: Float32Array.from(one.v) };
    const shapes = { q: [batch, tq, width], k: [batch, tk, width], v: [batch, tk, width] };
    const forms: ((of: Record<string, Variable>) => Tensor)[] = [
      ({ q, k, v }) => attention(q, k, v, { nHead: golden.heads, causal: false, mask }),
    ];
    if (name === 'documents') {
      const starts = ids(golden.starts, [1, tq]);
      forms.push(({ q, k, v }) => attention(q, k, v, { nHead: golden.heads, causal: true, starts }));
    }
    for (const build of forms) {
      const results = await run(values, shapes, Float32Array.from(one.dy), build);
      for (const key of ['y', 'd_q', 'd_k', 'd_v'] as const) {
        const worst = Math.max(...one[key].map((value, i) => Math.abs(results[key][i] - value)));
        expect(worst, key).toBeLessThanOrEqual(5e-6);
      }
    }
  });

  it.each([1, 6])('a document of a packed row has the bits it has alone, results and gradients: %i heads', async (nHead) => {
    const [width, lengths] = [nHead * 8, [70, 100, 30]];
    const total = 200;
    const noise = (n: number, seed: number) => Float32Array.from({ length: n }, (_, i) => Math.sin(i * 12.9898 + seed) * 2);
    const [qkv, dy] = [noise(total * 3 * width, 1), noise(total * width, 2)];
    const starts = ids(
      lengths.flatMap((length, i) => Array(length).fill(lengths.slice(0, i).reduce((a, b) => a + b, 0))),
      [1, total],
    );
    const packed = await run({ qkv }, { qkv: [1, total, 3 * width] }, dy, (of) => attentionQkv(of.qkv, { nHead, causal: true, starts }));
    let first = 0;
    for (const length of lengths) {
      const cut = (x: Float32Array, row: number) => x.slice(first * row, (first + length) * row);
      const alone = await run({ qkv: cut(qkv, 3 * width) }, { qkv: [1, length, 3 * width] }, cut(dy, width), (of) =>
        attentionQkv(of.qkv, { nHead, causal: true }),
      );
      expect(cut(packed.y, width), `${length} at ${first}`).toEqual(alone.y);
      expect(cut(packed.d_qkv, 3 * width), `gradient of ${length} at ${first}`).toEqual(alone.d_qkv);
      first += length;
    }
  });
});
