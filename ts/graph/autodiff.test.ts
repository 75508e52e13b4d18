// What differentiate gives, leaves out and refuses. The gradient rules themselves are checked in gradients.test.ts.
import { describe, expect, it } from 'vitest';
import { FerroError } from '../errors';
import { differentiate, reachable } from './autodiff';
import { Extent } from './dims';
import { attentionCached } from './ops/attentionCached';
import { add, div, mul } from './ops/binary';
import { countLabels, crossEntropy } from './ops/crossEntropy';
import { embedding } from './ops/embedding';
import { linear } from './ops/linear';
import { sum } from './ops/reduce';
import { reshape } from './ops/reshape';
import { lastRow, writeRows } from './ops/rows';
import { sample } from './ops/sample';
import { relu, scale, square } from './ops/unary';
import { constant, input, type Tensor, Variable } from './tensor';
import { evaluate } from './testing/interpreter';

const variable = (name: string, ...shape: number[]): Variable => new Variable({ name, shape });
const opsOf = (tensor: Tensor): string[] => reachable([tensor]).map((node) => node.op.name);

function refusal(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    expect(error).toBeInstanceOf(FerroError);
    return `${(error as FerroError).code} ${(error as FerroError).message}`;
  }
  return 'nothing was thrown';
}

describe('what it gives', () => {
  it('one gradient per variable, of its shape', () => {
    const [x, w, b] = [variable('x', 2, 3), variable('w', 3, 4), variable('b', 4)];
    const gradients = differentiate(linear(x, w, b), [w, b]);
    expect([...gradients.keys()]).toEqual([w, b]);
    expect([...gradients.values()].map(String)).toEqual(['f32[3, 4]', 'f32[4]']);
  });
  it('the gradient of the sum when the loss is no single value', () => {
    const x = variable('x', 3);
    const dx = differentiate(square(x), [x]).get(x) as Tensor;
    expect([...evaluate({ outputs: { dx } }, { variables: new Map([[x, Float64Array.of(1, 2, -3)]]) }).dx]).toEqual([2, 4, -6]);
  });
  it('the sum over all paths', () => {
    const x = variable('x', 1);
    const y = add(add(square(x), scale(x, 3)), mul(x, x)); // 2x² + 3x
    const dx = differentiate(y, [x]).get(x) as Tensor;
    expect([...evaluate({ outputs: { dx } }, { variables: new Map([[x, Float64Array.of(5)]]) }).dx]).toEqual([23]);
  });
  it('ones for the variable itself', () => {
    const x = variable('x', 2);
    const dx = differentiate(x.tensor, [x]).get(x) as Tensor;
    expect([...evaluate({ outputs: { dx } }).dx]).toEqual([1, 1]);
  });
});

describe('what it leaves out', () => {
  it('branches that lead to no variable asked for', () => {
    const [x, w, frozen] = [variable('x', 2, 3), variable('w', 3, 3), variable('frozen', 3, 3)];
    const y = linear(relu(linear(x, frozen)), w);
    const dw = differentiate(y, [w]).get(w) as Tensor;
    // The seed, the forward part that dw needs, and one product; no gradient of x, frozen or relu.
    expect(opsOf(dw).sort()).toEqual(['fill', 'matmul', 'matmul', 'unary', 'variable', 'variable']);
  });
  it('operands that hold no gradient: a count that only divides', () => {
    const logits = variable('logits', 2, 3);
    const labels = input('labels', [2], 'i32');
    const y = div(sum(crossEntropy(logits, labels).loss), countLabels(labels));
    const d = differentiate(y, [logits]).get(logits) as Tensor;
    const logitValues = new Map([[logits, new Float64Array(6)]]);
    const result = evaluate({ outputs: { d } }, { variables: logitValues, inputs: { labels: [1, -100] } }).d;
    const third = 1 / 3;
    [third, -2 * third, third, 0, 0, 0].forEach((value, i) => {
      expect(result[i]).toBeCloseTo(value, 12);
    });
  });
});

describe('what it refuses', () => {
  const [x, w, other] = [variable('x', 1, 2, 3), variable('w', 3, 3), variable('other', 3)];
  const table = variable('table', 3, 3);
  it('a variable the loss does not depend on', () => {
    expect(refusal(() => differentiate(linear(x, w), [w, other]))).toBe(
      'NOT_DIFFERENTIABLE differentiate: the loss must depend on every variable asked for, got none on "other"',
    );
  });
  const [cache, w9] = [variable('cache', 1, 4, 3), variable('w9', 3, 9)];
  const last = [
    ['last_row', sum(lastRow(linear(x, w))), w],
    ['write_rows', sum(writeRows(cache, linear(x, w), 0)), w],
    [
      'attention_cached (of cache, cache)',
      sum(attentionCached(linear(x, w9), cache, cache, { nHead: 1, keysUsed: new Extent('used', 4) })),
      w9,
    ],
  ] as const;
  it.each(last)('%s on the path', (name, loss, used) => {
    const rule = 'every operation between the loss and the variables must have a gradient rule';
    expect(refusal(() => differentiate(loss, [used]))).toBe(`NOT_DIFFERENTIABLE differentiate: ${rule}, got ${name}`);
  });
  it('a path through sampled ids only', () => {
    const ids = sample(reshape(linear(x, w), [2, 3]));
    expect(refusal(() => differentiate(embedding(table, ids), [w]))).toBe(
      'NOT_DIFFERENTIABLE differentiate: the loss must depend on "w" through differentiable operands, got only others (ids, labels, masks)',
    );
  });
  it('integers and things that are no tensors', () => {
    const n = new Variable({ name: 'n', shape: [2], dtype: 'i32' });
    expect(refusal(() => differentiate(linear(x, w), [n]))).toBe('NOT_DIFFERENTIABLE differentiate: variables must be f32, got "n" of i32');
    expect(refusal(() => differentiate(input('i', [1], 'i32'), [w]))).toBe('INVALID_DTYPE differentiate: loss must be f32, got i32[1]');
    expect(refusal(() => differentiate(linear(x, w), [w, w]))).toBe(
      'INVALID_OPTION differentiate: each variable may be listed once, got w, w',
    );
    expect(refusal(() => differentiate({} as Tensor, [w]))).toBe(
      'INVALID_OPTION differentiate: loss must be a Tensor, got an object (Object)',
    );
  });
  it('a constant loss', () => {
    expect(refusal(() => differentiate(constant([1]), [w]))).toContain('got none on "w"');
  });
});
