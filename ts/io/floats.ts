// Exact conversion of the 16-bit float formats of checkpoint files to 32 bits, subnormals, infinities and NaN included. Bit work only, no rounding.

/** bfloat16 → f32: the upper half of the same bits. */
export function fromBfloat16(bits: Uint16Array): Float32Array {
  const out = new Uint32Array(bits.length);
  for (let i = 0; i < bits.length; i++) out[i] = bits[i] << 16;
  return new Float32Array(out.buffer);
}

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
