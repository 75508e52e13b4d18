// Which engine a variable lives in, and the messages that make its region. A variable belongs to one engine at a time; it is free again
// once released, or when its engine has ended.
import { FerroError } from '../../errors';
import type { Binding, Variable } from '../../graph';
import { fromBfloat16, toBfloat16 } from '../../math';
import type { Numbers, WireBinding, WireInit, WireNumbers, WireVariable } from '../protocol';

/** An engine, as far as ownership needs to know it. */
export interface Owner {
  readonly closed: boolean;
}

/** A variable's region in an engine. */
export interface RegionRef {
  readonly owner: Owner;
  readonly id: number;
  readonly name: string;
  live: boolean;
  /** Which of the engine's changes was the last that may have changed it, in the order in which they were asked for. */
  changedAt: number;
}

const regionOf = new WeakMap<Variable, RegionRef>();

/** The region of a variable in `owner`, or undefined. */
export function findRegion(variable: Variable, owner: Owner): RegionRef | undefined {
  const region = regionOf.get(variable);
  return region?.live && region.owner === owner ? region : undefined;
}

/** The region of a variable in `owner`. @throws FerroError WRONG_ENGINE, UNBOUND_VARIABLE */
export function requireRegion(variable: Variable, owner: Owner, op: string): RegionRef {
  const region = regionOf.get(variable);
  if (!region?.live || (region.owner.closed && region.owner !== owner))
    throw new FerroError(
      'UNBOUND_VARIABLE',
      `${op}: every variable must be bound to this engine, got "${variable.name}", which is bound to none`,
    );
  if (region.owner !== owner)
    throw new FerroError(
      'WRONG_ENGINE',
      `${op}: every variable must be bound to this engine, got "${variable.name}", which is bound to another`,
    );
  return region;
}

/** Makes `owner` the owner of a free variable. @throws FerroError WRONG_ENGINE, INVALID_OPTION */
export function claimRegion(variable: Variable, owner: Owner, id: number, changedAt: number, op: string): RegionRef {
  const old = regionOf.get(variable);
  if (old?.live && old.owner === owner)
    throw new FerroError('INVALID_OPTION', `${op}: a variable is allocated once, got "${variable.name}" again`);
  if (old?.live && !old.owner.closed)
    throw new FerroError('WRONG_ENGINE', `${op}: a variable belongs to one engine, got "${variable.name}", which is bound to another`);
  const region: RegionRef = { owner, id, name: variable.name, live: true, changedAt };
  regionOf.set(variable, region);
  return region;
}

/** The number of elements of a variable as arrays hold them: 32-bit words for weights in int8 blocks. */
export function elementsOf(variable: Variable): number {
  return variable.dtype === 'q8' ? variable.bytes / 4 : variable.size;
}

/** The message that allocates a variable. @throws FerroError INVALID_SHAPE, INVALID_DTYPE for initial data that does not fit */
export function wireVariable(variable: Variable, id: number): WireVariable {
  return { id, name: variable.name, bytes: variable.bytes, dtype: variable.dtype, init: wireInit(variable) };
}

function wireInit(variable: Variable): WireInit {
  const { init } = variable;
  switch (init.kind) {
    case 'zeros':
      return { kind: 'constant', value: 0 };
    case 'ones':
      return { kind: 'constant', value: 1 };
    case 'constant':
      return { kind: 'constant', value: init.value };
    case 'normal':
      return { kind: 'normal', mean: init.mean, std: init.std };
    case 'uniform':
      return { kind: 'uniform', low: init.low, high: init.high };
    case 'sinusoidal': {
      const [rows, cols] = variable.shape;
      if (variable.shape.length !== 2)
        throw new FerroError(
          'INVALID_SHAPE',
          `allocate: sinusoidal needs a variable of rank 2, got "${variable.name}" [${variable.shape}]`,
        );
      return { kind: 'sinusoidal', noise: init.noise, rows, cols };
    }
    case 'rotary': {
      const [rows, cols] = variable.shape;
      return { kind: 'rotary', base: init.base, scaling: init.scaling, rows, cols };
    }
    case 'data':
      return { kind: 'data', data: encoded(variable, checkedData(variable, init.data, 'allocate').slice()) };
  }
}

