// The words of program format 1: laid out exactly as docs/architecture.md says, read back without loss, refused when damaged.
import { describe, expect, it } from 'vitest';
import { compile, compileDetailed } from './compile';
import { decodeProgram } from './decode';
import { Extent } from './dims';
import { assign, sgd } from './effects';
import { resolve } from './ir';
import { OPCODE_BY_CODE, OPCODES } from './opcodes';
import { attentionQkv } from './ops/attention';
import { add } from './ops/binary';
import { clipFinish, squaredNorm } from './ops/clip';
import { crossEntropy } from './ops/crossEntropy';
import { dropout } from './ops/dropout';
import { linear } from './ops/linear';
import { softmax } from './ops/softmax';
import { scale, tanh } from './ops/unary';
import { pathWords } from './path';
import { constant, input, Variable } from './tensor';

const NONE = 0xffffffff;
const [B, T] = [new Extent('batch', 2), new Extent('time', 3)];
const w = new Variable({ name: 'w', shape: [4, 5] });

describe('the layout', () => {
  it('word for word, for one product and one activation', () => {
    const { words } = compile({ name: 'p', outputs: { y: softmax(linear(input('x', [B, 4]), w)) } });
    const parts = [
      [0x47504646, 1, 1, 0, 4, 1, 3, 4, 2, 2, 81], // magic, version, extents, scalars, slots, banks, bindings, operands, instructions, stages, words
      [2], // batch ≤ 2
      [1, NONE, NONE, NONE, 1, 0, NONE, NONE, 5, NONE, NONE, NONE, 4, NONE, NONE, NONE], // 1, batch, 5, 4
      [64], // one bank: 2·5·4 bytes, rounded up
      [32, 40, 80], // x, y, w
      [1, 0, 0, 32, 0, 1, 2, 0, 80, 0, 0, 0, 0, 40, 0, 1, 1, 0, 40, 0], // x, w, x·w, y
      [1, 6, 4, 2, 0, 1, NONE, NONE, 2, NONE, 0, 1, 2, 3, 0, 0], // matmul x w – – out – | 1 batch 5 4 | NN, none
      [9, 2, 2, 1, 2, 3, 1, 2, 0], // softmax
      [0, 1, 1, 1], // two stages of one
    ];
    expect([...words]).toEqual(parts.flat());
  });
  it('parameters: integers, f32 bits, signed labels, scalars by index', () => {
    const f32Bits = (value: number): number => new Uint32Array(Float32Array.of(value).buffer)[0];
    const program = compile({
      name: 'p',
      outputs: { y: scale(dropout(input('x', [4]), 0.25, 'a.b'), 0.1), z: crossEntropy(input('l', [2, 3]), input('t', [2], 'i32')).loss },
    });
    expect(program.scalars).toEqual(['seedLo', 'seedHi', 'step', 'micro']);
    const words = [...program.words].join();
    const { lo, hi } = pathWords('a.b');
    expect(words).toContain([f32Bits(0.25), lo, hi, 0, 1, 2, 3].join());
    expect(words).toContain([11, f32Bits(0.1)].join());
    const loss = decodeProgram(program.words).instructions.find(({ spec }) => spec.name === 'cross_entropy');
    expect(loss?.params.ignore).toBe(-100);
    expect(words).toContain(String(-100 >>> 0));
  });
  it('attention without dropout names no scalar', () => {
    const program = compile({ name: 'p', outputs: { y: attentionQkv(input('qkv', [1, 2, 12]), { nHead: 2, causal: true }) } });
    expect(program.scalars).toEqual([]);
    const [instruction] = decodeProgram(program.words).instructions;
    expect([instruction.params.p, instruction.params.seed_lo, instruction.params.micro]).toEqual([0, undefined, undefined]);
  });
  it('packed attention: three offsets into one buffer, strides as slots', () => {
    const qkv = input('qkv', [B, T, 12]);
    const [instruction] = decodeProgram(
      compile({ name: 'p', outputs: { y: attentionQkv(qkv, { nHead: 2, causal: true }) } }).words,
    ).instructions;
    const { q, k, v } = instruction.operands;
    expect([q, k, v].map((operand) => [operand?.offsetBytes, operand?.sizeBytes])).toEqual([
      [0, 288],
      [16, 272],
      [32, 256],
    ]);
  });
});

