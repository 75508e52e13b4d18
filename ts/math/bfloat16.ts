// bfloat16, the upper half of an f32: exact upwards, subnormals, infinities and NaN included; rounded downwards. Bit work only.

/** bfloat16 → f32: the upper half of the same bits. */
export function fromBfloat16(bits: Uint16Array): Float32Array<ArrayBuffer> {
  const out = new Uint32Array(bits.length);
  for (let i = 0; i < bits.length; i++) out[i] = bits[i] << 16;
  return new Float32Array(out.buffer);
}

/** f32 → bfloat16, rounded to the nearest and on a tie to the even one; beyond the largest it is infinity, NaN stays NaN. */
export function toBfloat16(values: Float32Array): Uint16Array<ArrayBuffer> {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const out = new Uint16Array(bits.length);
  for (let i = 0; i < bits.length; i++) {
    const word = bits[i];
    // A NaN keeps its upper half, quiet: rounding could carry it into infinity or through the sign.
    if ((word & 0x7fffffff) > 0x7f800000) out[i] = (word >>> 16) | 0x40;
    else out[i] = (word + 0x7fff + ((word >>> 16) & 1)) >>> 16;
  }
  return out;
}
