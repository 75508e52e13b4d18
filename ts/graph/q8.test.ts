// Frozen weights: what rounding to int8 blocks does to them, that the engine's layout holds every number, and how gradients treat them and bf16.
import { describe, expect, it } from 'vitest';
import { FerroError } from '../errors';
import { differentiate } from './autodiff';
import { compile } from './compile';
import { assign } from './effects';
import { embedding } from './ops/embedding';
import { linear } from './ops/linear';
import { reshape } from './ops/reshape';
import { dequantizeQ8, packQ8, Q8_BLOCK, q8Blocks, q8Bytes, quantizeQ8, unpackQ8 } from './q8';
import { bf16Bytes, type Init, input, Variable } from './tensor';
import { Random } from './testing/random';

function normals(n: number, seed: number, scale = 1): Float32Array {
  const random = new Random(seed);
  return Float32Array.from({ length: n }, () => scale * (random.uniform(-1, 1) + random.uniform(-1, 1) + random.uniform(-1, 1)));
}

const SHAPES = [
  [1, 1],
  [7, 31],
  [8, 32],
  [9, 33],
  [20, 100],
  [50, 65],
] as const;

describe('rounding', () => {
  it.each(SHAPES)(
    '%i x %i: an error of at most half a scale, integers within ±127, the largest of a block exactly ±127',
    (rows, columns) => {
      for (const scale of [1, 1e-20, 1e20]) {
        const data = normals(rows * columns, 1, scale);
        const matrix = quantizeQ8('w', data, rows, columns);
        const back = dequantizeQ8(matrix);
        for (let row = 0; row < rows; row++) {
          for (let block = 0; block < q8Blocks(columns); block++) {
            const [first, end] = [row * columns + block * Q8_BLOCK, row * columns + Math.min(columns, (block + 1) * Q8_BLOCK)];
            const step = matrix.scales[row * q8Blocks(columns) + block];
            for (let i = first; i < end; i++) expect(Math.abs(back[i] - data[i])).toBeLessThanOrEqual(step * 0.50001);
            expect(Math.max(...matrix.values.slice(first, end).map(Math.abs))).toBe(127);
          }
        }
        // What is there already stays as it is.
        const again = quantizeQ8('w', back, rows, columns);
        expect(again.values).toEqual(matrix.values);
      }
    },
  );

  it('ties go to even', () => {
    const data = new Float32Array(Q8_BLOCK);
    data.set([127, 0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 126.5]);
    expect([...quantizeQ8('w', data, 1, Q8_BLOCK).values.slice(0, 8)]).toEqual([127, 0, 2, 2, 0, -2, -2, 126]);
  });

  it('the transpose is rounded as the matrix is', () => {
    for (const [rows, columns] of SHAPES) {
      const data = normals(rows * columns, 2);
      const turned = new Float32Array(data.length);
      for (let r = 0; r < rows; r++) for (let c = 0; c < columns; c++) turned[c * rows + r] = data[r * columns + c];
      const matrix = quantizeQ8('w', data, rows, columns);
      expect(quantizeQ8('w', turned, rows, columns, true)).toEqual(matrix);
      const [plain, plainTurned] = [dequantizeQ8(matrix), dequantizeQ8(matrix, true)];
      for (let r = 0; r < rows; r++) for (let c = 0; c < columns; c++) expect(plainTurned[c * rows + r]).toBe(plain[r * columns + c]);
    }
  });

  it('blocks of zeros and of subnormals are zeros', () => {
    for (const value of [0, -0, 1e-40, -1e-37]) {
      const { values, scales } = quantizeQ8('w', new Float32Array(64).fill(value), 1, 64);
      expect(values.every((x) => x === 0) && scales.every((x) => x === 0)).toBe(true);
    }
  });

  it('refuses what is not finite by its place, and another size', () => {
    for (const bad of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
      const data = normals(3 * 40, 3);
      data[2 * 40 + 35] = bad;
      expect(() => quantizeQ8('h.0.weight', data, 3, 40)).toThrow(
        new FerroError('NON_FINITE_WEIGHTS', `quantize: the weights of "h.0.weight" must be finite, got ${bad} at [2, 35]`),
      );
    }
    expect(() => quantizeQ8('w', new Float32Array(7), 2, 4)).toThrow(/must have 2 x 4 elements, got 7/);
  });
});

describe('layout', () => {
  it.each(SHAPES)('%i x %i: packing and unpacking give the same numbers, 1.125 bytes each', (rows, columns) => {
    const matrix = quantizeQ8('w', normals(rows * columns, 4), rows, columns);
    const words = packQ8(matrix);
    expect(words.byteLength).toBe(q8Bytes(rows, columns));
    expect(q8Bytes(rows, columns)).toBe(Math.ceil(rows / 8) * 8 * Math.ceil(columns / 32) * 36);
    expect(unpackQ8(words, rows, columns)).toEqual(matrix);
    // A part of a larger array, as an engine's memory gives it.
    const larger = new Int32Array(words.length + 8);
    larger.set(words, 4);
    expect(unpackQ8(larger.subarray(4, 4 + words.length), rows, columns)).toEqual(matrix);
  });
});