/** How a variable is written. */
export interface WriteOptions {
  /** First element to overwrite; the data may then be shorter than the variable. */
  start?: number;
  /** The array may be moved to the engine instead of copied; the caller must not use it afterwards. */
  give?: boolean;
}

/** A part of a variable: elements `start` (default 0) to `end` − 1 (default the last). */
export interface ElementRange {
  start?: number;
  end?: number;
}

/** Data as the engine keeps it: bf16 weights are rounded to the nearest, ties to even. */
export function encoded(variable: Variable, data: WireNumbers): WireNumbers {
  return variable.dtype === 'bf16' && data instanceof Float32Array ? toBfloat16(data) : data;
}

/** Data as users hold it: bf16 weights as f32. */
export function decoded(data: WireNumbers): Numbers {
  return data instanceof Uint16Array ? fromBfloat16(data) : data;
}

function checkArray(variable: Variable, data: WireNumbers, op: string): void {
  const { dtype } = variable;
  const floats = data instanceof Float32Array;
  if (dtype === 'f32' ? floats : dtype === 'bf16' ? floats || data instanceof Uint16Array : data instanceof Int32Array) return;
  throw new FerroError('INVALID_DTYPE', `${op}: "${variable.name}" takes ${arrayName(variable.dtype)}, got ${describeArray(data)}`);
}

/** A range with both ends, within the variable. @throws FerroError INVALID_SHAPE */
export function checkedRange(
  variable: Variable,
  { start = 0, end = elementsOf(variable) }: ElementRange,
  op: string,
): Required<ElementRange> {
  if (Number.isSafeInteger(start) && Number.isSafeInteger(end) && start >= 0 && start <= end && end <= elementsOf(variable))
    return { start, end };
  throw new FerroError(
    'INVALID_SHAPE',
    `${op}: "${variable.name}" has the elements 0 to ${elementsOf(variable) - 1}, got the range from ${start} to before ${end}`,
  );
}

/** The data, if it is of the variable's dtype and lies in it from `start` on. @throws FerroError INVALID_DTYPE, INVALID_SHAPE */
export function checkedPart(variable: Variable, data: WireNumbers, start: number, op: string): WireNumbers {
  checkArray(variable, data, op);
  checkedRange(variable, { start, end: start + data.length }, op);
  return data;
}

/** The data, if it is of the variable's dtype and length. @throws FerroError INVALID_DTYPE, INVALID_SHAPE */
export function checkedData(variable: Variable, data: WireNumbers, op: string): WireNumbers {
  checkArray(variable, data, op);
  const elements = elementsOf(variable);
  if (data.length !== elements)
    throw new FerroError(
      'INVALID_SHAPE',
      `${op}: "${variable.name}" [${variable.shape}] has ${elements} elements, got ${data.length}${data.buffer.byteLength === 0 && elements > 0 ? ' (a detached or empty array)' : ''}`,
    );
  return data;
}

/** What a type's numbers come in. */
export function arrayName(dtype: string): string {
  if (dtype === 'bf16') return 'Float32Array or, as bits, Uint16Array';
  return dtype === 'f32' ? 'Float32Array' : 'Int32Array';
}

/** The class of a value, for error texts. */
export function describeArray(value: unknown): string {
  if (value === null || typeof value !== 'object') return typeof value === 'object' ? 'null' : typeof value;
  return value.constructor?.name ?? 'an object';
}

/** What each binding of a program is to `owner`, the regions among them, and those that a run writes. Constants are copied. */
export function wireBindings(bindings: readonly Binding[], owner: Owner, op: string) {
  const regions: RegionRef[] = [];
  const written: RegionRef[] = [];
  const wire = bindings.map((binding): WireBinding => {
    if (binding.kind === 'variable') {
      const region = requireRegion(binding.variable, owner, op);
      regions.push(region);
      if (binding.written) written.push(region);
      return { variable: region.id };
    }
    return binding.data === undefined ? { sizeBytes: binding.sizeBytes } : { sizeBytes: binding.sizeBytes, data: binding.data.slice() };
  });
  return { wire, regions, written };
}