describe('names beside the words', () => {
  it('bindings, inputs, outputs and extents in the order of their numbers', () => {
    const x = input('x', [B, T, 4]);
    const c = constant([1, 2, 3, 4, 5]);
    const program = compile({ name: 'p', outputs: { y: add(linear(x, w), c) }, effects: [assign(w, scale(w, 2))] });
    expect(program.inputs).toEqual([{ name: 'x', binding: 0, shape: [B, T, 4], dtype: 'f32' }]);
    expect(program.outputs).toEqual([{ name: 'y', binding: 1, shape: [B, T, 5], dtype: 'f32' }]);
    expect(program.extents).toEqual([
      { name: 'batch', max: 2 },
      { name: 'time', max: 3 },
    ]);
    expect(
      program.bindings.map((binding) => (binding.kind === 'variable' ? binding.variable.name : [binding.sizeBytes, binding.data?.length])),
    ).toEqual([[96, undefined], [120, undefined], 'w', [20, 5]]);
    expect(program.plan).toEqual({
      arenaBytes: 0,
      bankBytes: [],
      ioBytes: 96 + 120 + 20,
      flops: 2 * 6 * 5 * 4 + 20,
      instructions: 2,
      stages: 2,
    });
  });
  it('inputs of one name are one input; different shapes are refused', () => {
    const program = compile({ name: 'p', outputs: { y: add(input('x', [2]), input('x', [2])) } });
    expect(program.inputs.length).toBe(1);
    expect(() => compile({ name: 'p', outputs: { y: add(input('x', [2]), input('x', [1])) } })).toThrow(
      'compile: inputs named "x" must have one shape and dtype, got f32[2] and f32[1]',
    );
  });
  it('extents of one name must agree', () => {
    const outputs = { y: tanh(input('a', [B, new Extent('batch', 3)])) };
    expect(() => compile({ name: 'p', outputs })).toThrow('compile: extents of one name must have one maximum, got batch≤2 and batch≤3');
  });
});

describe('reading back', () => {
  it('gives every operand, dim and parameter that went in', () => {
    const p = new Variable({ name: 'p', shape: [10] });
    const g = new Variable({ name: 'g', shape: [10] });
    const x = input('x', [B, T, 4]);
    const qkv = linear(x, new Variable({ name: 'w3', shape: [4, 12] }));
    const y = dropout(attentionQkv(qkv, { nHead: 2, causal: true, dropout: 0.5, path: 'att' }), 0.5, 'd');
    const { program, instructions, stages } = compileDetailed({
      name: 'all',
      outputs: { y },
      effects: [sgd({ parameter: p, gradient: g, clip: clipFinish(squaredNorm([g])) })],
    });
    const decoded = decodeProgram(program.words);
    expect(decoded.instructions.map(({ spec, stage }) => `${stage} ${spec.name}`).sort()).toEqual(
      instructions.map(({ spec }, at) => `${stages[at]} ${spec.name}`).sort(),
    );
    for (const original of instructions) {
      const read = decoded.instructions.find(({ spec }) => spec === original.spec);
      original.spec.operands.forEach(({ name }, i) => {
        const view = original.operands[i];
        expect(read?.operands[name]?.sizeBytes).toBe(view === undefined ? undefined : resolve(view).bytes);
        expect(read?.operands[name]?.dtype).toBe(view?.dtype);
      });
      original.spec.params.forEach(({ name, type }, i) => {
        const value = original.params[i];
        const expected = type === 'scalar' ? program.scalars.indexOf(String(value)) : type === 'f32' ? Math.fround(Number(value)) : value;
        expect(read?.params[name]).toBe(expected);
      });
    }
  });
  it('the opcode table has distinct codes within its ranges', () => {
    const codes = [...OPCODE_BY_CODE.keys()];
    expect(codes).toEqual([...codes].sort((a, b) => a - b));
    expect(codes.length).toBe(Object.keys(OPCODES).length);
    // Without holes within a range: training, Llama, generation, int8.
    for (const code of codes) expect([1, 41, 49, 64].includes(code) || codes.includes(code - 1), String(code)).toBe(true);
    for (const { operands, inPlace } of Object.values(OPCODES)) {
      for (const [from, to] of inPlace) {
        expect(operands.find(({ name }) => name === from)?.access).toBe('read');
        expect(operands.find(({ name }) => name === to)?.access).toBe('write');
      }
    }
  });
  const { words } = compile({ name: 'p', outputs: { y: softmax(linear(input('x', [B, 4]), w)) } });
  const damaged: [string, (copy: Uint32Array) => Uint32Array, string][] = [
    ['another magic', (copy) => copy.fill(1, 0, 1), 'decode: a program must begin with the magic word, got 1'],
    ['another version', (copy) => copy.fill(2, 1, 2), 'decode: the version must be 1, got 2'],
    [
      'a missing word',
      (copy) => copy.slice(0, -1),
      `decode: the program must have the ${words.length} words its header says, got ${words.length - 1}`,
    ],
    [
      'an operand outside its bank',
      (copy) => copy.fill(1000, 32 + 13, 32 + 14),
      'decode: operands must lie inside their bank or binding, got 0 + 1000 of 64',
    ],
    ['an unknown opcode', (copy) => copy.fill(99, 52, 53), 'decode: opcodes must be known, got 99'],
    ['a missing operand', (copy) => copy.fill(NONE, 56, 57), `decode: matmul must have its a, got ${NONE}`],
    ['a stage too long', (copy) => copy.fill(2, 78, 79), 'decode: stages must cover the instructions in order, got 1'],
  ];
  it.each(damaged)('%s is refused', (_name, damage, text) => {
    expect(() => decodeProgram(damage(words.slice()))).toThrow(text);
  });
});
