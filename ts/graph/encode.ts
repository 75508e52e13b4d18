// Writes the words of program format 1 (docs/architecture.md, section 2) from placed, scheduled instructions.
import { FerroError } from '../errors';
import { type Dim, dimExtents, dimFactor, dimMax, type Extent } from './dims';
import { instructionFlops } from './flops';
import { type Buffer, type Instruction, resolve } from './ir';
import type { View } from './op';
import type { Access, OpcodeName, ParamSpec } from './opcodes';
import type { Placement } from './plan';
import { type Binding, DTYPE_CODES, HEADER_WORDS, NONE, PROGRAM_MAGIC, PROGRAM_VERSION, type Program, type ProgramPort } from './program';
import type { DType, Variable } from './tensor';

/** What is written down. */
export interface EncodeRequest {
  readonly name: string;
  readonly instructions: readonly Instruction[];
  readonly stages: readonly number[];
  readonly placements: readonly Placement[];
  /** Inputs and outputs that must be bound even when no instruction touches them. */
  readonly inputs: readonly Buffer[];
  readonly outputs: readonly Buffer[];
}

const f32 = new Float32Array(1);
const f32Bits = new Uint32Array(f32.buffer);

/** The bits of a number rounded to f32. */
function bitsOf(value: number): number {
  f32[0] = value;
  return f32Bits[0];
}

/** Rows of a table, told apart by a key. */
class Table<T> {
  readonly rows: T[] = [];
  readonly #index = new Map<string | object, number>();
  at(key: string | object, row: () => T): number {
    let index = this.#index.get(key);
    if (index === undefined) {
      index = this.rows.length;
      this.#index.set(key, index);
      this.rows.push(row());
    }
    return index;
  }
}

class Encoder {
  readonly extents = new Table<Extent>();
  readonly scalars = new Table<string>();
  readonly slots = new Table<readonly number[]>();
  readonly operands = new Table<readonly number[]>();
  readonly buffers = new Table<Buffer>();
  /** What some instruction writes. */
  readonly written = new Set<Variable>();
  readonly #addresses = new Map<Buffer, { bank: number; offset: number }>();

  constructor(placements: readonly Placement[]) {
    for (const { buffers, bank, offset, lead } of placements)
      for (const buffer of buffers) this.#addresses.set(buffer, { bank, offset: offset + lead });
  }

  binding(buffer: Buffer): number {
    const { source } = buffer;
    return this.buffers.at(source?.kind === 'variable' ? source.variable : buffer, () => buffer);
  }

