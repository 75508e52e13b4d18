// Conversion between f32 and the 16-bit float formats of checkpoint files: exact upwards, subnormals, infinities and NaN included; rounded
// downwards. Bit work only.

export { fromBfloat16, toBfloat16 } from '../math';

/** IEEE binary16 (1 sign, 5 exponent, 10 fraction bits) → f32; every value is exact. */
export function fromFloat16(bits: Uint16Array): Float32Array {
  const out = new Uint32Array(bits.length);
  for (let i = 0; i < bits.length; i++) out[i] = float16Bits(bits[i]);
  return new Float32Array(out.buffer);
}

function float16Bits(half: number): number {
  const sign = (half & 0x8000) << 16;
  const exponent = (half >> 10) & 31;
  const fraction = half & 0x3ff;
  if (exponent === 31) return sign | 0x7f800000 | (fraction << 13);
  if (exponent !== 0) return sign | ((exponent + 112) << 23) | (fraction << 13); // bias 15 → 127
  if (fraction === 0) return sign;
  // Subnormal: fraction · 2^−24. Its leading bit becomes the implicit one.
  const lead = 31 - Math.clz32(fraction);
  return sign | ((lead + 103) << 23) | ((fraction << (23 - lead)) & 0x7fffff);
}

/** f32 → IEEE binary16, to nearest, ties to even; from 65520 on infinity; NaN stays NaN. */
export function toFloat16(values: Float32Array): Uint16Array {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const out = new Uint16Array(values.length);
  for (let i = 0; i < bits.length; i++) out[i] = halfOf(bits[i]);
  return out;
}

const scratch = new Float32Array(1);
const scratchBits = new Uint32Array(scratch.buffer);

function halfOf(bits: number): number {
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00;
  if (magnitude >= 0x477ff000) return sign | 0x7c00;
  if (magnitude >= 0x38800000) return sign | ((magnitude - (112 << 23) + 0xfff + ((magnitude >> 13) & 1)) >> 13); // bias 127 → 15
  // Below 2^−14 a binary16 counts steps of 2^−24, which is the spacing of f32 numbers from 0.5 to 1: adding 0.5 rounds to it.
  scratchBits[0] = magnitude;
  scratch[0] += 0.5;
  return sign | (scratchBits[0] - 0x3f000000);
}
