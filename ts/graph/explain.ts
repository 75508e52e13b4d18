// A program in words a person can read: every stage, instruction, size and address. For `ferroformer plan`, error reports and curiosity.
import { type DecodedInstruction, type DecodedOperand, type DecodedProgram, decodeProgram } from './decode';
import { instructionFlops } from './flops';
import { BINARY_KINDS, type OpcodeName, UNARY_KINDS } from './opcodes';
import type { Program } from './program';

const FORMS = ['NN', 'NT', 'TN'];
const ACTIVATIONS = ['none', 'gelu_tanh', 'gelu_erf', 'relu'];

/** Bytes with a unit, such as `1.5 MiB`. */
export function bytesText(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB'];
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`;
}

/** A count of operations with a unit, such as `3.2 GFLOP`. */
function flopsText(flops: number): string {
  const units = ['FLOP', 'kFLOP', 'MFLOP', 'GFLOP', 'TFLOP'];
  let value = flops;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`;
}

function slotText(program: Program, decoded: DecodedProgram, slot: number): string {
  const { factor, extents } = decoded.slots[slot];
  const names = extents.map((index) => program.extents[index].name);
  return (factor === 1 && names.length > 0 ? names : [String(factor), ...names]).join('·');
}

function operandText(program: Program, operand: DecodedOperand): string {
  const { space, index, offsetBytes, sizeBytes } = operand;
  const size = bytesText(sizeBytes);
  if (space === 'arena') return `arena[${index}]+${offsetBytes} (${size})`;
  const binding = program.bindings[index];
  const port = [
    ...program.inputs.map((entry) => ({ ...entry, kind: 'input' })),
    ...program.outputs.map((entry) => ({ ...entry, kind: 'output' })),
  ].find((entry) => entry.binding === index);
  const name = binding.kind === 'variable' ? binding.variable.name : port === undefined ? 'constant' : `${port.kind} ${port.name}`;
  return `${name}${offsetBytes === 0 ? '' : `+${offsetBytes}`} (${size})`;
}

function paramText(
  program: Program,
  instruction: DecodedInstruction,
  name: string,
  type: string,
  value: number | undefined,
): string | undefined {
  if (value === undefined) return undefined;
  if (type === 'scalar') return `${name}=$${program.scalars[value]}`;
  if (name === 'form') return FORMS[value];
  if (name === 'activation') return value === 0 ? undefined : ACTIVATIONS[value];
  if (name === 'kind') return (instruction.spec.name === 'binary' ? BINARY_KINDS : UNARY_KINDS)[value];
  if (name === 'path_lo' || name === 'path_hi') return undefined;
  return `${name}=${value}`;
}

function text(program: Program, decoded: DecodedProgram, instruction: DecodedInstruction): string {
  const { spec, dims, params, operands } = instruction;
  const sizes = spec.dims.map((name) => `${name}=${slotText(program, decoded, dims[name])}`);
  const values = spec.params.flatMap(({ name, type }) => paramText(program, instruction, name, type, params[name]) ?? []);
  const views = spec.operands.flatMap(({ name, access }) => {
    const operand = operands[name];
    return operand === undefined
      ? []
      : [`${access === 'read' ? '' : access === 'write' ? '→ ' : '↔ '}${name}: ${operandText(program, operand)}`];
  });
  return [spec.name, ...values, ...sizes].join(' ') + (views.length > 0 ? ` | ${views.join(', ')}` : '');
}

/** One instruction as a line of text, such as `matmul NN m=batch·8 … | a: input x (1.0 KiB), … → out: arena[0]+64 (2.0 KiB)`. */
export function describeInstruction(program: Program, index: number): string {
  const decoded = decodeProgram(program.words);
  const instruction = decoded.instructions[index];
  return instruction === undefined ? `instruction ${index} of ${decoded.instructions.length}` : text(program, decoded, instruction);
}

/** A whole program as text: totals, then each stage with its instructions, sizes at run time, addresses and operations at the maximum extents. */
export function explain(program: Program): string {
  const decoded = decodeProgram(program.words);
  const { plan } = program;
  const maxOf = (slot: number): number =>
    decoded.slots[slot].extents.reduce((product, index) => product * decoded.extents[index], decoded.slots[slot].factor);
  const lines = [
    `program ${program.name}: ${plan.instructions} instructions in ${plan.stages} stages, ${flopsText(plan.flops)}`,
    `arena ${bytesText(plan.arenaBytes)} in ${plan.bankBytes.length} bank${plan.bankBytes.length === 1 ? '' : 's'}, inputs, outputs and constants ${bytesText(plan.ioBytes)}`,
    `extents: ${program.extents.map(({ name, max }) => `${name}≤${max}`).join(', ') || 'none'}; scalars: ${program.scalars.join(', ') || 'none'}`,
  ];
  decoded.stages.forEach(({ first, count }, stage) => {
    lines.push(`stage ${stage}`);
    for (let index = first; index < first + count; index++) {
      const instruction = decoded.instructions[index];
      const sizes = Object.fromEntries(Object.entries(instruction.dims).map(([name, slot]) => [name, maxOf(slot)]));
      const flops = instructionFlops(instruction.spec.name as OpcodeName, sizes, instruction.params as Record<string, number>);
      lines.push(`  ${index} ${text(program, decoded, instruction)} | ${flopsText(flops)}`);
    }
  });
  return lines.join('\n');
}
