import { describe, expect, it } from 'vitest';
import { dimMul, Extent, type Program } from '../../graph';
import { ownBuffers, prepareCall, prepareSequence } from './calls';
import { ProgramHandle } from './programs';
import type { RunCall } from './types';
import type { RegionRef } from './variables';

const rows = new Extent('rows', 4);
const time = new Extent('time', 8);
const program = {
  name: 'step',
  words: new Uint32Array(),
  extents: [
    { name: 'rows', max: 4 },
    { name: 'time', max: 8 },
  ],
  scalars: ['lr', 'seed'],
  bindings: [],
  inputs: [
    { name: 'ids', binding: 3, shape: [rows, time], dtype: 'i32' },
    { name: 'x', binding: 4, shape: [dimMul(rows, time, 2), 3], dtype: 'f32' },
  ],
  outputs: [
    { name: 'loss', binding: 5, shape: [1], dtype: 'f32' },
    { name: 'out', binding: 6, shape: [rows, 5], dtype: 'i32' },
  ],
  plan: { arenaBytes: 0, bankBytes: [], ioBytes: 0, flops: 0, instructions: 0, stages: 0 },
} as unknown as Program;

const owner = { closed: false };
const region: RegionRef = { owner, id: 1, name: 'wte', live: true, changedAt: 1 };
const handle = new ProgramHandle(program, 17, owner, { regions: [region], written: [] });
const good = (): RunCall => ({
  handle,
  inputs: { ids: Int32Array.of(1, 2, 3, 4, 5, 6), x: new Float32Array(36) },
  extents: { rows: 2, time: 3 },
  scalars: { seed: 7, lr: 0.5 },
});

