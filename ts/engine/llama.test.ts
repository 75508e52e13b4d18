// Llama's ops on the real kernels against PyTorch and transformers (test/golden/llama_ops.py): results, gradients, tables of rotary positions.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  attention,
  compile,
  constant,
  differentiate,
  Extent,
  input,
  mul,
  type RotaryScaling,
  rmsNorm,
  rotary,
  sum,
  swiglu,
  type Tensor,
  Variable,
} from '../graph';
import { EngineHost } from './index';

type Numbers = Record<string, number[]>;
interface Parameters {
  rope_type: 'default' | 'linear' | 'llama3';
  rope_theta: number;
  factor: number;
  low_freq_factor: number;
  high_freq_factor: number;
  original_max_position_embeddings: number;
}
const folder = new URL('../../test/golden/', import.meta.url);
const golden = JSON.parse(readFileSync(new URL('llama-ops.json', folder), 'utf8')) as {
  script: string;
  scriptSha256: string;
  rmsNorm: Numbers;
  rotary: Numbers;
  swiglu: Numbers;
  attention: Numbers;
  positions: number[];
  tables: { width: number; parameters: Parameters; rows: number[][] }[];
};

/** What transformers calls rope_parameters, as our init. */
function initOf(parameters: Parameters): { kind: 'rotary'; base: number; scaling?: RotaryScaling } {
  const { rope_type, rope_theta: base, factor } = parameters;
  if (rope_type === 'default') return { kind: 'rotary', base };
  if (rope_type === 'linear') return { kind: 'rotary', base, scaling: { kind: 'linear', factor } };
  const { low_freq_factor: lowFrequencyFactor, high_freq_factor: highFrequencyFactor } = parameters;
  const originalPositions = parameters.original_max_position_embeddings;
  return { kind: 'rotary', base, scaling: { kind: 'llama3', factor, lowFrequencyFactor, highFrequencyFactor, originalPositions } };
}

function expectClose(got: ArrayLike<number>, want: readonly number[], tolerance: number, name: string): void {
  expect(got.length, name).toBe(want.length);
  const worst = Math.max(...want.map((value, i) => Math.abs(got[i] - value)));
  expect(worst, name).toBeLessThanOrEqual(tolerance);
}

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

  /** Runs `build` on variables with the golden's values and compares the result and every gradient. */
  async function check(
    numbers: Numbers,
    shapes: Record<string, number[]>,
    outShape: number[],
    build: (variables: Record<string, Variable>) => Tensor,
    others: readonly Variable[] = [],
    extents: Record<string, number> = {},
  ): Promise<void> {
    const entries = Object.entries(shapes).map(([name, shape]) => [name, new Variable({ name, shape })] as const);
    const variables = entries.map(([, variable]) => variable);
    const y = build(Object.fromEntries(entries));
    const gradients = differentiate(sum(mul(y, constant(Float32Array.from(numbers.dy), outShape))), variables);
    const outputs = Object.fromEntries(entries.map(([name, variable]) => [`d_${name}`, gradients.get(variable) as Tensor]));
    await host.allocate([...variables, ...others], { seed: 1 });
    for (const [name, variable] of entries) await host.write(variable, Float32Array.from(numbers[name]));
    const handle = await host.load(compile({ name: 'golden', outputs: { y, ...outputs } }));
    const [results] = await host.run({ handle, extents });
    for (const [name, got] of Object.entries(results)) expectClose(got as Float32Array, numbers[name], 5e-6, name);
    await host.unload(handle);
    await host.release([...variables, ...others]);
  }

  it('rmsNorm', () => check(golden.rmsNorm, { x: [2, 3, 24], weight: [24] }, [2, 3, 24], ({ x, weight }) => rmsNorm(x, weight, 1e-5)));

  it('rotary of packed rows from a position on', async () => {
    const table = new Variable({ name: 'table', shape: [16, 8], trainable: false, init: { kind: 'rotary', base: 10000 } });
    const options = { nHead: 6, position: new Extent('position', 8) };
    await check(golden.rotary, { qkv: [2, 5, 64] }, [2, 5, 64], ({ qkv }) => rotary(qkv, table, options), [table], { position: 3 });
  });

  it('swiglu', () => check(golden.swiglu, { gate: [3, 37], up: [3, 37] }, [3, 37], ({ gate, up }) => swiglu(gate, up)));

  it('attention with grouped heads', () =>
    check(golden.attention, { q: [2, 9, 48], k: [2, 9, 16], v: [2, 9, 16] }, [2, 9, 48], ({ q, k, v }) =>
      attention(q, k, v, { nHead: 6, nKvHead: 2, causal: true }),
    ));

  it.each(golden.tables.map((table, i) => [i, table] as const))('table %i of rotary positions', async (_i, { width, parameters, rows }) => {
    const last = Math.max(...golden.positions);
    const table = new Variable({ name: 'table', shape: [last + 1, width], trainable: false, init: initOf(parameters) });
    await host.allocate([table], { seed: 1 });
    const got = await host.read(table);
    golden.positions.forEach((position, i) => {
      expectClose(got.slice(position * width, (position + 1) * width), rows[i], 2e-7, `position ${position}`);
    });
    await host.release([table]);
  });

  it('a turned row does not depend on its batch', async () => {
    const table = new Variable({ name: 'table', shape: [16, 8], trainable: false, init: { kind: 'rotary', base: 10000 } });
    await host.allocate([table], { seed: 1 });
    const x = Float32Array.from(golden.rotary.qkv.slice(0, 2 * 64));
    const together = rotary(input('x', [2, 1, 64]), table, { nHead: 6, position: input('positions', [2], 'i32') });
    const alone = rotary(input('x', [1, 1, 64]), table, { nHead: 6, position: new Extent('position', 15) });
    const [both, one] = await Promise.all([together, alone].map((y) => host.load(compile({ name: 'rotary', outputs: { y } }))));
    const [got] = await host.run({ handle: both, inputs: { x, positions: Int32Array.of(11, 4) } });
    for (const [b, position] of [11, 4].entries()) {
      const [want] = await host.run({ handle: one, inputs: { x: x.slice(b * 64, (b + 1) * 64) }, extents: { position } });
      expect(got.y.slice(b * 64, (b + 1) * 64)).toEqual(want.y);
    }
    await host.unload(both);
    await host.unload(one);
    await host.release([table]);
  });
});
