// How numbers lie in a GGUF file: f32 values to the bytes of one of its types. Nothing about files, names or models.
import { FerroError } from '../../errors';
import { toBfloat16, toFloat16 } from '../floats';

/** Types of a tensor's elements, by llama.cpp's names. */
export type GgufType = 'F32' | 'F16' | 'BF16' | 'Q8_0';

/** The numbers that stand for the types in a file (enum ggml_type), and what a block of elements takes. */
export const GGUF_TYPES: Readonly<Record<GgufType, { readonly id: number; readonly blockElements: number; readonly blockBytes: number }>> =
  {
    F32: { id: 0, blockElements: 1, blockBytes: 4 },
    F16: { id: 1, blockElements: 1, blockBytes: 2 },
    BF16: { id: 30, blockElements: 1, blockBytes: 2 },
    Q8_0: { id: 8, blockElements: 32, blockBytes: 34 },
  };

/** Bytes that `count` elements take, a whole number of blocks. */
export function bytesOfType(type: GgufType, count: number): number {
  const { blockElements, blockBytes } = GGUF_TYPES[type];
  return (count / blockElements) * blockBytes;
}

const INFINITE = 0x7c00; // binary16

/**
 * Values as the bytes of a type.
 * @param name the tensor's, for messages
 * @throws NON_FINITE_WEIGHTS for NaN and infinities; INVALID_OPTION for a number beyond the range of binary16
 */
export function encodeTensor(name: string, type: GgufType, values: Float32Array): Uint8Array {
  const at = values.findIndex((value) => !Number.isFinite(value));
  if (at >= 0) throw new FerroError('NON_FINITE_WEIGHTS', `export: weights must be finite, got ${values[at]} in ${name} at ${at}`);
  if (type === 'F32') return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  if (type === 'Q8_0') return encodeQ8(name, values);
  return new Uint8Array((type === 'BF16' ? toBfloat16(values) : checkedFloat16(name, values)).buffer);
}

/** @throws INVALID_OPTION for a number beyond the range of binary16 */
export function checkedFloat16(name: string, values: Float32Array): Uint16Array {
  const half = toFloat16(values);
  const beyond = half.findIndex((bits, i) => (bits & 0x7fff) === INFINITE && Number.isFinite(values[i]));
  if (beyond >= 0) throw tooLarge(name, values[beyond]);
  return half;
}

function tooLarge(name: string, value: number): FerroError {
  return new FerroError('INVALID_OPTION', `export: "dtype" float16 must hold every weight (up to 65504), got ${value} in ${name}`);
}

/**
 * Q8_0: blocks of 32 numbers, each a scale (binary16) and 32 signed bytes; a number is byte × scale. The scale is the largest magnitude ÷ 127, so the
 * error of a number is at most half of it (and what the scale loses as a binary16). Rounded half away from zero in f32, as ggml does.
 */
function encodeQ8(name: string, values: Float32Array): Uint8Array {
  const { blockElements, blockBytes } = GGUF_TYPES.Q8_0;
  const out = new Uint8Array(bytesOfType('Q8_0', values.length));
  const view = new DataView(out.buffer);
  for (let from = 0, to = 0; from < values.length; from += blockElements, to += blockBytes) {
    const block = values.subarray(from, from + blockElements);
    let largest = 0;
    for (const value of block) largest = Math.max(largest, Math.abs(value));
    const scale = Math.fround(largest / 127);
    const inverse = scale === 0 ? 0 : Math.fround(1 / scale);
    const [half] = toFloat16(Float32Array.of(scale));
    if (half === INFINITE) throw tooLarge(name, largest);
    view.setUint16(to, half, true);
    for (let i = 0; i < blockElements; i++) {
      const quotient = Math.fround(block[i] * inverse);
      const rounded = Math.floor(Math.abs(quotient) + 0.5);
      view.setInt8(to + 2 + i, quotient < 0 ? -rounded : rounded);
    }
  }
  return out;
}
