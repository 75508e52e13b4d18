// Turns runs given by names into the program's own order, and checks all of it before anything is sent: after an error here nothing has
// been written and nothing has run.
import { FerroError } from '../../errors';
import type { Dim, DType, Program, Shape } from '../../graph';
import type { Numbers, WireCall, WireOutput } from '../protocol';
import type { ProgramHandle } from './programs';
import type { Outputs, RunCall, SequenceRun } from './types';
import { arrayName, describeArray } from './variables';

/** A call ready to send, and the names under which its outputs come back. */
export interface PreparedCall {
  wire: WireCall;
  outputNames: string[];
}

type Extents = ReadonlyMap<string, number>;

/** Checks a run and encodes it. Inputs are copied. @throws FerroError */
export function prepareCall(call: RunCall, op: string): PreparedCall {
  const { handle } = call;
  const { program } = handle;
  handle.assertUsable(op);
  const extents = readExtents(program, call.extents, op);
  const outputNames = chosenOutputs(program, call.outputs, op);
  return {
    wire: {
      program: handle.id,
      extents: Uint32Array.from(extents.values()),
      scalars: Float64Array.from(readScalars(program, call.scalars, op)),
      inputs: readInputs(program, call.inputs, extents, op),
      outputs: outputNames.map((name) => wireOutput(program, name, extents)),
      atomic: call.atomic === true,
    },
    outputNames,
  };
}

/** The steps of a sequence as rows of extents and scalars, and the emitted output of each. @throws FerroError */
export function prepareSequence(
  handle: ProgramHandle,
  runs: readonly SequenceRun[],
  inputs: Record<string, Numbers> | undefined,
  emit: string,
  op: string,
) {
  const { program } = handle;
  handle.assertUsable(op);
  chosenOutputs(program, [emit], op);
  const rows = runs.map((run) => readExtents(program, run.extents, op));
  return {
    program: handle.id,
    count: runs.length,
    extents: Uint32Array.from(rows.flatMap((row) => [...row.values()])),
    scalars: Float64Array.from(runs.flatMap((run) => readScalars(program, run.scalars, op))),
    inputs: rows.length === 0 ? [] : readInputs(program, inputs, rows[0], op),
    outputs: rows.map((row) => wireOutput(program, emit, row)),
  };
}

/** The buffers that a message may carry away because they are our own copies. */
export function ownBuffers(calls: readonly Pick<WireCall, 'inputs'>[]): ArrayBuffer[] {
  return calls.flatMap((call) => call.inputs.map((input) => input.data.buffer as ArrayBuffer));
}

/** The answer's arrays under their names. */
export function nameOutputs(prepared: PreparedCall, values: readonly Numbers[]): Outputs {
  return Object.fromEntries(prepared.outputNames.map((name, i) => [name, values[i]]));
}

function readExtents(program: Program, given: Record<string, number> | undefined, op: string): Extents {
  const values = given ?? {};
  rejectUnknown(
    Object.keys(values),
    program.extents.map((extent) => extent.name),
    `${op}: "${program.name}" has no extent of that name`,
  );
  return new Map(
    program.extents.map(({ name, max }) => {
      const value = Object.hasOwn(values, name) ? values[name] : undefined;
      if (!Number.isInteger(value) || value! < 0 || value! > max)
        throw new FerroError(
          'INVALID_SHAPE',
          `${op}: extent "${name}" of "${program.name}" must be an integer from 0 to ${max}, got ${value}`,
        );
      return [name, value!];
    }),
  );
}

function readScalars(program: Program, given: Record<string, number> | undefined, op: string): number[] {
  const values = given ?? {};
  rejectUnknown(Object.keys(values), program.scalars, `${op}: "${program.name}" has no scalar of that name`);
  return program.scalars.map((name) => {
    const value = Object.hasOwn(values, name) ? values[name] : undefined;
    if (typeof value !== 'number' || Number.isNaN(value))
      throw new FerroError('INVALID_OPTION', `${op}: scalar "${name}" of "${program.name}" must be a number, got ${value}`);
    return value;
  });
}

function readInputs(program: Program, given: Record<string, Numbers> | undefined, extents: Extents, op: string) {
  const values = given ?? {};
  rejectUnknown(
    Object.keys(values),
    program.inputs.map((input) => input.name),
    `${op}: "${program.name}" has no input of that name`,
  );
  return program.inputs.map(({ name, binding, shape, dtype }) => {
    const data = Object.hasOwn(values, name) ? values[name] : undefined;
    if (data === undefined)
      throw new FerroError('INVALID_OPTION', `${op}: every input of "${program.name}" must be given, got none for "${name}"`);
    checkInput(data, name, shape, dtype, extents, op);
    return { binding, data: data.slice() };
  });
}

function checkInput(data: Numbers, name: string, shape: Shape, dtype: DType, extents: Extents, op: string): void {
  const right = dtype === 'i32' ? data instanceof Int32Array : data instanceof Float32Array;
  if (!right) throw new FerroError('INVALID_DTYPE', `${op}: input "${name}" takes ${arrayName(dtype)}, got ${describeArray(data)}`);
  const elements = usedElements(shape, extents);
  if (data.length === elements) return;
  const used = shape.map((dim) => usedDim(dim, extents)).join(', ');
  const detached = data.buffer.byteLength === 0 && elements > 0 ? ' (a detached or empty array)' : '';
  throw new FerroError('INVALID_SHAPE', `${op}: input "${name}" [${used}] takes ${elements} elements, got ${data.length}${detached}`);
}

function chosenOutputs(program: Program, given: readonly string[] | undefined, op: string): string[] {
  const known = program.outputs.map((output) => output.name);
  if (given === undefined) return known;
  rejectUnknown(given, known, `${op}: "${program.name}" has no output of that name`);
  return [...given];
}

function wireOutput(program: Program, name: string, extents: Extents): WireOutput {
  const output = program.outputs.find((candidate) => candidate.name === name)!;
  return { binding: output.binding, elements: usedElements(output.shape, extents), dtype: output.dtype };
}

/** How many elements a shape has at the given extents. */
export function usedElements(shape: Shape, extents: Extents): number {
  return shape.reduce<number>((product, dim) => product * usedDim(dim, extents), 1);
}

function usedDim(dim: Dim, extents: Extents): number {
  if (typeof dim === 'number') return dim;
  if ('extents' in dim) return dim.extents.reduce((product, extent) => product * extents.get(extent.name)!, dim.factor);
  return extents.get(dim.name)!;
}

function rejectUnknown(given: readonly string[], known: readonly string[], rule: string): void {
  for (const name of given) {
    if (!known.includes(name))
      throw new FerroError('UNKNOWN_OPTION', `${rule}, got "${name}" (known: ${known.length === 0 ? 'none' : known.join(', ')})`);
  }
}
