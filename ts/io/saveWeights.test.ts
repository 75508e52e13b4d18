import { describe, expect, test } from 'vitest';
import { type FileData, pieces, sizeOf, toBlob } from './files';
import { fromBfloat16, toBfloat16 } from './floats';
import { memoryFolder } from './folders';
import { SafetensorsFile } from './safetensors';
import { lazySafetensors, type TensorData, type TensorSource, type WritableTensor, writeSafetensors } from './safetensorsWriter';
import { readSize, weightsToFiles } from './saveWeights';
import { openWeights } from './weightFiles';

const code = (expected: string) => expect.objectContaining({ code: expected });
const bytesOf = async (data: FileData) => new Uint8Array(await (await toBlob(data)).arrayBuffer());
const f32 = (...values: number[]) => ({ shape: [values.length], data: Float32Array.from(values) });
const open = async (data: FileData) => SafetensorsFile.fromBytes('x', await bytesOf(data));

describe('bfloat16', () => {
  test('all 65,536 patterns come back as they are; NaN stays NaN', () => {
    const all = Uint16Array.from({ length: 65_536 }, (_, i) => i);
    const values = fromBfloat16(all);
    const back = toBfloat16(values);
    for (let i = 0; i < all.length; i++) {
      if (Number.isNaN(values[i])) expect(back[i] & 0x7fff, `0x${i.toString(16)}`).toBe((i & 0x7fff) | 0x40);
      else if (back[i] !== i) expect(back[i], `0x${i.toString(16)}`).toBe(i);
    }
  });

  test('rounds to the nearest, ties to even, beyond the largest to infinity', () => {
    const bits = Uint32Array.of(
      0x3f808000, // 1 + half a step: even below
      0x3f818000, // 1 step + half: even above
      0x3f808001, // just above the tie
      0x3f807fff, // just below
      0x7f7f7fff, // rounds to the largest
      0x7f7f8000, // a tie with infinity, which is even
      0xff7fffff, // beyond the largest, negative
      0x00008000, // a tie of subnormals: 0
      0x00018000, // a tie of subnormals: 2 steps
      0x80000001, // negative, smallest: −0
      0x7f800001, // a NaN whose upper half is that of infinity
      0xffffffff, // a NaN that would carry into the sign
    );
    const rounded = toBfloat16(new Float32Array(bits.buffer));
    expect(Array.from(rounded, (value) => value.toString(16))).toEqual([
      '3f80',
      '3f82',
      '3f81',
      '3f80',
      '7f7f',
      '7f80',
      'ff80',
      '0',
      '2',
      '8000',
      '7fc0',
      'ffff',
    ]);
  });

  test('agrees with the nearest neighbour by definition on random numbers', () => {
    let state = 1;
    const bits = Uint32Array.from({ length: 20_000 }, () => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return (state & 0xbfffffff) >>> 0; // magnitudes below 2, subnormals included
    });
    const values = new Float32Array(bits.buffer);
    const rounded = fromBfloat16(toBfloat16(values));
    for (let i = 0; i < values.length; i++) {
      const [low, high] = fromBfloat16(Uint16Array.of(bits[i] >>> 16, (bits[i] >>> 16) + 1));
      const [down, up] = [Math.abs(values[i] - low), Math.abs(high - values[i])];
      const nearest = down < up || (down === up && ((bits[i] >>> 16) & 1) === 0) ? low : high;
      if (rounded[i] !== nearest) expect(rounded[i], String(values[i])).toBe(nearest);
    }
  });
});

