// Programs that do one instruction many times over, on the same memory: what a kernel does from the caches, without the cost of a run for each time.
// The same instruction on the same memory depends on itself, so each time is a stage of its own.

import {
  apply,
  assign,
  compile,
  type Dim,
  type LowerContext,
  type OpcodeName,
  type OpDefinition,
  type Program,
  sum,
  type Variable,
  type View,
} from '../../index';

/** One instruction: operands are its inputs (variables), `result` or further memory of its own, filled with a value once. */
export interface Repeated {
  opcode: OpcodeName;
  inputs: Record<string, Variable>;
  /** Operands that it writes: elements of each. */
  results: Record<string, number>;
  /** Operands that it updates or reads, made and filled in front of it. */
  filled?: Record<string, { elements: number; value: number }>;
  dims: Record<string, Dim>;
  params?: Record<string, number | string>;
}

/** The program, with `times` copies of the instruction. Its result is summed into `out`, so that nothing is pruned. */
export function repeatedProgram(name: string, instruction: Repeated, times: number, out: Variable): Program {
  const names = Object.keys(instruction.inputs);
  const op: OpDefinition<Repeated> = {
    name,
    infer: () => [{ shape: [1], dtype: 'f32' }],
    lower: (c) => emitAll(c, instruction, names, times),
  };
  const [tensor] = apply(
    op,
    Object.values(instruction.inputs).map(({ tensor }) => tensor),
    instruction,
  );
  return compile({ name, outputs: {}, effects: [assign(out, sum(tensor))] });
}

function emitAll(
  c: LowerContext<Repeated>,
  { opcode, results, filled = {}, dims, params }: Repeated,
  names: readonly string[],
  times: number,
): void {
  const operands: Record<string, View> = {};
  names.forEach((name, i) => {
    operands[name] = c.view(c.inputs[i]);
  });
  for (const [name, { elements, value }] of Object.entries(filled)) {
    operands[name] = c.temporary([elements]);
    c.emit('fill', { out: operands[name] }, { n: elements }, { value });
  }
  for (const [name, elements] of Object.entries(results)) operands[name] = c.temporary([elements]);
  for (let i = 0; i < times; i++) c.emit(opcode, operands, dims, params);
  // The op's own output: one number that depends on what the instruction wrote.
  const [written] = [...Object.keys(results), ...Object.keys(filled)];
  c.emit('unary', { x: operands[written], out: c.out() }, { n: 1 }, { kind: 0, c: 0 });
}
