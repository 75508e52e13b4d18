// Reads the safetensors format: an 8-byte length, a JSON header, then the tensors' bytes without gaps. More strictly than the reference reader
// (docs/decisions.md). Names are data: they are kept in Maps and never become paths. Writing is in safetensorsWriter.ts.
import { FerroError } from '../errors';
import { bitsOf, elementsOf, isDtype } from './dtypes';
import { type ByteSource, sourceOf } from './files';
import { fromBfloat16, fromFloat16 } from './floats';
import { MAX_HEADER_BYTES } from './safetensorsWriter';
import { StrictJson } from './strictJson';

/** Where a tensor lies in its file. */
export interface TensorEntry {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
  /** Bytes begin … end − 1 of the file. */
  readonly begin: number;
  readonly end: number;
}

/** The header's length from a file's first 8 bytes. */
function headerLength(name: string, first: Uint8Array, fileBytes: number): number {
  const length = new DataView(first.buffer, first.byteOffset, 8).getBigUint64(0, true);
  if (length > BigInt(MAX_HEADER_BYTES))
    throw new FerroError('INVALID_FILE', `${name}: the header must have at most ${MAX_HEADER_BYTES} bytes, got ${length}`);
  if (length === 0n || 8n + length > BigInt(fileBytes)) {
    throw new FerroError('INVALID_FILE', `${name}: the header must fit in the file of ${fileBytes} bytes, got a length of ${length}`);
  }
  return Number(length);
}

function readMetadata(json: StrictJson, metadata: Map<string, string>): void {
  if (json.takeNull()) return;
  json.object('__metadata__', (key) => metadata.set(key, json.string(`__metadata__ ${JSON.stringify(key)}`)));
}

function readEntry(json: StrictJson, name: string): { dtype?: string; shape?: number[]; offsets?: number[] } {
  const found: { dtype?: string; shape?: number[]; offsets?: number[] } = {};
  const integers = (what: string): number[] => {
    const list: number[] = [];
    json.list(what, () => list.push(json.integer(what)));
    return list;
  };
  json.object(name, (key) => {
    if (key === 'dtype') found.dtype = json.string('dtype');
    else if (key === 'shape') found.shape = integers('shape');
    else if (key === 'data_offsets') found.offsets = integers('data_offsets');
    else json.skip();
  });
  return found;
}

/** Bytes that a shape takes; NaN if the count overflows on the way or does not fill whole bytes. */
function bytesOf(shape: readonly number[], bits: number): number {
  let count = 1;
  for (const size of shape) {
    count *= size;
    if (!Number.isSafeInteger(count)) return Number.NaN;
  }
  const total = count * bits;
  return Number.isSafeInteger(total) && total % 8 === 0 ? total / 8 : Number.NaN;
}

/** Parses the header's bytes. `dataStart` is where the tensors' bytes begin in the file. */
function parseHeader(
  file: string,
  header: Uint8Array,
  fileBytes: number,
): { tensors: Map<string, TensorEntry>; metadata: Map<string, string> } {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(header);
  } catch (cause) {
    throw new FerroError('INVALID_FILE', `${file}: the header must be UTF-8, got other bytes`, { cause });
  }
  const dataStart = 8 + header.length;
  const tensors = new Map<string, TensorEntry>();
  const metadata = new Map<string, string>();
  const json = new StrictJson(file, text);
  json.object('the header', (name) => {
    if (name === '__metadata__') return readMetadata(json, metadata);
    const shown = JSON.stringify(name);
    if (name.includes('\0')) throw new FerroError('INVALID_FILE', `${file}: a tensor's name must not hold NUL, got ${shown}`);
    const { dtype, shape, offsets } = readEntry(json, shown);
    if (dtype === undefined || shape === undefined || offsets?.length !== 2) {
      throw new FerroError('INVALID_FILE', `${file}: ${shown} must have dtype, shape and two data_offsets, got less or more`);
    }
    if (!isDtype(dtype))
      throw new FerroError('INVALID_FILE', `${file}: dtype must be one of the format's, got ${JSON.stringify(dtype)} for ${shown}`);
    const expected = bytesOf(shape, bitsOf(dtype));
    if (offsets[1] - offsets[0] !== expected) {
      throw new FerroError(
        'INVALID_FILE',
        `${file}: ${shown} must have the bytes of ${dtype} [${shape.join(', ')}], got ${offsets[1] - offsets[0]}`,
      );
    }
    tensors.set(name, { name, dtype, shape, begin: dataStart + offsets[0], end: dataStart + offsets[1] });
  });
  json.end();
  checkLayout(file, tensors, dataStart, fileBytes);
  return { tensors, metadata };
}

/** Tensors must follow each other without hole or overlap and end where the file ends. */
function checkLayout(file: string, tensors: ReadonlyMap<string, TensorEntry>, dataStart: number, fileBytes: number): void {
  let at = dataStart;
  for (const { name, begin, end } of [...tensors.values()].sort((a, b) => a.begin - b.begin || a.end - b.end)) {
    if (begin !== at)
      throw new FerroError(
        'INVALID_FILE',
        `${file}: ${JSON.stringify(name)} must begin at byte ${at}, where the one before ended, got ${begin}`,
      );
    at = end;
  }
  if (at !== fileBytes)
    throw new FerroError('INVALID_FILE', `${file}: the file must end with its tensors at byte ${at}, got ${fileBytes} bytes`);
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

  private constructor(source: ByteSource, header: { tensors: Map<string, TensorEntry>; metadata: Map<string, string> }) {
    this.#source = source;
    this.tensors = header.tensors;
    this.metadata = header.metadata;
  }

  /** Reads and checks the header. The source is closed again if it is refused. @throws INVALID_FILE */
  static async open(source: ByteSource): Promise<SafetensorsFile> {
    try {
      const { name, sizeBytes } = source;
      if (sizeBytes < 8) throw new FerroError('INVALID_FILE', `${name}: a safetensors file must have at least 8 bytes, got ${sizeBytes}`);
      const length = headerLength(name, await source.read(0, 8), sizeBytes);
      return new SafetensorsFile(source, parseHeader(name, await source.read(8, 8 + length), sizeBytes));
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
