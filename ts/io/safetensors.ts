// The safetensors format: an 8-byte length, a JSON header, then the tensors' bytes without gaps. Written exactly as the reference writer does; read
// more strictly than the reference reader (docs/decisions.md). Names are data: they are kept in Maps and never become paths.
import { FerroError } from '../errors';
import { type ByteSource, sourceOf } from './files';
import { fromBfloat16, fromFloat16 } from './floats';
import { StrictJson } from './strictJson';

/** Bits of one element, by dtype. Those below 8 bits must fill whole bytes. */
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

/** The reference reader takes no header above this; so the writer refuses to make one. */
export const MAX_HEADER_BYTES = 100_000_000;

/** Where a tensor lies in its file. */
export interface TensorEntry {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
  /** Bytes begin … end − 1 of the file. */
  readonly begin: number;
  readonly end: number;
}

/** A tensor to write: f32 or i32 by the kind of its data. */
export interface TensorData {
  readonly shape: readonly number[];
  readonly data: Float32Array | Int32Array;
}

const product = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);

/**
 * A safetensors file as pieces: the header, then each tensor's bytes (views, not copies). Tensors are ordered by name.
 * @throws INVALID_FILE for a header that no reader would take; INVALID_SHAPE where shape and data disagree
 */
export function writeSafetensors(
  tensors: ReadonlyMap<string, TensorData>,
  metadata: ReadonlyMap<string, string> = new Map([['format', 'pt']]),
): Uint8Array[] {
  const members: string[] = [];
  const parts: Uint8Array[] = [];
  if (metadata.size > 0) members.push(`"__metadata__":${JSON.stringify(Object.fromEntries(metadata))}`);
  let offset = 0;
  for (const name of [...tensors.keys()].sort()) {
    const { shape, data } = tensors.get(name)!;
    if (name === '__metadata__' || name.includes('\0')) {
      throw new FerroError(
        'INVALID_FILE',
        `writeSafetensors: a tensor's name must not be __metadata__ or hold NUL, got ${JSON.stringify(name)}`,
      );
    }
    if (product(shape) !== data.length) {
      throw new FerroError(
        'INVALID_SHAPE',
        `writeSafetensors: ${name} must have ${product(shape)} elements for [${shape.join(', ')}], got ${data.length}`,
      );
    }
    const end = offset + data.byteLength;
    const entry = { dtype: data instanceof Float32Array ? 'F32' : 'I32', shape, data_offsets: [offset, end] };
    members.push(`${JSON.stringify(name)}:${JSON.stringify(entry)}`);
    parts.push(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
    offset = end;
  }
  const json = new TextEncoder().encode(`{${members.join(',')}}`);
  const length = Math.ceil(json.length / 8) * 8; // padded with spaces, so that the data begins at a multiple of 8
  if (length > MAX_HEADER_BYTES) {
    throw new FerroError('INVALID_FILE', `writeSafetensors: the header must have at most ${MAX_HEADER_BYTES} bytes, got ${length}`);
  }
  const header = new Uint8Array(8 + length).fill(0x20);
  new DataView(header.buffer).setBigUint64(0, BigInt(length), true);
  header.set(json, 8);
  return [header, ...parts];
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
    const bits = DTYPE_BITS.get(dtype);
    if (bits === undefined)
      throw new FerroError('INVALID_FILE', `${file}: dtype must be one of the format's, got ${JSON.stringify(dtype)} for ${shown}`);
    const expected = bytesOf(shape, bits);
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
  static fromBytes(name: string, bytes: Uint8Array): Promise<SafetensorsFile> {
    return SafetensorsFile.open(sourceOf(name, bytes));
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

  /** A tensor as f32: F32 and, exactly, F16 and BF16; F64 rounded. @throws INVALID_DTYPE for other dtypes */
  async float32(name: string): Promise<Float32Array> {
    const { dtype } = this.entry(name);
    if (!['F32', 'F16', 'BF16', 'F64'].includes(dtype)) {
      throw new FerroError('INVALID_DTYPE', `${this.#source.name}: ${name} must be F32, F16, BF16 or F64, got ${dtype}`);
    }
    const buffer = alignedBuffer(await this.bytes(name));
    if (dtype === 'F32') return new Float32Array(buffer);
    if (dtype === 'F64') return Float32Array.from(new Float64Array(buffer));
    return dtype === 'F16' ? fromFloat16(new Uint16Array(buffer)) : fromBfloat16(new Uint16Array(buffer));
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