describe('as a dtype', () => {
  const blocks = () => new Variable({ name: 'w', shape: [16, 40], dtype: 'q8' });
  it('counts its own bytes in programs', () => {
    const program = compile({ name: 'p', outputs: { y: linear(input('x', [2, 40]), blocks(), undefined, { transposed: true }) } });
    // matmul_q8's second operand.
    expect([...program.words].includes(q8Bytes(16, 40))).toBe(true);
  });
  it('is frozen, a matrix, and read as [N, K] only', () => {
    expect(blocks().trainable).toBe(false);
    expect(() => new Variable({ name: 'w', shape: [3, 4, 5], dtype: 'q8' })).toThrow(/must be \[rows, columns\]/);
    expect(() => new Variable({ name: 'w', shape: [3, 4], dtype: 'q8', init: { kind: 'ones' } })).toThrow(/begin as zeros/);
    expect(() => linear(input('x', [2, 16]), blocks())).toThrow(/"transposed" must be true/);
    expect(() => input('x', [2, 16], 'q8')).toThrow(/must be f32 or i32/);
    expect(embedding(blocks(), input('ids', [3], 'i32')).shape).toEqual([3, 40]);
  });
});

describe('gradients', () => {
  it('pass through frozen weights and never reach them', () => {
    const x = new Variable({ name: 'x', shape: [3, 40] });
    const bias = new Variable({ name: 'bias', shape: [16] });
    for (const dtype of ['q8', 'bf16'] as const) {
      const w = new Variable({ name: 'w', shape: [16, 40], dtype });
      for (const exact of [false, true]) {
        const y = linear(x, w, bias, { transposed: true, exact });
        const gradients = differentiate(y, [x, bias]);
        expect([gradients.get(x)?.shape, gradients.get(bias)?.shape]).toEqual([[3, 40], [16]]);
        expect(() => differentiate(y, [w])).toThrow(/variables must be f32, got "w" of/);
        expect(() => differentiate(y, [x, w])).toThrow(FerroError);
      }
    }
  });
});

describe('what is stored in another way', () => {
  it('has one shape, and is no result of a program nor written by one', () => {
    for (const dtype of ['q8', 'bf16'] as const) {
      const [w, other] = ['w', 'other'].map((name) => new Variable({ name, shape: [8, 32], dtype }));
      const refused = (work: () => unknown, rule: RegExp) => {
        expect(work).toThrow(rule);
        expect(work).toThrow(expect.objectContaining({ code: 'INVALID_DTYPE' }));
      };
      refused(() => reshape(w, [32, 8]), /reshape: x must be f32 or i32, got (q8|bf16)\[8, 32\]/);
      refused(() => compile({ name: 'p', outputs: { w: w.tensor } }), /output "w": frozen weights are read by products and lookups alone/);
      refused(() => assign(w, other), /assign: frozen weights are written from outside alone, got "w" of (q8|bf16)/);
    }
  });
});

describe('bf16', () => {
  it('takes two bytes for each weight, up to a word, in variables [rows, columns] of zeros or data', () => {
    const make = (shape: number[], init?: Init) => new Variable({ name: 'w', shape, dtype: 'bf16', init });
    expect([bf16Bytes(3, 3), make([3, 3]).bytes, make([4, 8]).bytes]).toEqual([20, 20, 64]);
    expect(make([2, 2]).trainable).toBe(false);
    for (const data of [new Float32Array(4), new Uint16Array(4)]) expect(make([2, 2], { kind: 'data', data }).init.kind).toBe('data');
    expect(() => make([2, 2], { kind: 'data', data: new Int32Array(4) })).toThrow(/Float32Array or the bits in a Uint16Array/);
    expect(() => make([2, 2], { kind: 'data', data: new Uint16Array(3) })).toThrow(/must have 4 elements/);
    expect(() => make([4])).toThrow(/bf16 weights must be \[rows, columns\]/);
    expect(() => make([2, 2], { kind: 'ones' })).toThrow(/of zeros or data/);
    expect(() => new Variable({ name: 'w', shape: [2], init: { kind: 'data', data: new Uint16Array(2) } })).toThrow(
      /must be a Float32Array/,
    );
    expect(() => input('x', [2, 2], 'bf16')).toThrow(/must be f32 or i32/);
    expect(linear(input('x', [2, 4]), make([4, 7])).shape).toEqual([2, 7]);
    expect(linear(input('x', [2, 7]), make([4, 7]), undefined, { transposed: true }).shape).toEqual([2, 4]);
  });
});
