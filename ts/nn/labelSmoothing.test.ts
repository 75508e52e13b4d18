// Smoothed cross-entropy in f64 arithmetic (its factors are f32, as in a program): the value by its definition, gradients, and that logits held whole and logits by blocks are one loss.
import { describe, expect, it } from 'vitest';
import { Extent, input, Variable } from '../graph';
import { gradcheck, weighted } from '../graph/testing/gradcheck';
import { evaluate, randomValues } from '../graph/testing/interpreter';
import { smoothedCrossEntropy } from './labelSmoothing';

const [B, T, C, V] = [2, 3, 4, 5];
const labels = [0, 4, -100, 2, -100, 1];
const x = new Variable({ name: 'x', shape: [B, T, C] });
const w = new Variable({ name: 'w', shape: [V, C] });
const variables = randomValues([x, w], 3);
const symbolic = () => input('labels', [B, T], 'i32');

/** Cross-entropy with the target (1 − ε)·e_y + ε/V, row by row. */
function byDefinition(epsilon: number): number[] {
  const [xs, ws] = [variables.get(x)!, variables.get(w)!];
  return labels.map((label, row) => {
    if (label < 0) return 0;
    const logits = Array.from({ length: V }, (_, v) =>
      Array.from({ length: C }, (_, c) => xs[row * C + c] * ws[v * C + c]).reduce((a, b) => a + b),
    );
    const logZ = Math.log(logits.reduce((sum, z) => sum + Math.exp(z), 0));
    return logits.reduce((sum, z, v) => sum - ((v === label ? 1 - epsilon : 0) + epsilon / V) * (z - logZ), 0);
  });
}

describe.each([
  ['logits held whole', undefined],
  ['logits by blocks', 0],
])('%s', (_, most) => {
  it.each([0, 0.1, 0.7])('is the cross-entropy with smoothed targets, ε %f', (epsilon) => {
    const { sum, count } = smoothedCrossEntropy(x.tensor, w.tensor, symbolic(), epsilon, most);
    const found = evaluate({ outputs: { sum, count }, effects: [] }, { inputs: { labels }, variables: new Map(variables) });
    expect(found.count[0]).toBe(4);
    for (const [row, wanted] of byDefinition(epsilon).entries()) expect(found.sum[row], `row ${row}`).toBeCloseTo(wanted, 6);
  });

  it('has gradients to input and head', () => {
    const { sum } = smoothedCrossEntropy(x.tensor, w.tensor, symbolic(), 0.2, most);
    gradcheck(weighted([sum]), [x, w], { inputs: { labels } });
  });
});

it('works where rows are counted only when the program runs', () => {
  const rows = new Extent('rows', B);
  const source = input('source', [rows, T, C]);
  const { sum, count } = smoothedCrossEntropy(source, w.tensor, input('labels', [rows, T], 'i32'), 0.1);
  const found = evaluate(
    { outputs: { sum, count }, effects: [] },
    {
      inputs: { labels: labels.slice(0, 3), source: variables.get(x)!.slice(0, T * C) },
      extents: { rows: 1 },
      variables: new Map(variables),
    },
  );
  for (const [row, wanted] of byDefinition(0.1).slice(0, 3).entries()) expect(found.sum[row]).toBeCloseTo(wanted, 6);
});

it.each([-0.1, 1, Number.NaN])('refuses ε %f', (epsilon) => {
  expect(() => smoothedCrossEntropy(x.tensor, w.tensor, symbolic(), epsilon)).toThrow(
    /"labelSmoothing" must be a number from 0 to below 1/,
  );
});
