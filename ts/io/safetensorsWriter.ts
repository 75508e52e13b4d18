// Writes the safetensors format exactly as the reference writer does: header padded with spaces to a multiple of 8, tensors ordered by the alignment of
// their dtype and then by name, metadata "format": "pt". Contents may be made while they are written. Reading is in safetensors.ts.
import { FerroError } from '../errors';
import { bitsOf, compareDtypes, elementsOf } from './dtypes';
import type { LazyFile } from './files';

/** The reference reader takes no header above this; so the writer refuses to make one. */
export const MAX_HEADER_BYTES = 100_000_000;

/** A tensor in memory: f32 or i32 by the kind of its data. */
export interface TensorData {
  readonly shape: readonly number[];
  readonly data: Float32Array | Int32Array;
}

/** A tensor of any dtype as its bytes, little-endian and row-major. */
export interface RawTensor {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
}

/** A tensor whose bytes are made when they are written, piece by piece. It may be asked for them more than once. */
export interface TensorSource {
  readonly dtype: string;
  readonly shape: readonly number[];
  pieces(): Iterable<Uint8Array> | AsyncIterable<Uint8Array>;
}

/** Anything that can be written. */
export type WritableTensor = TensorData | RawTensor | TensorSource;

const PYTORCH: ReadonlyMap<string, string> = new Map([['format', 'pt']]);
/** The bytes of a typed array, not copied. */
export const bytesOf = (data: ArrayBufferView): Uint8Array => new Uint8Array(data.buffer, data.byteOffset, data.byteLength);

function asSource(tensor: WritableTensor): TensorSource {
  if ('pieces' in tensor) return tensor;
  const { shape } = tensor;
  if ('bytes' in tensor) return { dtype: tensor.dtype, shape, pieces: () => [tensor.bytes] };
  return { dtype: tensor.data instanceof Float32Array ? 'F32' : 'I32', shape, pieces: () => [bytesOf(tensor.data)] };
}

/** Bytes of a tensor's data. @throws INVALID_DTYPE, INVALID_SHAPE where elements do not fill whole bytes */
export function tensorBytes(name: string, { dtype, shape }: { dtype: string; shape: readonly number[] }): number {
  const bits = elementsOf(shape) * bitsOf(dtype);
  if (Number.isSafeInteger(bits) && bits >= 0 && bits % 8 === 0) return bits / 8;
  throw new FerroError('INVALID_SHAPE', `writeSafetensors: ${name} must fill whole bytes, got ${dtype} [${shape.join(', ')}]`);
}

/** Strings by their code points, which is the order of their UTF-8 bytes. */
function compareCodePoints(a: string, b: string): number {
  const [left, right] = [Array.from(a, (c) => c.codePointAt(0)!), Array.from(b, (c) => c.codePointAt(0)!)];
  const at = left.findIndex((code, i) => code !== right[i]);
  if (at < 0) return left.length - right.length;
  return at >= right.length ? 1 : left[at] - right[at];
}

function checkName(name: string): void {
  const shown = JSON.stringify(name);
  if (name === '__metadata__' || name.includes('\0'))
    throw new FerroError('INVALID_FILE', `writeSafetensors: a tensor's name must not be __metadata__ or hold NUL, got ${shown}`);
  if (/\p{Surrogate}/u.test(name))
    throw new FerroError('INVALID_FILE', `writeSafetensors: a tensor's name must be well-formed Unicode, got ${shown}`);
}

/** The tensors in the order of the file, and the file's first bytes: length, header, padding. */
function plan(
  tensors: ReadonlyMap<string, WritableTensor>,
  metadata: ReadonlyMap<string, string>,
): { header: Uint8Array; order: [name: string, source: TensorSource][]; dataBytes: number } {
  const order = Array.from(tensors, ([name, tensor]): [string, TensorSource] => [name, asSource(tensor)]);
  for (const [name, source] of order) {
    checkName(name);
    bitsOf(source.dtype);
  }
  order.sort(([a, x], [b, y]) => compareDtypes(x.dtype, y.dtype) || compareCodePoints(a, b));
  const members: string[] = [];
  if (metadata.size > 0) members.push(`"__metadata__":${JSON.stringify(Object.fromEntries(metadata))}`);
  let offset = 0;
  for (const [name, source] of order) {
    const end = offset + tensorBytes(name, source);
    members.push(`${JSON.stringify(name)}:${JSON.stringify({ dtype: source.dtype, shape: source.shape, data_offsets: [offset, end] })}`);
    offset = end;
  }
  const json = new TextEncoder().encode(`{${members.join(',')}}`);
  const length = Math.ceil(json.length / 8) * 8; // padded with spaces, so that the data begins at a multiple of 8
  if (length > MAX_HEADER_BYTES)
    throw new FerroError('INVALID_FILE', `writeSafetensors: the header must have at most ${MAX_HEADER_BYTES} bytes, got ${length}`);
  const header = new Uint8Array(8 + length).fill(0x20);
  new DataView(header.buffer).setBigUint64(0, BigInt(length), true);
  header.set(json, 8);
  return { header, order, dataBytes: offset };
}

/**
 * A safetensors file as pieces: the header, then each tensor's bytes (views, not copies).
 * @throws INVALID_FILE for a header that no reader would take; INVALID_SHAPE where shape and data disagree; INVALID_DTYPE
 */
export function writeSafetensors(
  tensors: ReadonlyMap<string, TensorData | RawTensor>,
  metadata: ReadonlyMap<string, string> = PYTORCH,
): Uint8Array[] {
  for (const [name, tensor] of tensors) {
    const [has, needs] =
      'bytes' in tensor ? [tensor.bytes.length, tensorBytes(name, tensor)] : [tensor.data.length, elementsOf(tensor.shape)];
    if (has === needs) continue;
    const unit = 'bytes' in tensor ? 'bytes' : 'elements';
    throw new FerroError(
      'INVALID_SHAPE',
      `writeSafetensors: ${name} must have ${needs} ${unit} for [${tensor.shape.join(', ')}], got ${has}`,
    );
  }
  const { header, order } = plan(tensors, metadata);
  return [header, ...order.flatMap(([, source]) => [...(source.pieces() as Iterable<Uint8Array>)])];
}

/**
 * The same as a file whose bytes are made while it is written: one piece of one tensor is held at a time.
 * @throws as `writeSafetensors`, before anything is written; INVALID_SHAPE while writing when a source gives another number of bytes than its shape has
 */
export function lazySafetensors(tensors: ReadonlyMap<string, WritableTensor>, metadata: ReadonlyMap<string, string> = PYTORCH): LazyFile {
  const { header, order, dataBytes } = plan(tensors, metadata);
  return {
    sizeBytes: header.length + dataBytes,
    async *pieces() {
      yield header;
      for (const [name, source] of order) {
        const needed = tensorBytes(name, source);
        let written = 0;
        for await (const piece of source.pieces()) {
          written += piece.length;
          if (written > needed) break;
          yield piece;
        }
        if (written !== needed)
          throw new FerroError('INVALID_SHAPE', `writeSafetensors: ${name} must have the ${needed} bytes of its shape, got ${written}`);
      }
    },
  };
}
