// Reads the safetensors format: an 8-byte length, a JSON header, then the tensors' bytes without gaps. More strictly than the reference reader
// (docs/decisions.md). Names are data: they are kept in Maps and never become paths. Writing is in safetensorsWriter.ts.
import { FerroError } from '../errors';
import { loadText, type SafetensorsHeader } from '../text';
import { elementsOf } from './dtypes';
import { type ByteSource, sourceOf } from './files';
import { fromBfloat16, fromFloat16 } from './floats';

/** Where a tensor lies in its file. */
export interface TensorEntry {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
  /** Bytes begin … end − 1 of the file. */
  readonly begin: number;
  readonly end: number;
}

interface ParsedHeader {
  readonly tensors: ReadonlyMap<string, TensorEntry>;
  readonly metadata: ReadonlyMap<string, string>;
}

/** What the parser refused, as an error about the file. */
function refused(file: string, cause: unknown): FerroError {
  return new FerroError('INVALID_FILE', `${file}: ${(cause as Error).message}`, { cause });
}

/** Reads and checks the header with the parser in Rust (crates/text), which is strict where JSON.parse is not. @throws INVALID_FILE */
async function readHeader(source: ByteSource): Promise<ParsedHeader> {
  const { name: file, sizeBytes } = source;
  const text = await loadText();
  const first = await source.read(0, Math.min(8, sizeBytes));
  let length: number;
  try {
    length = text.safetensors_header_length(first, sizeBytes);
  } catch (cause) {
    throw refused(file, cause);
  }
  const bytes = await source.read(8, 8 + length);
  let header: SafetensorsHeader;
  try {
    header = text.parse_safetensors_header(bytes, sizeBytes);
  } catch (cause) {
    throw refused(file, cause);
  }
  const dataStart = 8 + length;
  const tensors = new Map<string, TensorEntry>();
  const metadata = new Map<string, string>();
  for (let i = 0; i < header.tensors; i++) {
    const [name, begin, end] = [header.name(i), dataStart + header.begin(i), dataStart + header.end(i)];
    tensors.set(name, { name, dtype: header.dtype(i), shape: Array.from(header.shape(i)), begin, end });
  }
  for (let i = 0; i < header.metadata; i++) metadata.set(header.metadataKey(i), header.metadataValue(i));
  header.free();
  return { tensors, metadata };
}

/** Elements of a piece: 4 MiB as f32. */
const PIECE_ELEMENTS = 1 << 20;

/** Bytes of an element of the dtypes that can be read as f32. */
const FLOAT_BYTES: ReadonlyMap<string, number> = new Map([
  ['F16', 2],
  ['BF16', 2],
  ['F32', 4],
  ['F64', 8],
]);

/** A part of a tensor: its elements from `start` on, row-major. */
export interface TensorPiece {
  readonly start: number;
  readonly data: Float32Array;
}

function toFloat32(dtype: string, bytes: Uint8Array): Float32Array {
  const buffer = alignedBuffer(bytes);
  if (dtype === 'F32') return new Float32Array(buffer);
  if (dtype === 'F64') return Float32Array.from(new Float64Array(buffer));
  return dtype === 'F16' ? fromFloat16(new Uint16Array(buffer)) : fromBfloat16(new Uint16Array(buffer));
}

/** The buffer of bytes that fill it from 0 on, so that any typed array fits; copied if need be. Hosts of typed arrays in use are little-endian. */
function alignedBuffer(bytes: Uint8Array): ArrayBufferLike {
  return bytes.byteOffset === 0 && bytes.byteLength === bytes.buffer.byteLength ? bytes.buffer : bytes.slice().buffer;
}

/** An open safetensors file: the header has been checked, tensors are read one by one. */
export class SafetensorsFile {
  readonly tensors: ReadonlyMap<string, TensorEntry>;
  readonly metadata: ReadonlyMap<string, string>;
  readonly #source: ByteSource;

  private constructor(source: ByteSource, header: ParsedHeader) {
    this.#source = source;
    this.tensors = header.tensors;
    this.metadata = header.metadata;
  }

  /** Reads and checks the header. The source is closed again if it is refused. @throws INVALID_FILE */
  static async open(source: ByteSource): Promise<SafetensorsFile> {
    try {
      return new SafetensorsFile(source, await readHeader(source));
    } catch (error) {
      await source.close();
      throw error;
    }
  }

  /** The same for bytes in memory. */
  static async fromBytes(name: string, bytes: Uint8Array): Promise<SafetensorsFile> {
    return SafetensorsFile.open(await sourceOf(name, bytes));
  }

  /** A tensor's place. @throws INVALID_FILE for a name the file does not have */
  entry(name: string): TensorEntry {
    const entry = this.tensors.get(name);
    if (entry === undefined)
      throw new FerroError('INVALID_FILE', `${this.#source.name}: must have the tensor ${JSON.stringify(name)}, got none`);
    return entry;
  }

  /** A tensor's bytes, a copy. */
  async bytes(name: string): Promise<Uint8Array> {
    const { begin, end } = this.entry(name);
    return this.#source.read(begin, end);
  }

  /**
   * A tensor's values as f32 in pieces, first to last: F32 and, exactly, F16 and BF16; F64 rounded. Each piece is an array of its own.
   * @throws INVALID_DTYPE for other dtypes
   */
  async *float32Pieces(name: string): AsyncGenerator<TensorPiece> {
    const { dtype, shape, begin } = this.entry(name);
    const bytes = FLOAT_BYTES.get(dtype);
    if (bytes === undefined)
      throw new FerroError('INVALID_DTYPE', `${this.#source.name}: ${name} must be F32, F16, BF16 or F64, got ${dtype}`);
    const elements = elementsOf(shape);
    for (let start = 0; start < elements; start += PIECE_ELEMENTS) {
      const end = Math.min(start + PIECE_ELEMENTS, elements);
      yield { start, data: toFloat32(dtype, await this.#source.read(begin + start * bytes, begin + end * bytes)) };
    }
  }

  /** A whole tensor as f32. @throws INVALID_DTYPE as `float32Pieces` */
  async float32(name: string): Promise<Float32Array> {
    const values = new Float32Array(elementsOf(this.entry(name).shape));
    for await (const { start, data } of this.float32Pieces(name)) values.set(data, start);
    return values;
  }

  /** A tensor as i32. @throws INVALID_DTYPE for other dtypes */
  async int32(name: string): Promise<Int32Array> {
    const { dtype } = this.entry(name);
    if (dtype !== 'I32') throw new FerroError('INVALID_DTYPE', `${this.#source.name}: ${name} must be I32, got ${dtype}`);
    return new Int32Array(alignedBuffer(await this.bytes(name)));
  }

  close(): Promise<void> {
    return this.#source.close();
  }
}
