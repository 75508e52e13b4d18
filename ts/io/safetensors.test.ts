import { describe, expect, test } from 'vitest';
import { toBlob } from './files';
import { fromBfloat16, fromFloat16 } from './floats';
import { SafetensorsFile } from './safetensors';
import { type TensorData, writeSafetensors } from './safetensorsWriter';

/** A file of a header's text (or bytes) and `dataBytes` bytes of data; `length` replaces the header's true length. */
function fileOf(header: string | Uint8Array, dataBytes = 0, length?: bigint): Uint8Array {
  const json = typeof header === 'string' ? new TextEncoder().encode(header) : header;
  const bytes = new Uint8Array(8 + json.length + dataBytes);
  new DataView(bytes.buffer).setBigUint64(0, length ?? BigInt(json.length), true);
  bytes.set(json, 8);
  return bytes;
}

const verdict = async (bytes: Uint8Array): Promise<string> => {
  try {
    await SafetensorsFile.fromBytes('x.safetensors', bytes);
    return 'accept';
  } catch (error) {
    return `${(error as { code?: string }).code}`;
  }
};

const join = async (parts: readonly Uint8Array[]) => new Uint8Array(await (await toBlob(parts)).arrayBuffer());
const A = '{"dtype":"F32","shape":[1],"data_offsets":[0,4]}';

