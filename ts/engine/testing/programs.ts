// For tests of the engine, here and in test/engine: small programs made by hand.
import { type Program, Variable } from '../../graph';
import { Handmade } from '../../graph/testing/handmade';

/** Numbers of some unary kinds. */
export const UNARY = { copy: 0, exp: 2, addScalar: 12 };

/** A variable full of one value. */
export function filled(name: string, shape: number[], value = 0): Variable {
  return new Variable({ name, shape, init: { kind: 'constant', value } });
}

/** A variable of one number, 0. */
export function counter(): Variable {
  return filled('counter', [1]);
}

/** variable := variable + 1, with the new value as output `out`. */
export function increment(variable: Variable): Program {
  const p = new Handmade('increment');
  const v = p.variable(variable);
  return p
    .add('unary', [v, v], [1], [UNARY.addScalar, 1])
    .add('unary', [v, p.output('out', [1])], [1], [UNARY.copy, 0])
    .program();
}

/** About a millisecond of work per step, in stages that all threads share; then, if given, variable := variable + 1. */
export function longRun(steps: number, variable?: Variable): Program {
  const p = new Handmade('long');
  const elements = 1 << 19;
  const [a, b] = [p.arena(elements), p.arena(elements)];
  for (let i = 0; i < steps; i++) p.add('fill', [a], [elements], [0.5]).add('unary', [a, b], [elements], [UNARY.exp, 0]);
  if (variable !== undefined) {
    const v = p.variable(variable);
    p.add('unary', [v, v], [1], [UNARY.addScalar, 1]);
  }
  return p.program();
}

/** Work, then `unreachable` on the thread `tid`. */
export function trapOn(tid: number): Program {
  const p = new Handmade('trap');
  return p
    .add('fill', [p.arena(1 << 16)], [1 << 16], [1])
    .add('trap', [], [], [tid])
    .program();
}

/** The error of a promise that must reject. */
export async function rejection(work: Promise<unknown>): Promise<Error & { code?: string }> {
  let value: unknown;
  try {
    value = await work;
  } catch (error) {
    return error as Error;
  }
  throw new Error(`expected a rejection, got ${String(value)}`);
}

export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
