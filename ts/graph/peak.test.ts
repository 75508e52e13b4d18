// Spreading the fullest stage: less memory for a few stages more, the order of what depends on each other kept, small programs left alone.
import { describe, expect, it } from 'vitest';
import { differentiate } from './autodiff';
import { checkpoint } from './checkpoint';
import { type CompiledDetail, compileDetailed } from './compile';
import { assign } from './effects';
import { add } from './ops/binary';
import { layerNorm } from './ops/layerNorm';
import { linear } from './ops/linear';
import { sum } from './ops/reduce';
import { gelu, square } from './ops/unary';
import { peakOf, planLives } from './plan';
import { schedule, successors } from './schedule';
import { input, type Tensor, Variable } from './tensor';
import { verify } from './testing/verify';

/** Six blocks x + W2·gelu(W1·norm(x)) on [rows, 64], trained; the program is only compiled. */
function trained(rows: number, wrap: <T>(build: () => T) => T): CompiledDetail {
  const weights: Variable[] = [];
  const weight = (...shape: number[]): Variable => {
    weights.push(new Variable({ name: `w${weights.length}`, shape }));
    return weights[weights.length - 1];
  };
  let x: Tensor = linear(input('x', [rows, 64]), weight(64, 64));
  for (let i = 0; i < 6; i++) {
    const before = x;
    x = wrap(() => add(before, linear(gelu(linear(layerNorm(before, weight(64)), weight(64, 256)), 'tanh'), weight(256, 64))));
  }
  const loss = sum(square(x));
  const gradients = differentiate(loss, weights);
  const effects = weights.map((one) => assign(new Variable({ name: `d ${one.name}`, shape: one.shape }), gradients.get(one) as Tensor));
  return compileDetailed({ name: 'trained', outputs: { loss }, effects });
}

const MIB = 2 ** 20;
const livePeak = ({ instructions }: CompiledDetail, stages: readonly number[]): number =>
  peakOf(planLives(instructions, stages, { inPlace: true })).bytes;

describe('spreadPeak', () => {
  it.each([
    ['kept', (build: () => never) => build()],
    ['computed again', checkpoint],
  ])('activations %s: the gradient of W2 is computed before room for the next gradient is needed', (_, wrap) => {
    const compiled = trained(16384, wrap as never); // x: 4 MiB, hidden: 16 MiB
    verify(compiled);
    const earliest = schedule(compiled.instructions);
    const saved = livePeak(compiled, earliest) - livePeak(compiled, compiled.stages);
    expect(saved).toBeGreaterThanOrEqual(4 * MIB);
    expect(saved).toBeLessThanOrEqual(16 * MIB);
    const more = Math.max(...compiled.stages) - Math.max(...earliest);
    expect(more).toBeGreaterThanOrEqual(1);
    expect(more).toBeLessThanOrEqual(12);
  });
  it('keeps the order of what depends on each other', () => {
    const { instructions, stages } = trained(16384, checkpoint);
    successors(instructions).forEach((next, at) => {
      for (const later of next) expect(stages[later]).toBeGreaterThan(stages[at]);
    });
  });
  it('leaves programs alone whose buffers are below four mebibytes', () => {
    const small = trained(2048, checkpoint);
    expect(small.stages).toEqual(schedule(small.instructions));
  });
});
