// Reads the golden files' tensors with nothing of the library, so that a fault in its reader cannot hide one elsewhere. Trusts the file.
import { readFile } from 'node:fs/promises';

/** Tensors by name: F32 and I32 only. */
export async function readTensors(file: URL | string): Promise<Map<string, { data: Float32Array | Int32Array; shape: number[] }>> {
  const bytes = await readFile(file);
  const headerBytes = Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.toString('utf8', 8, 8 + headerBytes)) as Record<
    string,
    { dtype: string; shape: number[]; data_offsets: [number, number] }
  >;
  const tensors = new Map<string, { data: Float32Array | Int32Array; shape: number[] }>();
  for (const [name, { dtype, shape, data_offsets }] of Object.entries(header)) {
    if (name === '__metadata__') continue;
    const start = 8 + headerBytes;
    const copy = Uint8Array.from(bytes.subarray(start + data_offsets[0], start + data_offsets[1]));
    tensors.set(name, { data: dtype === 'I32' ? new Int32Array(copy.buffer) : new Float32Array(copy.buffer), shape });
  }
  return tensors;
}

/** A safetensors file's bytes, written with nothing of the library. `bfloat16` keeps the upper half of each number: exact where the rest is zero. */
export function writeTensors(
  tensors: ReadonlyMap<string, { data: Float32Array; shape: readonly number[] }>,
  bfloat16 = false,
): Uint8Array<ArrayBuffer> {
  const header: Record<string, unknown> = {};
  const parts: Uint8Array[] = [];
  let offset = 0;
  for (const [name, { data, shape }] of tensors) {
    const words = new Uint32Array(data.buffer, data.byteOffset, data.length);
    const bytes = bfloat16
      ? new Uint8Array(Uint16Array.from(words, (word) => word >>> 16).buffer)
      : new Uint8Array(Uint32Array.from(words).buffer);
    header[name] = { dtype: bfloat16 ? 'BF16' : 'F32', shape, data_offsets: [offset, offset + bytes.length] };
    offset += bytes.length;
    parts.push(bytes);
  }
  const json = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  return new Uint8Array(Buffer.concat([length, json, ...parts]));
}
