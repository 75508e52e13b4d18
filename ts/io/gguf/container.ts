// The GGUF container, version 3, little-endian: header, metadata, the list of tensors, then their bytes at multiples of 32. Written only, and streamed:
// one tensor is in memory at a time. It knows no model. Format: ggml's docs/gguf.md.
import { FerroError } from '../../errors';
import { elementsOf } from '../dtypes';
import type { LazyFile } from '../files';
import { bytesOfType, encodeTensor, GGUF_TYPES, type GgufType } from './encodings';

/** A metadata value with the type it is written as. */
export type GgufValue =
  | { readonly type: 'u32' | 'i32' | 'f32'; readonly value: number }
  | { readonly type: 'bool'; readonly value: boolean }
  | { readonly type: 'string'; readonly value: string }
  | { readonly type: 'strings'; readonly value: readonly string[] }
  | { readonly type: 'i32s'; readonly value: readonly number[] }
  | { readonly type: 'f32s'; readonly value: readonly number[] };

/** A tensor to write. */
export interface GgufTensor {
  readonly name: string;
  /** Outermost axis first; the file holds it the other way round. */
  readonly shape: readonly number[];
  readonly type: GgufType;
  /** Its values, row-major, asked for when their turn comes. */
  read(): Promise<Float32Array>;
}

/** What is to be written. */
export interface GgufContents {
  readonly metadata: ReadonlyMap<string, GgufValue>;
  readonly tensors: readonly GgufTensor[];
}

const ALIGNMENT = 32;
const VERSION = 3;
/** enum gguf_metadata_value_type. */
const VALUE_TYPES = { u32: 4, i32: 5, f32: 6, bool: 7, string: 8, array: 9 } as const;

const align = (bytes: number): number => Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;

/** Appends to a growing buffer. */
class Bytes {
  #bytes = new Uint8Array(1 << 16);
  #view = new DataView(this.#bytes.buffer);
  #length = 0;

  #room(count: number): number {
    const at = this.#length;
    this.#length += count;
    if (this.#length > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(2 * this.#bytes.length, this.#length));
      grown.set(this.#bytes);
      this.#bytes = grown;
      this.#view = new DataView(grown.buffer);
    }
    return at;
  }

  u8(value: number): void {
    this.#view.setUint8(this.#room(1), value);
  }

  u32(value: number): void {
    this.#view.setUint32(this.#room(4), value, true);
  }

  i32(value: number): void {
    this.#view.setInt32(this.#room(4), value, true);
  }

  f32(value: number): void {
    this.#view.setFloat32(this.#room(4), value, true);
  }

  u64(value: number): void {
    this.#view.setBigUint64(this.#room(8), BigInt(value), true);
  }

  /** Length in bytes, then UTF-8 without an end mark. */
  string(text: string): void {
    const bytes = new TextEncoder().encode(text);
    this.u64(bytes.length);
    this.#bytes.set(bytes, this.#room(bytes.length));
  }

  /** The bytes so far, filled with zeros to the alignment. */
  aligned(): Uint8Array {
    const length = align(this.#length);
    this.#room(length - this.#length);
    return this.#bytes.slice(0, length);
  }
}

function writeValue(out: Bytes, { type, value }: GgufValue): void {
  switch (type) {
    case 'strings':
    case 'i32s':
    case 'f32s': {
      const element = type === 'strings' ? 'string' : type === 'i32s' ? 'i32' : 'f32';
      out.u32(VALUE_TYPES.array);
      out.u32(VALUE_TYPES[element]);
      out.u64(value.length);
      for (const item of value) {
        if (typeof item === 'string') out.string(item);
        else out[element as 'i32' | 'f32'](item);
      }
      return;
    }
    case 'string':
      out.u32(VALUE_TYPES.string);
      out.string(value);
      return;
    case 'bool':
      out.u32(VALUE_TYPES.bool);
      out.u8(value ? 1 : 0);
      return;
    default:
      out.u32(VALUE_TYPES[type]);
      out[type](value);
  }
}

/** Header, metadata and the list of tensors, up to where the tensors' bytes begin. */
function writeHead({ metadata, tensors }: GgufContents): { head: Uint8Array; dataBytes: number } {
  const out = new Bytes();
  for (const letter of 'GGUF') out.u8(letter.charCodeAt(0));
  out.u32(VERSION);
  out.u64(tensors.length);
  out.u64(metadata.size);
  for (const [key, value] of metadata) {
    out.string(key);
    writeValue(out, value);
  }
  let offset = 0;
  for (const { name, shape, type } of tensors) {
    if (shape.length < 1 || shape.length > 4 || shape[shape.length - 1] % GGUF_TYPES[type].blockElements !== 0) {
      throw new FerroError(
        'INVALID_SHAPE',
        `writeGguf: ${name} must have 1 to 4 axes and rows of whole blocks, got [${shape.join(', ')}] as ${type}`,
      );
    }
    out.string(name);
    out.u32(shape.length);
    for (const size of [...shape].reverse()) out.u64(size);
    out.u32(GGUF_TYPES[type].id);
    out.u64(offset);
    offset = align(offset + bytesOfType(type, elementsOf(shape)));
  }
  return { head: out.aligned(), dataBytes: offset };
}

/**
 * A GGUF file as a stream. `pieces()` reads each tensor when its turn comes and can be called again.
 * @throws INVALID_SHAPE where a shape does not fit its type or the values read do not fit the shape; what `read` and the encodings throw
 */
export function writeGguf(contents: GgufContents): LazyFile {
  const { head, dataBytes } = writeHead(contents);
  return {
    sizeBytes: head.length + dataBytes,
    async *pieces() {
      yield head;
      for (const { name, shape, type, read } of contents.tensors) {
        const values = await read();
        if (values.length !== elementsOf(shape)) {
          throw new FerroError('INVALID_SHAPE', `writeGguf: ${name} must have the elements of [${shape.join(', ')}], got ${values.length}`);
        }
        const bytes = encodeTensor(name, type, values);
        yield bytes;
        const padding = align(bytes.length) - bytes.length;
        if (padding > 0) yield new Uint8Array(padding);
      }
    },
  };
}