describe('reading safetensors', () => {
  const accepted: [name: string, bytes: Uint8Array][] = [
    ['one tensor', fileOf(`{"a":${A}}`, 4)],
    ['no tensor', fileOf('{}')],
    ['metadata only', fileOf('{"__metadata__":{"format":"pt","":"x"}}')],
    ['null metadata', fileOf('{"__metadata__":null}')],
    ['white space around', fileOf(` \t\r\n{ "a" : ${A} } \n`, 4)],
    ['tensors in any order', fileOf(`{"b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]},"a":${A}}`, 8)],
    [
      'a scalar and empty tensors',
      fileOf('{"s":{"dtype":"F32","shape":[],"data_offsets":[0,4]},"e":{"dtype":"F32","shape":[0,3],"data_offsets":[4,4]}}', 4),
    ],
    ['an empty tensor in front', fileOf(`{"e":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},"a":${A}}`, 4)],
    [
      'a zero before sizes that would overflow',
      fileOf('{"a":{"dtype":"F32","shape":[0,9007199254740991,9007199254740991],"data_offsets":[0,0]}}'),
    ],
    [
      'names that are hard on objects and paths',
      fileOf(
        `{"__proto__":${A},"":{"dtype":"U8","shape":[1],"data_offsets":[4,5]},"../x":{"dtype":"U8","shape":[1],"data_offsets":[5,6]}}`,
        6,
      ),
    ],
    ['escapes', fileOf(`{"\\u0061\\ud83d\\ude00\\n\\"\\\\\\/":${A}}`, 4)],
    ['unknown fields', fileOf('{"a":{"x":[1,-2.5e3,{"y":null,"z":[true,false,"s"]}],"dtype":"F32","shape":[1],"data_offsets":[0,4]}}', 4)],
    ['two four-bit floats', fileOf('{"a":{"dtype":"F4","shape":[2],"data_offsets":[0,1]}}', 1)],
  ];
  test.each(accepted)('%s is accepted', async (_, bytes) => {
    expect(await verdict(bytes)).toBe('accept');
  });

  const entry = (fields: string, bytes = 4): Uint8Array => fileOf(`{"a":{${fields}}}`, bytes);
  const refused: [name: string, bytes: Uint8Array][] = [
    ['an empty file', new Uint8Array(0)],
    ['seven bytes', new Uint8Array(7)],
    ['a header of no length', fileOf('', 0)],
    ['a header longer than the file', fileOf('{}', 0, 3n)],
    ['a header above 100 MB', fileOf('{}', 0, 100_000_001n)],
    ['a length of 2^63', fileOf('{}', 0, 1n << 63n)],
    ['a length of 2^64 − 1', fileOf('{}', 0, (1n << 64n) - 1n)],
    ['a list', fileOf('[]')],
    ['null', fileOf('null')],
    ['a byte after the last tensor', fileOf(`{"a":${A}}`, 5)],
    ['a missing byte', fileOf(`{"a":${A}}`, 3)],
    ['something after the JSON', fileOf('{}{}')],
    ['NUL after the JSON', fileOf('{}\0')],
    ['a byte order mark', fileOf('\uFEFF{}')],
    ['bytes that are not UTF-8', fileOf(Uint8Array.from([...'{"', '\xff', '":1}'].join(''), (c) => c.charCodeAt(0)))],
    ['a name twice', fileOf(`{"a":${A},"a":${A}}`, 4)],
    ['a name twice, once escaped', fileOf(`{"a":${A},"\\u0061":${A}}`, 4)],
    ['metadata twice', fileOf('{"__metadata__":{},"__metadata__":{}}')],
    ['a metadata key twice', fileOf('{"__metadata__":{"x":"1","x":"1"}}')],
    ['a field twice', entry('"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]')],
    ['an unknown field twice inside', entry('"x":{"y":1,"y":1},"dtype":"F32","shape":[1],"data_offsets":[0,4]')],
    ['an overlap', fileOf(`{"a":${A},"b":{"dtype":"F32","shape":[1],"data_offsets":[2,6]}}`, 6)],
    ['the same bytes twice', fileOf(`{"a":${A},"b":${A}}`, 4)],
    ['a hole', fileOf(`{"a":${A},"b":{"dtype":"F32","shape":[1],"data_offsets":[5,9]}}`, 9)],
    ['a start that is not 0', entry('"dtype":"F32","shape":[1],"data_offsets":[4,8]', 8)],
    ['an end before the begin', entry('"dtype":"F32","shape":[1],"data_offsets":[4,0]')],
    ['a negative offset', entry('"dtype":"F32","shape":[1],"data_offsets":[-4,0]')],
    ['an offset 4.0', entry('"dtype":"F32","shape":[1],"data_offsets":[0,4.0]')],
    ['an offset 4e0', entry('"dtype":"F32","shape":[1],"data_offsets":[0,4e0]')],
    ['an offset "4"', entry('"dtype":"F32","shape":[1],"data_offsets":[0,"4"]')],
    ['an offset 04', entry('"dtype":"F32","shape":[1],"data_offsets":[0,04]')],
    ['three offsets', entry('"dtype":"F32","shape":[1],"data_offsets":[0,4,4]')],
    ['one offset', entry('"dtype":"F32","shape":[1],"data_offsets":[0]')],
    ['too few bytes for the shape', entry('"dtype":"F32","shape":[2],"data_offsets":[0,4]')],
    ['a negative size', entry('"dtype":"F32","shape":[-1],"data_offsets":[0,4]')],
    ['a size of 2^53', entry('"dtype":"F32","shape":[9007199254740992,0],"data_offsets":[0,0]', 0)],
    ['sizes that overflow before the zero', entry('"dtype":"F32","shape":[9007199254740991,9007199254740991,0],"data_offsets":[0,0]', 0)],
    // 2^30 · 2^32 · 4 bytes is 2^64: 0 in 64-bit arithmetic, 0 in 32-bit arithmetic long before.
    ['sizes whose bytes wrap around to 0', entry('"dtype":"F32","shape":[1073741824,4294967296],"data_offsets":[0,0]', 0)],
    ['sizes whose bytes wrap around to 4', entry('"dtype":"F32","shape":[4294967297,1073741824,4],"data_offsets":[0,4]')],
    ['an unknown dtype', entry('"dtype":"F33","shape":[1],"data_offsets":[0,4]')],
    ['a dtype in small letters', entry('"dtype":"f32","shape":[1],"data_offsets":[0,4]')],
    ['a dtype from Object.prototype', entry('"dtype":"constructor","shape":[1],"data_offsets":[0,4]')],
    ['no dtype', entry('"shape":[1],"data_offsets":[0,4]')],
    ['no shape', entry('"dtype":"F32","data_offsets":[0,4]')],
    ['no offsets', entry('"dtype":"F32","shape":[1]')],
    ['metadata that is no text', fileOf('{"__metadata__":{"x":1}}')],
    ['metadata that is a list', fileOf('{"__metadata__":[]}')],
    ['NUL in a name', fileOf(`{"a\\u0000b":${A}}`, 4)],
    ['half a surrogate pair in a name', fileOf(`{"\\ud800":${A}}`, 4)],
    ['a pair the wrong way round', fileOf(`{"\\udc00\\ud800":${A}}`, 4)],
    ['a raw line break in a name', fileOf(`{"a\nb":${A}}`, 4)],
    ['an unknown escape', fileOf(`{"\\x41":${A}}`, 4)],
    ['a trailing comma', fileOf(`{"a":${A},}`, 4)],
    ['a missing colon', fileOf(`{"a" ${A}}`, 4)],
    ['a string that does not end', fileOf('{"a')],
    ['JSON nested 200 deep', entry(`"x":${'['.repeat(200)}${']'.repeat(200)},"dtype":"F32","shape":[1],"data_offsets":[0,4]`)],
    ['JSON nested without end', fileOf(`{"a":{"x":${'['.repeat(100_000)}`)],
    ['one four-bit float', entry('"dtype":"F4","shape":[1],"data_offsets":[0,1]', 1)],
  ];
  test.each(refused)('%s is refused', async (_, bytes) => {
    expect(await verdict(bytes)).toBe('INVALID_FILE');
  });

  test('a file cut anywhere is refused; cut data never loads as zeros', async () => {
    const whole = await join(writeSafetensors(new Map([['a', { shape: [3], data: Float32Array.of(1, 2, 3) }]])));
    expect(await verdict(whole)).toBe('accept');
    for (let length = 0; length < whole.length; length++)
      expect(await verdict(whole.subarray(0, length)), `${length} bytes`).toBe('INVALID_FILE');
  });

  test('"__proto__" is a name like any other and Object.prototype stays as it is', async () => {
    const before = Object.getOwnPropertyNames(Object.prototype);
    const file = await SafetensorsFile.fromBytes('x', fileOf(`{"__proto__":${A},"__metadata__":{"__proto__":"m","constructor":"c"}}`, 4));
    expect([...file.tensors.keys()]).toEqual(['__proto__']);
    expect(file.metadata.get('__proto__')).toBe('m');
    expect(await file.float32('__proto__')).toEqual(Float32Array.of(0));
    expect(Object.getOwnPropertyNames(Object.prototype)).toEqual(before);
  });

  test('the source is closed when a file is refused', async () => {
    let closed = 0;
    const source = {
      name: 'x',
      sizeBytes: 10,
      read: (start: number, end: number) => Promise.resolve(new Uint8Array(end - start)),
      close: () => Promise.resolve(void closed++),
    };
    await expect(SafetensorsFile.open(source)).rejects.toThrowError(expect.objectContaining({ code: 'INVALID_FILE' }));
    expect(closed).toBe(1);
  });

  test('unaligned tensors, F16, BF16 and F64 are converted; other dtypes are typed errors', async () => {
    const header = `{"u":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"f":{"dtype":"F32","shape":[1],"data_offsets":[1,5]},
      "h":{"dtype":"F16","shape":[2],"data_offsets":[5,9]},"b":{"dtype":"BF16","shape":[1],"data_offsets":[9,11]},"d":{"dtype":"F64","shape":[1],"data_offsets":[11,19]}}`;
    const bytes = fileOf(header, 19);
    const view = new DataView(bytes.buffer, bytes.length - 19);
    view.setFloat32(1, 1.5, true);
    view.setUint16(5, 0x3c01, true); // 1 + 2^-10
    view.setUint16(7, 0x8001, true); // −2^-24, subnormal
    view.setUint16(9, 0xc049, true); // the upper half of f32 −3.140625
    view.setFloat64(11, 0.1, true);
    const file = await SafetensorsFile.fromBytes('x', bytes);
    expect(await file.float32('f')).toEqual(Float32Array.of(1.5));
    expect(await file.float32('h')).toEqual(Float32Array.of(1 + 2 ** -10, -(2 ** -24)));
    expect(await file.float32('b')).toEqual(Float32Array.of(-3.140625));
    expect(await file.float32('d')).toEqual(Float32Array.of(Math.fround(0.1)));
    await expect(file.float32('u')).rejects.toThrowError(expect.objectContaining({ code: 'INVALID_DTYPE' }));
    await expect(file.int32('f')).rejects.toThrowError(expect.objectContaining({ code: 'INVALID_DTYPE' }));
    await expect(file.float32('none')).rejects.toThrowError(expect.objectContaining({ code: 'INVALID_FILE' }));
  });
});

