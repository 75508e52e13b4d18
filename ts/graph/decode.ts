// Reads the words of program format 1 back into names and numbers, checking that they hold together. For people, tests and error reports;
// the engine in Rust has its own reader.
import { FerroError, phrase } from '../errors';
import { OPCODE_BY_CODE, type OpcodeSpec } from './opcodes';
import { HEADER_WORDS, NONE, PROGRAM_MAGIC, PROGRAM_VERSION } from './program';
import type { StorageType } from './tensor';

/** One operand of the operand table. */
export interface DecodedOperand {
  readonly space: 'arena' | 'binding';
  /** Bank or binding number. */
  readonly index: number;
  readonly offsetBytes: number;
  readonly sizeBytes: number;
  readonly dtype: StorageType;
}

/** One instruction; dims are slot numbers. */
export interface DecodedInstruction {
  readonly spec: OpcodeSpec;
  readonly stage: number;
  readonly operands: Readonly<Record<string, DecodedOperand | undefined>>;
  readonly dims: Readonly<Record<string, number>>;
  /** Integers, f32 values, or indices of scalars (undefined: none). */
  readonly params: Readonly<Record<string, number | undefined>>;
}

/** A program's words, taken apart. */
export interface DecodedProgram {
  readonly extents: readonly number[];
  readonly scalars: number;
  readonly slots: readonly { readonly factor: number; readonly extents: readonly number[] }[];
  readonly banks: readonly number[];
  readonly bindings: readonly number[];
  readonly operands: readonly DecodedOperand[];
  readonly instructions: readonly DecodedInstruction[];
  readonly stages: readonly { readonly first: number; readonly count: number }[];
}

const DTYPES: readonly StorageType[] = ['f32', 'i32', 'f64', 'q8', 'bf16'];

function check(condition: boolean, rule: string, got: unknown): void {
  if (!condition) throw new FerroError('BAD_PROGRAM', `decode: ${rule}, got ${phrase(got)}`);
}

/** Takes words apart. @throws BAD_PROGRAM when they are not program format 1 or refer to what they do not have. */
export function decodeProgram(words: Uint32Array): DecodedProgram {
  check(words.length >= HEADER_WORDS && words[0] === PROGRAM_MAGIC, 'a program must begin with the magic word', words[0]);
  check(words[1] === PROGRAM_VERSION, `the version must be ${PROGRAM_VERSION}`, words[1]);
  const [nExtents, nScalars, nSlots, nBanks, nBindings, nOperands, nInstructions, nStages, total] = words.subarray(2, HEADER_WORDS);
  check(total === words.length, `the program must have the ${total} words its header says`, words.length);
  let at = HEADER_WORDS;
  const take = (count: number): number[] => {
    check(at + count <= words.length, 'tables must lie inside the program', at + count);
    at += count;
    return [...words.subarray(at - count, at)];
  };
  const rows = <T>(count: number, width: number, read: (row: number[]) => T): T[] => Array.from({ length: count }, () => read(take(width)));
  const extents = take(nExtents);
  const slots = rows(nSlots, 4, ([factor, ...indices]) => {
    const used = indices.filter((index) => index !== NONE);
    check(
      used.every((index) => index < nExtents),
      'slots must refer to extents',
      indices,
    );
    return { factor, extents: used };
  });
  const banks = take(nBanks);
  const bindings = take(nBindings);
  const operands = rows(nOperands, 5, (row) => operand(row, banks, bindings));
  const raw = Array.from({ length: nInstructions }, () => instruction(take, operands, nSlots, nScalars));
  const stages = rows(nStages, 2, ([first, count]) => ({ first, count }));
  check(at === words.length, 'nothing may follow the stages', words.length - at);
  const instructions = raw.map((entry) => ({ ...entry, stage: 0 }));
  let next = 0;
  stages.forEach(({ first, count }, stage) => {
    check(first === next && count > 0 && first + count <= nInstructions, 'stages must cover the instructions in order', first);
    next = first + count;
    for (let i = first; i < next; i++) instructions[i].stage = stage;
  });
  check(next === nInstructions, 'stages must cover all instructions', next);
  return { extents, scalars: nScalars, slots, banks, bindings, operands, instructions, stages };
}

function operand(
  [space, index, offsetBytes, sizeBytes, dtype]: number[],
  banks: readonly number[],
  bindings: readonly number[],
): DecodedOperand {
  const sizes = space === 0 ? banks : bindings;
  check(space <= 1 && index < sizes.length, 'operands must lie in a bank or binding', `${space} ${index}`);
  check(
    offsetBytes + sizeBytes <= sizes[index] && offsetBytes % 4 === 0,
    'operands must lie inside their bank or binding',
    `${offsetBytes} + ${sizeBytes} of ${sizes[index]}`,
  );
  check(dtype < DTYPES.length, 'dtype must be from 0 to 4', dtype);
  return { space: space === 0 ? 'arena' : 'binding', index, offsetBytes, sizeBytes, dtype: DTYPES[dtype] };
}

const bits = new Uint32Array(1);
const f32 = new Float32Array(bits.buffer);

function instruction(
  take: (count: number) => number[],
  operands: readonly DecodedOperand[],
  nSlots: number,
  nScalars: number,
): Omit<DecodedInstruction, 'stage'> {
  const [code, nOps, nDims, nParams] = take(4);
  const spec = OPCODE_BY_CODE.get(code);
  if (spec === undefined) throw new FerroError('BAD_PROGRAM', `decode: opcodes must be known, got ${code}`);
  check(
    nOps === spec.operands.length && nDims === spec.dims.length && nParams === spec.params.length,
    `${spec.name} must have its table's counts`,
    [nOps, nDims, nParams],
  );
  const ops = take(nOps).map((index, i) => {
    check(
      index === NONE ? spec.operands[i].optional : index < operands.length,
      `${spec.name} must have its ${spec.operands[i].name}`,
      index,
    );
    return [spec.operands[i].name, index === NONE ? undefined : operands[index]] as const;
  });
  const dims = take(nDims).map((slot, i) => {
    check(slot < nSlots, `${spec.name} must refer to slots`, slot);
    return [spec.dims[i], slot] as const;
  });
  const params = take(nParams).map((word, i) => {
    const { name, type } = spec.params[i];
    if (type === 'scalar') {
      check(word === NONE || word < nScalars, `${spec.name} must refer to scalars`, word);
      return [name, word === NONE ? undefined : word] as const;
    }
    bits[0] = word;
    // The ignored label is signed; every other integer is small, or one half of a path whose sign does not matter.
    return [name, type === 'f32' ? f32[0] : name === 'ignore' ? word | 0 : word] as const;
  });
  return { spec, operands: Object.fromEntries(ops), dims: Object.fromEntries(dims), params: Object.fromEntries(params) };
}
