// Every op with all optimisations on and off: the same numbers, from programs that keep every promise; and together they use every instruction there is.
import { describe, expect, it } from 'vitest';
import { compileDetailed } from './compile';
import { OPCODES } from './opcodes';
import { interpret, type Values } from './testing/interpreter';
import { OP_CASES } from './testing/opCases';
import { verify } from './testing/verify';

describe('every op', () => {
  it.each(Object.entries(OP_CASES))('%s', (_name, make) => {
    const { outputs, effects, variables, run } = make();
    const results = [0, 1, 2, 3].map((bits) => {
      const compiled = compileDetailed({ name: 'case', outputs, effects }, { fuse: (bits & 1) === 1, inPlace: (bits & 2) === 2 });
      verify(compiled);
      const values: Values = new Map([...variables].map(([variable, data]) => [variable, data.slice()]));
      const result = interpret(compiled, { ...run, variables: values, shuffle: bits });
      return [...Object.values(result), ...values.values()].flatMap((data) => [...data]);
    });
    for (const other of results.slice(1)) {
      expect(other.length).toBe(results[0].length);
      other.forEach((value, i) => {
        expect(Math.abs(value - results[0][i])).toBeLessThan(1e-11 * (1 + Math.abs(value)));
      });
    }
  });

  it('all instructions but the trap are used', () => {
    const used = new Set(
      Object.values(OP_CASES).flatMap((make) => {
        const { outputs, effects } = make();
        return compileDetailed({ name: 'case', outputs, effects }).instructions.map(({ spec }) => spec.name);
      }),
    );
    expect(Object.keys(OPCODES).filter((name) => !used.has(name))).toEqual(['trap']);
  });
});