describe('16-bit floats', () => {
  test('all 65,536 binary16 patterns equal the definition', () => {
    const all = Uint16Array.from({ length: 65_536 }, (_, i) => i);
    const converted = fromFloat16(all);
    const wrong: number[] = [];
    for (let bits = 0; bits < 65_536; bits++) {
      const [sign, exponent, fraction] = [bits >> 15 ? -1 : 1, (bits >> 10) & 31, bits & 1023];
      const special = fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
      const finite = exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1024 + fraction) * 2 ** (exponent - 25);
      if (!Object.is(converted[bits], exponent === 31 ? special : finite)) wrong.push(bits);
    }
    expect(wrong).toEqual([]);
  });

  test('all 65,536 bfloat16 patterns are the upper half of the f32', () => {
    const converted = new Uint32Array(fromBfloat16(Uint16Array.from({ length: 65_536 }, (_, i) => i)).buffer);
    expect(converted.every((bits, i) => bits === (i << 16) >>> 0)).toBe(true);
  });
});

describe('writing safetensors', () => {
  const tensors = new Map<string, TensorData>([
    ['b', { shape: [2, 2], data: Float32Array.of(1, -0, Number.POSITIVE_INFINITY, 1e-45) }],
    ['a', { shape: [], data: Int32Array.of(-7) }],
    ['__proto__', { shape: [0, 5], data: new Float32Array(0) }],
  ]);

  test('what is written reads back bit for bit', async () => {
    const bytes = await join(
      writeSafetensors(
        tensors,
        new Map([
          ['format', 'pt'],
          ['__proto__', 'x'],
        ]),
      ),
    );
    const file = await SafetensorsFile.fromBytes('x', bytes);
    expect([...file.tensors.keys()]).toEqual(['__proto__', 'b', 'a']);
    expect(Object.fromEntries(file.metadata)).toEqual(JSON.parse('{"format":"pt","__proto__":"x"}'));
    expect(file.entry('b').shape).toEqual([2, 2]);
    const written = tensors.get('b')!.data;
    expect(Buffer.from((await file.float32('b')).buffer).equals(Buffer.from(written.buffer))).toBe(true);
    expect(await file.int32('a')).toEqual(Int32Array.of(-7));
    expect(file.entry('a').shape).toEqual([]);
  });

  test('the data begins at a multiple of 8, after spaces; metadata says "pt"; order is by alignment, then by name', () => {
    const [header] = writeSafetensors(tensors);
    expect(header.length % 8).toBe(0);
    const length = Number(new DataView(header.buffer).getBigUint64(0, true));
    expect(length).toBe(header.length - 8);
    expect(new TextDecoder().decode(header.subarray(8)).trimEnd()).toBe(
      '{"__metadata__":{"format":"pt"},"__proto__":{"dtype":"F32","shape":[0,5],"data_offsets":[0,0]},' +
        '"b":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},"a":{"dtype":"I32","shape":[],"data_offsets":[16,20]}}',
    );
  });

  test('a part of a larger array is written alone', async () => {
    const data = Float32Array.of(9, 1, 2, 9).subarray(1, 3);
    const file = await SafetensorsFile.fromBytes('x', await join(writeSafetensors(new Map([['a', { shape: [2], data }]]))));
    expect(await file.float32('a')).toEqual(Float32Array.of(1, 2));
  });

  test('metadata without tensors, and nothing at all, are valid files', async () => {
    expect(await verdict(await join(writeSafetensors(new Map())))).toBe('accept');
    expect(await verdict(await join(writeSafetensors(new Map(), new Map())))).toBe('accept');
  });

  test('what no reader would take is refused', () => {
    const one = { shape: [1], data: new Float32Array(1) };
    expect(() => writeSafetensors(new Map([['a\0', one]]))).toThrowError(expect.objectContaining({ code: 'INVALID_FILE' }));
    expect(() => writeSafetensors(new Map([['__metadata__', one]]))).toThrowError(expect.objectContaining({ code: 'INVALID_FILE' }));
    expect(() => writeSafetensors(new Map([['a', { ...one, shape: [2] }]]))).toThrowError(
      expect.objectContaining({ code: 'INVALID_SHAPE' }),
    );
    const long = new Map([['x'.repeat(100_000_000), one]]);
    expect(() => writeSafetensors(long)).toThrowError(expect.objectContaining({ code: 'INVALID_FILE' }));
  });
});
