// The dtypes of the safetensors format: bits of an element, and the order in which a writer puts tensors.
import { FerroError } from '../errors';

/** Bits of one element, in the order of the reference implementation (rising alignment). Those below 8 bits must fill whole bytes. */
const DTYPE_BITS: ReadonlyMap<string, number> = new Map([
  ['BOOL', 8],
  ['F4', 4],
  ['F6_E2M3', 6],
  ['F6_E3M2', 6],
  ['U8', 8],
  ['I8', 8],
  ['F8_E5M2', 8],
  ['F8_E4M3', 8],
  ['F8_E8M0', 8],
  ['F8_E4M3FNUZ', 8],
  ['F8_E5M2FNUZ', 8],
  ['I16', 16],
  ['U16', 16],
  ['F16', 16],
  ['BF16', 16],
  ['I32', 32],
  ['U32', 32],
  ['F32', 32],
  ['C64', 64],
  ['F64', 64],
  ['I64', 64],
  ['U64', 64],
]);

const ORDER = new Map([...DTYPE_BITS.keys()].map((dtype, i) => [dtype, i]));

/** Bits of one element. @throws INVALID_DTYPE for a name the format does not have */
export function bitsOf(dtype: string): number {
  const bits = DTYPE_BITS.get(dtype);
  if (bits === undefined) throw new FerroError('INVALID_DTYPE', `safetensors: a dtype must be one of the format's, got ${dtype}`);
  return bits;
}

/** Compares two dtypes for a writer: the one of the larger alignment comes first. */
export function compareDtypes(a: string, b: string): number {
  return ORDER.get(b)! - ORDER.get(a)!;
}

/** The number of elements of a shape. */
export function elementsOf(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}
