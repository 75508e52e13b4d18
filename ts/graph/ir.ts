// The instruction list between graph and words: buffers without addresses, instructions over views of them, and who touches what.
// lower.ts makes it, fusion.ts and results.ts change it, schedule.ts and plan.ts order and place it, encode.ts writes it down.
import { FerroError } from '../errors';
import type { Dim, Shape } from './dims';
import type { ParamValue, Storage, View } from './op';
import { OPCODES, type OpcodeName, type OpcodeSpec, type OperandSpec } from './opcodes';
import type { StorageType, Variable } from './tensor';

/** What a binding storage is. */
export type BindingSource =
  | { readonly kind: 'variable'; readonly variable: Variable }
  | { readonly kind: 'input'; readonly name: string; readonly shape: Shape; readonly dtype: StorageType }
  | { readonly kind: 'constant'; readonly data: Float32Array | Int32Array }
  | { readonly kind: 'output'; readonly name: string; readonly shape: Shape; readonly dtype: StorageType };

let nextStorageId = 0;

/** A buffer. An arena buffer may be redirected: its producer then writes straight into a binding. */
export class Buffer implements Storage {
  readonly id: number = nextStorageId++;
  readonly bytes: number;
  lead = 0;
  readonly label: string;
  readonly source: BindingSource | undefined;
  redirect: { readonly to: Buffer; readonly version: number } | undefined;
  constructor(bytes: number, label: string, source?: BindingSource) {
    this.bytes = bytes;
    this.label = label;
    this.source = source;
  }
  get place(): 'arena' | 'binding' {
    return this.source === undefined ? 'arena' : 'binding';
  }
}

/** A view after redirection. */
export interface Place {
  readonly buffer: Buffer;
  readonly offset: number;
  readonly bytes: number;
  readonly version: number;
}

/** Follows redirections. Chains are never longer than one: only bindings are redirected to. */
export function resolve(view: View): Place {
  const buffer = view.storage as Buffer;
  const { offset, bytes } = view;
  return buffer.redirect === undefined
    ? { buffer, offset, bytes, version: view.version }
    : { buffer: buffer.redirect.to, offset, bytes, version: buffer.redirect.version };
}

/** Whether a view covers its whole storage. */
export function isWhole(view: View): boolean {
  return view.offset === 0 && view.bytes === view.storage.bytes;
}

/** Whether two views are the very same bytes. */
export function sameView(a: View, b: View): boolean {
  const [left, right] = [resolve(a), resolve(b)];
  return left.buffer === right.buffer && left.offset === right.offset && left.bytes === right.bytes;
}

/** One instruction. Operands follow the order of its spec. */
export class Instruction {
  readonly spec: OpcodeSpec;
  readonly operands: (View | undefined)[];
  readonly dims: readonly Dim[];
  readonly params: ParamValue[];
  /** It computes again what was computed before: the scheduler starts it as late as it can. */
  recomputed = false;
  constructor(spec: OpcodeSpec, operands: (View | undefined)[], dims: readonly Dim[], params: ParamValue[]) {
    this.spec = spec;
    this.operands = operands;
    this.dims = dims;
    this.params = params;
  }
  /** The operand of a name. */
  operand(name: string): View | undefined {
    return this.operands[this.spec.operands.findIndex((entry) => entry.name === name)];
  }
  setOperand(name: string, view: View | undefined): void {
    this.operands[this.spec.operands.findIndex((entry) => entry.name === name)] = view;
  }
  param(name: string): ParamValue {
    return this.params[this.spec.params.findIndex((entry) => entry.name === name)];
  }
  setParam(name: string, value: ParamValue): void {
    this.params[this.spec.params.findIndex((entry) => entry.name === name)] = value;
  }
  /** Present operands with their places in the spec. */
  *present(): Generator<{ readonly entry: OperandSpec; readonly view: View }> {
    for (let i = 0; i < this.operands.length; i++) {
      const view = this.operands[i];
      if (view !== undefined) yield { entry: this.spec.operands[i], view };
    }
  }
}

/** Builds an instruction from names. @throws BAD_PROGRAM when a lowering names something the table does not. */
export function makeInstruction(
  opcode: OpcodeName,
  operands: Readonly<Record<string, View | undefined>>,
  dims: Readonly<Record<string, Dim>>,
  params: Readonly<Record<string, ParamValue>> = {},
): Instruction {
  const spec = OPCODES[opcode];
  const pick = <T>(kind: string, values: Readonly<Record<string, T>>, names: readonly string[]): T[] => {
    const unknown = Object.keys(values).find((name) => !names.includes(name));
    if (unknown !== undefined) throw new FerroError('BAD_PROGRAM', `${opcode}: ${kind} must be one of ${names.join(' ')}, got ${unknown}`);
    return names.map((name) => values[name]);
  };
  const views = pick(
    'operand',
    operands,
    spec.operands.map((entry) => entry.name),
  );
  const sizes = pick('dim', dims, spec.dims);
  const values = pick(
    'parameter',
    params,
    spec.params.map((entry) => entry.name),
  );
  const missing = [
    ...spec.operands.filter((entry, i) => !entry.optional && views[i] === undefined).map((entry) => entry.name),
    ...spec.dims.filter((_, i) => sizes[i] === undefined),
    ...spec.params.filter((_, i) => values[i] === undefined).map((entry) => entry.name),
  ];
  if (missing.length > 0)
    throw new FerroError('BAD_PROGRAM', `${opcode}: every operand, dim and parameter must be given, got none for ${missing.join(' ')}`);
  return new Instruction(spec, views, sizes, values);
}

/** One touch of a buffer. */
export interface Touch {
  /** Position of the instruction in the list. */
  readonly at: number;
  readonly name: string;
  readonly reads: boolean;
  readonly writes: boolean;
  readonly offset: number;
  readonly bytes: number;
  readonly version: number;
}

/** Every touch of every buffer, in an order in which running them one by one is right: by version, then by position in the list. */
export function touches(instructions: readonly Instruction[]): Map<Buffer, Touch[]> {
  const result = new Map<Buffer, Touch[]>();
  instructions.forEach((instruction, at) => {
    for (const { entry, view } of instruction.present()) {
      const { buffer, offset, bytes, version } = resolve(view);
      const touch: Touch = {
        at,
        name: entry.name,
        reads: entry.access !== 'write',
        writes: entry.access !== 'read',
        offset,
        bytes,
        version,
      };
      const list = result.get(buffer);
      if (list === undefined) result.set(buffer, [touch]);
      else list.push(touch);
    }
  });
  for (const list of result.values()) list.sort((a, b) => a.version - b.version || a.at - b.at);
  return result;
}

/** Whether two touches share a byte. */
export function overlaps(a: { offset: number; bytes: number }, b: { offset: number; bytes: number }): boolean {
  return a.offset < b.offset + b.bytes && b.offset < a.offset + a.bytes;
}