  instruction({ spec, operands, dims, params }: Instruction): number[] {
    return [
      spec.code,
      operands.length,
      dims.length,
      params.length,
      ...operands.map((view, i) => (view === undefined ? NONE : this.#operand(view, spec.operands[i].access))),
      ...dims.map((dim) => this.#slot(dim)),
      ...params.map((value, i) => this.#param(spec.params[i], value)),
    ];
  }

  #extent(extent: Extent): number {
    const index = this.extents.at(extent.name, () => extent);
    const known = this.extents.rows[index];
    if (known.max !== extent.max) {
      throw new FerroError('INVALID_SHAPE', `compile: extents of one name must have one maximum, got ${known} and ${extent}`);
    }
    return index;
  }

  #slot(dim: Dim): number {
    const indices = dimExtents(dim).map((extent) => this.#extent(extent));
    const row = [dimFactor(dim), ...[0, 1, 2].map((i) => indices[i] ?? NONE)];
    return this.slots.at(row.join(), () => row);
  }

  #operand(view: View, access: Access): number {
    const { buffer, offset, bytes } = resolve(view);
    if (access !== 'read' && buffer.source?.kind === 'variable') this.written.add(buffer.source.variable);
    const address = this.#addresses.get(buffer);
    const row =
      address === undefined
        ? [1, this.binding(buffer), offset, bytes, DTYPE_CODES[view.dtype]]
        : [0, address.bank, address.offset + offset, bytes, DTYPE_CODES[view.dtype]];
    return this.operands.at(row.join(), () => row);
  }

  #param({ type }: ParamSpec, value: number | string): number {
    if (type === 'scalar') return value === '' ? NONE : this.scalars.at(String(value), () => String(value));
    return type === 'f32' ? bitsOf(value as number) : (value as number) >>> 0;
  }
}

/** Instruction positions by stage; within a stage the heaviest first, so that the queue of tiles ends evenly. */
function orderByStage(
  instructions: readonly Instruction[],
  stages: readonly number[],
): { readonly order: number[]; readonly counts: number[]; readonly flops: number } {
  const weights = instructions.map((instruction) => flopsOf(instruction));
  const order = instructions.map((_, at) => at).sort((a, b) => stages[a] - stages[b] || weights[b] - weights[a] || a - b);
  const counts: number[] = [];
  order.forEach((at, i) => {
    if (i > 0 && stages[at] === stages[order[i - 1]]) counts[counts.length - 1]++;
    else counts.push(1);
  });
  return { order, counts, flops: weights.reduce((total, weight) => total + weight, 0) };
}

/** Operations of an instruction at the maximum extents. */
export function flopsOf({ spec, dims, params }: Instruction): number {
  const sizes = Object.fromEntries(spec.dims.map((name, i) => [name, dimMax(dims[i])]));
  const values = Object.fromEntries(spec.params.map(({ name }, i) => [name, Number(params[i])]));
  return instructionFlops(spec.name as OpcodeName, sizes, values);
}

/** Encodes a program. */
export function encode(request: EncodeRequest): Program {
  const encoder = new Encoder(request.placements);
  const port = (buffer: Buffer): ProgramPort => {
    const source = buffer.source as { name: string; shape: ProgramPort['shape']; dtype: DType };
    return { name: source.name, binding: encoder.binding(buffer), shape: source.shape, dtype: source.dtype };
  };
  const inputs = request.inputs.map(port);
  const outputs = request.outputs.map(port);
  const { order, counts, flops } = orderByStage(request.instructions, request.stages);
  const body = order.map((at) => encoder.instruction(request.instructions[at]));
  const bankBytes: number[] = [];
  for (const { bank, offset, bytes } of request.placements) bankBytes[bank] = Math.max(bankBytes[bank] ?? 0, offset + bytes);
  const buffers = encoder.buffers.rows;
  const words = assemble(encoder, bankBytes, buffers, body, counts);
  const io = buffers.filter((buffer) => buffer.source?.kind !== 'variable');
  return {
    name: request.name,
    words,
    extents: encoder.extents.rows.map(({ name, max }) => ({ name, max })),
    scalars: encoder.scalars.rows,
    bindings: buffers.map((buffer) => bindingOf(buffer, encoder.written)),
    inputs,
    outputs,
    plan: {
      arenaBytes: bankBytes.reduce((total, bytes) => total + bytes, 0),
      bankBytes,
      ioBytes: io.reduce((total, buffer) => total + buffer.bytes, 0),
      flops,
      instructions: body.length,
      stages: counts.length,
    },
  };
}

function bindingOf({ source, bytes }: Buffer, written: ReadonlySet<Variable>): Binding {
  if (source?.kind === 'variable') return { kind: 'variable', variable: source.variable, written: written.has(source.variable) };
  return source?.kind === 'constant' ? { kind: 'buffer', sizeBytes: bytes, data: source.data } : { kind: 'buffer', sizeBytes: bytes };
}

function assemble(
  encoder: Encoder,
  bankBytes: readonly number[],
  buffers: readonly Buffer[],
  body: readonly number[][],
  counts: readonly number[],
): Uint32Array<ArrayBuffer> {
  const { extents, scalars, slots, operands } = encoder;
  const tables: number[] = [
    ...extents.rows.map((extent) => extent.max),
    ...slots.rows.flat(),
    ...bankBytes,
    ...buffers.map((buffer) => buffer.bytes),
    ...operands.rows.flat(),
  ];
  let first = 0;
  const stageRows = counts.flatMap((count) => {
    first += count;
    return [first - count, count];
  });
  const total = HEADER_WORDS + tables.length + body.reduce((sum, words) => sum + words.length, 0) + stageRows.length;
  const header = [
    PROGRAM_MAGIC,
    PROGRAM_VERSION,
    extents.rows.length,
    scalars.rows.length,
    slots.rows.length,
    bankBytes.length,
    buffers.length,
    operands.rows.length,
    body.length,
    counts.length,
    total,
  ];
  return Uint32Array.from([...header, ...tables, ...body.flat(), ...stageRows]);
}