describe('the writer', () => {
  test('orders by alignment, then by name in the order of UTF-8 bytes; any dtype can be written', async () => {
    const raw = (dtype: string, bytes: number): WritableTensor => ({ dtype, shape: [bytes], bytes: new Uint8Array(bytes) });
    const tensors = new Map<string, WritableTensor>([
      ['z', raw('I8', 3)],
      ['b', f32(1)],
      ['\u{10000}', f32(2)],
      ['\uffff', f32(3)],
      ['ab', f32(4)],
      ['a', f32(5)],
      ['long', { dtype: 'I64', shape: [1], bytes: new Uint8Array(8) }],
      ['half', { dtype: 'BF16', shape: [2, 1], bytes: Uint8Array.of(0x80, 0x3f, 0, 0x40) }],
      ['u', raw('U8', 1)],
      ['four', { dtype: 'F4', shape: [4], bytes: new Uint8Array(2) }],
    ]);
    const file = await open(lazySafetensors(tensors));
    const order = [...file.tensors.values()].sort((a, b) => a.begin - b.begin).map(({ name }) => name);
    expect(order).toEqual(['long', 'a', 'ab', 'b', '\uffff', '\u{10000}', 'half', 'z', 'u', 'four']);
    expect(await file.float32('half')).toEqual(Float32Array.of(1, 2));
    for (const { dtype, begin } of file.tensors.values()) if (dtype === 'F32') expect(begin % 4).toBe(0);
  });

  test('a lazy file has the bytes of the eager one, and its size beforehand; a piece at a time is held', async () => {
    const tensors = new Map<string, TensorData>([
      ['a', f32(1, 2, 3)],
      ['b', { shape: [2, 2], data: Int32Array.of(1, -2, 3, -4) }],
    ]);
    const lazy = lazySafetensors(tensors);
    const eager = await bytesOf(writeSafetensors(tensors));
    expect(await bytesOf(lazy)).toEqual(eager);
    expect(await bytesOf(lazy)).toEqual(eager); // again
    expect(sizeOf(lazy)).toBe(eager.length);
    let held = 0;
    const source: TensorSource = {
      dtype: 'F32',
      shape: [1000],
      async *pieces() {
        for (let i = 0; i < 10; i++) {
          expect(++held).toBe(1);
          yield new Uint8Array(400);
        }
      },
    };
    for await (const piece of pieces(lazySafetensors(new Map([['x', source]])))) if (piece.length === 400) held--;
  });

  test('a source that gives another number of bytes than its shape has is an error, not a broken file', async () => {
    for (const bytes of [0, 3, 5, 8]) {
      const lazy = lazySafetensors(new Map([['x', { dtype: 'F32', shape: [1], pieces: () => [new Uint8Array(bytes)] }]]));
      await expect(bytesOf(lazy)).rejects.toThrowError(code('INVALID_SHAPE'));
    }
    expect(() => lazySafetensors(new Map([['x', { dtype: 'F33', shape: [1], pieces: () => [] }]]))).toThrowError(code('INVALID_DTYPE'));
    expect(() => lazySafetensors(new Map([['x', { dtype: 'F4', shape: [3], pieces: () => [] }]]))).toThrowError(code('INVALID_SHAPE'));
    expect(() => lazySafetensors(new Map([['\ud800', f32(1)]]))).toThrowError(code('INVALID_FILE'));
  });
});

describe('shards', () => {
  test('sizes as Hugging Face writes them', () => {
    expect(['5', '5KB', '200MB', '1.5 GB', '1KiB', '2mib', '1GIB'].map(readSize)).toEqual([5, 5000, 2e8, 1.5e9, 1024, 2 ** 21, 2 ** 30]);
    expect(readSize(7)).toBe(7);
    for (const wrong of ['', 'MB', '-1MB', '1TB', '1e3', '0', 0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY])
      expect(() => readSize(wrong), String(wrong)).toThrowError(code('INVALID_OPTION'));
  });

  test('filled in order up to the size; a larger tensor stands alone; the index says all', async () => {
    const tensors = new Map(
      [4, 4, 3, 50, 1, 1].map((size, i) => [`t${i}`, { shape: [size], data: new Float32Array(size).fill(i) }] as const),
    );
    const files = weightsToFiles(tensors, 32);
    const names = [1, 2, 3, 4].map((i) => `model-0000${i}-of-00004.safetensors`);
    expect([...files.keys()]).toEqual([...names, 'model.safetensors.index.json']);
    const index = JSON.parse(files.get('model.safetensors.index.json') as string);
    expect(index.metadata).toEqual({ total_size: 63 * 4 });
    expect(index.weight_map).toEqual({ t0: names[0], t1: names[0], t2: names[1], t3: names[2], t4: names[3], t5: names[3] });
    const weights = await openWeights(memoryFolder(files));
    for (const [name, { data }] of tensors) expect(await weights.float32(name)).toEqual(data);
    expect([...weightsToFiles(tensors, '1MB').keys()]).toEqual(['model.safetensors']);
    expect([...weightsToFiles(tensors).keys()]).toEqual(['model.safetensors']);
  });

  test('C6: no tensors at all is still a valid file', async () => {
    const files = weightsToFiles(new Map(), '1MB');
    expect([...files.keys()]).toEqual(['model.safetensors']);
    expect((await open(files.get('model.safetensors')!)).tensors.size).toBe(0);
  });
});
