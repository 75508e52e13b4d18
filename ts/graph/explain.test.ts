// A program as text.
import { describe, expect, it } from 'vitest';
import { compile } from './compile';
import { Extent } from './dims';
import { assign } from './effects';
import { bytesText, describeInstruction, explain } from './explain';
import { add } from './ops/binary';
import { dropout } from './ops/dropout';
import { linear } from './ops/linear';
import { gelu } from './ops/unary';
import { constant, input, Variable } from './tensor';

const w = new Variable({ name: 'h.0.fc.weight', shape: [4, 8] });
const state = new Variable({ name: 'state', shape: [8] });
const x = input('x', [new Extent('batch', 2), 4]);
const program = compile({
  name: 'block',
  outputs: { y: dropout(gelu(linear(x, w), 'tanh'), 0.5, 'h.0.drop') },
  effects: [assign(state, add(state, constant([1])))],
});

describe('explain', () => {
  it('shows totals, stages, names, run-time sizes, addresses and operations', () => {
    expect(explain(program).split('\n')).toEqual([
      'program block: 3 instructions in 2 stages, 152 FLOP',
      'arena 64 B in 1 bank, inputs, outputs and constants 100 B',
      'extents: batch≤2; scalars: seedLo, seedHi, step, micro',
      'stage 0',
      '  0 matmul NN gelu_tanh batch=1 m=batch n=8 k=4 | a: input x (32 B), b: h.0.fc.weight (128 B), → out: arena[0]+0 (64 B), → act: output y (64 B) | 128 FLOP',
      '  1 binary add mode=3 outer=8 inner=1 | a: state (32 B), b: constant (4 B), → out: state (32 B) | 8 FLOP',
      'stage 1',
      '  2 dropout p=0.5 seed_lo=$seedLo seed_hi=$seedHi step=$step micro=$micro n=8·batch | x: output y (64 B), → out: output y (64 B) | 16 FLOP',
    ]);
  });
  it('describes one instruction', () => {
    expect(describeInstruction(program, 1)).toBe(
      'binary add mode=3 outer=8 inner=1 | a: state (32 B), b: constant (4 B), → out: state (32 B)',
    );
    expect(describeInstruction(program, 9)).toBe('instruction 9 of 3');
  });
  it('prints bytes with a unit', () => {
    expect([0, 1023, 1024, 1536 * 1024, 3 * 2 ** 30].map(bytesText)).toEqual(['0 B', '1023 B', '1.0 KiB', '1.5 MiB', '3.0 GiB']);
  });
});