describe('preparing a run', () => {
  it('puts names into the order of the program and sizes outputs by the extents', () => {
    const call = good();
    const { wire, outputNames } = prepareCall(call, 'run');
    expect(wire).toEqual({
      program: 17,
      extents: Uint32Array.of(2, 3),
      scalars: Float64Array.of(0.5, 7),
      inputs: [
        { binding: 3, data: call.inputs!.ids },
        { binding: 4, data: call.inputs!.x },
      ],
      outputs: [
        { binding: 5, elements: 1, dtype: 'f32' },
        { binding: 6, elements: 10, dtype: 'i32' },
      ],
      atomic: false,
    });
    expect(outputNames).toEqual(['loss', 'out']);
    expect(prepareCall({ ...call, outputs: ['out'], atomic: true }, 'run').wire).toMatchObject({
      outputs: [{ binding: 6, elements: 10, dtype: 'i32' }],
      atomic: true,
    });
  });

  it('copies inputs, of a shared buffer too, and takes only the part that a view shows', () => {
    const call = good();
    const whole = new Int32Array(new SharedArrayBuffer(4 * 100));
    whole[10] = 42;
    call.inputs!.ids = whole.subarray(10, 16);
    const prepared = prepareCall(call, 'run');
    const sent = prepared.wire.inputs[0].data;
    expect([...sent]).toEqual([42, 0, 0, 0, 0, 0]);
    expect(sent.buffer).toBeInstanceOf(ArrayBuffer);
    expect(sent.buffer.byteLength).toBe(24);
    whole[10] = 43;
    expect(sent[0]).toBe(42);
    expect(ownBuffers([prepared.wire])).toEqual(prepared.wire.inputs.map(({ data }) => data.buffer));
  });

  it('accepts an extent of zero: inputs and outputs are empty', () => {
    const call = { ...good(), extents: { rows: 0, time: 3 }, inputs: { ids: new Int32Array(0), x: new Float32Array(0) } };
    expect(prepareCall(call, 'run').wire.outputs[1].elements).toBe(0);
  });

  const detached = new Float32Array(36);
  structuredClone(detached.buffer, { transfer: [detached.buffer] });
  it.each<[string, Partial<RunCall>, string, string]>([
    [
      'extent beyond its maximum',
      { extents: { rows: 5, time: 3 } },
      'INVALID_SHAPE',
      'extent "rows" of "step" must be an integer from 0 to 4, got 5',
    ],
    ['negative extent', { extents: { rows: -1, time: 3 } }, 'INVALID_SHAPE', 'got -1'],
    ['fractional extent', { extents: { rows: 1.5, time: 3 } }, 'INVALID_SHAPE', 'got 1.5'],
    ['missing extent', { extents: { rows: 2 } }, 'INVALID_SHAPE', 'extent "time" of "step" must be an integer from 0 to 8, got undefined'],
    ['unknown extent', { extents: { rows: 2, time: 3, batch: 1 } }, 'UNKNOWN_OPTION', 'got "batch" (known: rows, time)'],
    ['inherited name', { extents: { rows: 2, time: 3, toString: 1 } }, 'UNKNOWN_OPTION', 'got "toString"'],
    ['missing scalar', { scalars: { lr: 1 } }, 'INVALID_OPTION', 'scalar "seed" of "step" must be a number, got undefined'],
    ['NaN scalar', { scalars: { lr: Number.NaN, seed: 1 } }, 'INVALID_OPTION', 'scalar "lr" of "step" must be a number, got NaN'],
    ['unknown scalar', { scalars: { lr: 1, seed: 1, beta: 1 } }, 'UNKNOWN_OPTION', 'got "beta"'],
    ['missing input', { inputs: { ids: new Int32Array(6) } }, 'INVALID_OPTION', 'got none for "x"'],
    ['unknown input', { inputs: { ...good().inputs, y: new Int32Array(6) } }, 'UNKNOWN_OPTION', 'got "y" (known: ids, x)'],
    [
      'input of another dtype',
      { inputs: { ...good().inputs, ids: new Float32Array(6) } },
      'INVALID_DTYPE',
      'input "ids" takes Int32Array, got Float32Array',
    ],
    ['input that is no array', { inputs: { ...good().inputs, ids: 'abc' as never } }, 'INVALID_DTYPE', 'got string'],
    [
      'input of another length',
      { inputs: { ...good().inputs, x: new Float32Array(35) } },
      'INVALID_SHAPE',
      'input "x" [12, 3] takes 36 elements, got 35',
    ],
    ['detached input', { inputs: { ...good().inputs, x: detached } }, 'INVALID_SHAPE', 'got 0 (a detached or empty array)'],
    ['unknown output', { outputs: ['los'] }, 'UNKNOWN_OPTION', 'got "los" (known: loss, out)'],
  ])('refuses: %s', (_name, change, code, text) => {
    expect(() => prepareCall({ ...good(), ...change }, 'run')).toThrow(
      expect.objectContaining({ code, message: expect.stringContaining(text) }),
    );
  });

  it('refuses a program that was unloaded or whose variable was released', () => {
    const gone = new ProgramHandle(program, 1, owner, { regions: [{ ...region, live: false }], written: [] });
    expect(() => prepareCall({ ...good(), handle: gone }, 'run')).toThrow(expect.objectContaining({ code: 'UNBOUND_VARIABLE' }));
    const unloaded = new ProgramHandle(program, 1, owner, { regions: [], written: [] });
    unloaded.live = false;
    expect(() => prepareCall({ ...good(), handle: unloaded }, 'run')).toThrow(expect.objectContaining({ code: 'INVALID_OPTION' }));
  });
});

describe('preparing a sequence', () => {
  it('lays extents and scalars out by rows and sizes the emitted output of each', () => {
    const runs = [1, 2].map((n) => ({ extents: { rows: n, time: 3 }, scalars: { lr: n / 2, seed: n } }));
    const inputs = { ids: new Int32Array(3), x: new Float32Array(18) };
    expect(prepareSequence(handle, runs, inputs, 'out', 'runSequence')).toMatchObject({
      count: 2,
      extents: Uint32Array.of(1, 3, 2, 3),
      scalars: Float64Array.of(0.5, 1, 1, 2),
      outputs: [{ elements: 5 }, { elements: 10 }],
    });
  });

  it('checks every step before anything is sent', () => {
    const runs = [
      { extents: { rows: 1, time: 3 }, scalars: { lr: 1, seed: 1 } },
      { extents: { rows: 9, time: 3 }, scalars: { lr: 1, seed: 1 } },
    ];
    const inputs = { ids: new Int32Array(3), x: new Float32Array(18) };
    expect(() => prepareSequence(handle, runs, inputs, 'out', 'runSequence')).toThrow(/extent "rows".*got 9/);
  });
});
