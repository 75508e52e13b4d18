// What graphs mean, on the real kernels: every op with its gradients, and random graphs, against the f64 interpreter of the graph room.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  assign,
  compile,
  dequantizeQ8,
  differentiate,
  type Effect,
  isFrozenType,
  packQ8,
  quantizeQ8,
  type Tensor,
  Variable,
} from '../graph';
import { compileDetailed } from '../graph/compile';
import { interpret, type RunRequest, randomValues, type Values } from '../graph/testing/interpreter';
import { OP_CASES } from '../graph/testing/opCases';
import { randomGraph } from '../graph/testing/randomGraph';
import { fromBfloat16, toBfloat16 } from '../math';
import { EngineHost } from './index';

interface Request {
  readonly outputs: Readonly<Record<string, Tensor>>;
  readonly effects: readonly Effect[];
  readonly variables: Values;
  readonly run: Omit<RunRequest, 'variables' | 'shuffle'>;
}

const rounded = ({ name, shape: [rows, columns] }: Variable, data: Float32Array) => quantizeQ8(name, data, rows, columns);

/** Runs on an engine; answers with outputs and variables afterwards, by name. */
async function onEngine(host: EngineHost, { outputs, effects, variables, run }: Request): Promise<Record<string, ArrayLike<number>>> {
  const all = [...variables.keys()];
  await host.allocate(all, { seed: 1 });
  for (const [variable, data] of variables) {
    const floats = Float32Array.from(data);
    const { dtype } = variable;
    await host.write(variable, dtype === 'q8' ? packQ8(rounded(variable, floats)) : dtype === 'i32' ? Int32Array.from(data) : floats);
  }
  const program = compile({ name: 'case', outputs, effects });
  const handle = await host.load(program);
  const inputs = Object.fromEntries(
    program.inputs.map(({ name, dtype }) => [
      name,
      (dtype === 'i32' ? Int32Array : Float32Array).from(Array.from(run.inputs?.[name] ?? [])),
    ]),
  );
  const scalars = Object.fromEntries(program.scalars.map((name) => [name, run.scalars?.[name] ?? Number.NaN]));
  const extents = Object.fromEntries(program.extents.map(({ name }) => [name, run.extents?.[name] ?? Number.NaN]));
  const [results] = await host.run({ handle, inputs, extents, scalars });
  const plain = all.filter(({ dtype }) => !isFrozenType(dtype));
  const after = await Promise.all(plain.map(async (variable) => [variable.name, await host.read(variable)] as const));
  await host.unload(handle);
  await host.release(all);
  return { ...results, ...Object.fromEntries(after) };
}

/** f32 against f64: relative to the largest value of the same array. */
async function expectAgreement(host: EngineHost, request: Request, tolerance = 1e-5): Promise<void> {
  // Both start from the same f32 numbers.
  const values: Values = new Map(
    [...request.variables].map(([variable, data]) => {
      const floats = Float32Array.from(data);
      if (variable.dtype === 'bf16') return [variable, Float64Array.from(fromBfloat16(toBfloat16(floats)))];
      return [variable, Float64Array.from(variable.dtype === 'q8' ? dequantizeQ8(rounded(variable, floats)) : floats)];
    }),
  );
  const actual = await onEngine(host, { ...request, variables: values });
  const compiled = compileDetailed({ name: 'case', outputs: request.outputs, effects: request.effects });
  const expected: Record<string, Float64Array> = { ...interpret(compiled, { ...request.run, variables: values }) };
  for (const [variable, data] of values) if (!isFrozenType(variable.dtype)) expected[variable.name] = data;
  expect(Object.keys(actual).sort()).toEqual(Object.keys(expected).sort());
  const wrong: string[] = [];
  for (const [name, reference] of Object.entries(expected)) {
    const got = actual[name];
    expect(got.length, name).toBe(reference.length);
    const scale = 1 + Math.max(0, ...reference.map(Math.abs));
    reference.forEach((value, i) => {
      if (!(Math.abs(got[i] - value) <= tolerance * scale)) wrong.push(`${name}[${i}]: got ${got[i]}, expected ${value}`);
    });
  }
  expect(wrong).toEqual([]);
}

describe.each(['portable', 'auto'] as const)('simd %s', (simd) => {
  let host: EngineHost;
  beforeAll(async () => {
    host = await EngineHost.start({ worker: false, simd });
  });
  afterAll(() => host.close());

  it.each(Object.entries(OP_CASES))('%s', async (name, make) => {
    // Products with int8 blocks round their rows to 16 bits.
    const rounds = name === 'weights in int8 blocks' || name === 'gradients through frozen weights';
    await expectAgreement(host, make(), rounds ? 1e-4 : 1e-5);
  });

  it.each(Array.from({ length: 12 }, (_, i) => i + 1))('random graph %i', async (seed) => {
    const { variables, loss, outputs } = randomGraph(seed, 3 + (seed % 6));
    const reached = variables.filter((one) => {
      try {
        differentiate(loss, [one]);
        return true;
      } catch {
        return false;
      }
    });
    const gradients = differentiate(loss, reached);
    const targets = reached.map((one) => new Variable({ name: `d ${one.name}`, shape: one.shape }));
    const effects = reached.map((one, i) => assign(targets[i], gradients.get(one) as Tensor));
    const run = {
      extents: { rows: 3 },
      inputs: { x: Array.from({ length: 12 }, (_, i) => Math.fround(Math.sin(i + seed))) },
      scalars: { seedLo: seed, seedHi: 0, step: 1, micro: 0 },
    };
    // Chains of normalised layers amplify rounding; a wrong instruction is off by far more.
    await expectAgreement(host, { outputs, effects, variables: randomValues([...variables, ...targets], seed), run }, 1e-4);
  });
});
