// Which heads are computed in one pass, which must not be, that it changes no number, and what it needs of memory.
import { describe, expect, it } from 'vitest';
import { differentiate } from './autodiff';
import { type CompileRequest, type CompileSwitches, compileDetailed } from './compile';
import { decodeProgram } from './decode';
import { Extent } from './dims';
import { accumulate, assign, type Effect } from './effects';
import { HEAD_LOGITS_BYTES, headStride } from './head';
import { add, mul } from './ops/binary';
import { embedding } from './ops/embedding';
import { linear } from './ops/linear';
import { linearCrossEntropy } from './ops/linearCrossEntropy';
import { mean, sum } from './ops/reduce';
import { scale, square } from './ops/unary';
import { input, type Tensor, Variable } from './tensor';
import { interpret, type RunRequest, randomValues } from './testing/interpreter';
import { verify } from './testing/verify';

const ROWS = 40;
const variable = (name: string, ...shape: number[]): Variable => new Variable({ name, shape });
const [x, w, table] = [variable('x', ROWS, 4), variable('w', 5, 4), variable('table', 5, 4)];
const labels = input('labels', [ROWS], 'i32');
const weights = input('weights', [ROWS], 'f32');

/** Labels of which every third is ignored. */
const LABELS = Array.from({ length: ROWS }, (_, i) => (i % 3 === 1 ? -100 : (i * 7) % 5));
const RUN: RunRequest = {
  inputs: { labels: LABELS, weights: Array.from({ length: ROWS }, (_, i) => Math.sin(i)), ids: LABELS.map(Math.abs).map((v) => v % 5) },
};

type Request = Omit<CompileRequest, 'name'>;

/** The gradients of a loss in variables of their own. */
function gradients(
  loss: Tensor,
  of: readonly Variable[],
  put: (target: Variable, value: Tensor) => Effect = assign,
): { request: Request; all: Variable[] } {
  const targets = of.map((one) => variable(`d ${one.name}`, ...one.shape));
  const found = differentiate(loss, of);
  const effects = of.map((one, i) => put(targets[i], found.get(one) as Tensor));
  return { request: { outputs: { loss }, effects }, all: [...new Set([x, w, table, ...of]), ...targets] };
}

/** The names of the instructions that belong to a head. */
function headOf(request: Request, switches: CompileSwitches = {}): string[] {
  const compiled = compileDetailed({ name: 'test', ...request }, switches);
  verify(compiled);
  const names = decodeProgram(compiled.program.words).instructions.map(({ spec }) => spec.name);
  return names.filter((name) => /head|linear_cross/.test(name));
}

function results(request: Request, all: readonly Variable[], switches: CompileSwitches, run: RunRequest, shuffle: number): number[] {
  const compiled = compileDetailed({ name: 'test', ...request }, switches);
  verify(compiled);
  const values = randomValues(all, 5);
  const outputs = interpret(compiled, { ...run, variables: values, shuffle });
  return [...Object.values(outputs), ...values.values()].flatMap((data) => [...data]);
}

/** Expects the numbers of the three kernels, whatever the blocks and the order within stages. */
function expectSame({ request, all }: { request: Request; all: Variable[] }, run: RunRequest = RUN): void {
  const want = results(request, all, { fuse: false, inPlace: false }, run, 1);
  for (const switches of [{}, { inPlace: false }, { headLogitsBytes: 1 }, { headLogitsBytes: 1, inPlace: false }]) {
    const got = results(request, all, switches, run, 2);
    expect(got.length).toBe(want.length);
    got.forEach((value, i) => {
      expect(Math.abs(value - want[i])).toBeLessThan(1e-11 * (1 + Math.abs(want[i])));
    });
  }
}

const ONE_BLOCK = ['head_logits', 'head_loss', 'head_backward_w', 'head_backward_x'];
const rowLoss = (): Tensor => linearCrossEntropy(x, w, labels).loss;

describe('one pass', () => {
  const cases: [string, () => Tensor, Variable[], string[]][] = [
    ['a sum over rows', () => sum(rowLoss()), [x, w], ONE_BLOCK],
    ['rows that are summed by differentiate itself', () => rowLoss(), [x, w], ONE_BLOCK],
    ['a mean over rows', () => mean(rowLoss()), [x, w], ONE_BLOCK],
    ['a scaled sum', () => scale(sum(rowLoss()), 0.25), [x, w], ONE_BLOCK],
    ['rows weighted by an input', () => sum(mul(rowLoss(), weights)), [x, w], ONE_BLOCK],
    ['only w is trained', () => sum(rowLoss()), [w], ONE_BLOCK.slice(0, 3)],
    ['only x is trained', () => sum(rowLoss()), [x], ONE_BLOCK],
    ['beside another loss of x', () => add(sum(rowLoss()), sum(square(x))), [x, w], ONE_BLOCK],
  ];
  it.each(cases)('%s', (_name, loss, of, expected) => {
    const made = gradients(loss(), of);
    expect(headOf(made.request)).toEqual(expected);
    expectSame(made);
  });

  it('two heads over the same rows, each in one pass', () => {
    const made = gradients(add(sum(rowLoss()), sum(linearCrossEntropy(x, table, labels).loss)), [x, w, table]);
    expect(headOf(made.request).sort()).toEqual([...ONE_BLOCK, ...ONE_BLOCK].sort());
    expectSame(made);
  });

  it('a second micro-batch adds to what is there', () => {
    const made = gradients(sum(rowLoss()), [x, w], accumulate);
    expect(headOf(made.request)).toEqual(ONE_BLOCK);
    expectSame(made);
  });

  it('no row counts', () => {
    const none = { ...RUN, inputs: { ...RUN.inputs, labels: LABELS.map(() => -100) } };
    expectSame(gradients(sum(rowLoss()), [x, w]), none);
  });

  it('loss and logZ may be outputs', () => {
    const made = gradients(sum(rowLoss()), [x, w]);
    const { loss, logZ } = linearCrossEntropy(x, w, labels);
    const found = differentiate(sum(loss), [x, w]);
    const effects = [x, w].map((one, i) => assign(made.all.slice(-2)[i], found.get(one) as Tensor));
    const request = { outputs: { loss, logZ }, effects };
    expect(headOf(request)).toEqual(ONE_BLOCK);
    expectSame({ request, all: made.all });
  });
});

describe('three kernels', () => {
  const cases: [string, () => Tensor][] = [
    ['a gradient of logZ', () => add(sum(rowLoss()), sum(square(linearCrossEntropy(x, w, labels).logZ)))],
    [
      'a loss and its logZ',
      () => {
        const { loss, logZ } = linearCrossEntropy(x, w, labels);
        return add(sum(loss), scale(sum(square(logZ)), 1e-4));
      },
    ],
    ['an upstream gradient that depends on the loss', () => sum(square(rowLoss()))],
  ];
  it.each(cases)('%s', (_name, loss) => {
    const made = gradients(loss(), [x, w]);
    const names = headOf(made.request);
    for (const kernel of ['linear_cross_entropy', 'linear_cross_entropy_backward_x', 'linear_cross_entropy_backward_w'])
      expect(names).toContain(kernel);
    expectSame(made);
  });

  it('a number of rows known only at run time, and a loss without gradients', () => {
    const rows = new Extent('rows', 8);
    const found = linearCrossEntropy(embedding(table, input('ids', [rows], 'i32')), w, input('few', [rows], 'i32')).loss;
    const { request } = gradients(found, [table, w]);
    expect(headOf(request).sort()).toEqual(['linear_cross_entropy', 'linear_cross_entropy_backward_w', 'linear_cross_entropy_backward_x']);
    expect(headOf({ outputs: { loss: rowLoss() } })).toEqual(['linear_cross_entropy']);
  });
});

describe('blocks', () => {
  it('follow each other on one piece of memory, dW is one chain in the gradient variable itself', () => {
    const tied = linearCrossEntropy(linear(embedding(table, input('ids', [ROWS], 'i32')), variable('m', 4, 4)), table, labels).loss;
    const { request } = gradients(sum(tied), [table]);
    const compiled = compileDetailed({ name: 'tied', ...request }, { headLogitsBytes: 1 });
    const { instructions } = decodeProgram(compiled.program.words);
    const of = (name: string) => instructions.filter(({ spec }) => spec.name === name);
    expect(of('head_logits').map(({ params }) => params.first)).toEqual([0, 16, 32]);
    expect(new Set(of('head_logits').map(({ operands }) => operands.logits?.offsetBytes)).size).toBe(1);
    const chain = of('head_backward_w');
    expect(chain.map(({ operands }) => operands.init?.space)).toEqual([undefined, 'binding', 'binding']);
    expect(of('embedding_backward')[0].operands.init).toEqual(chain[0].operands.dw);
    expect(of('embedding_backward')[0].operands.dtable?.space).toBe('binding');
  });

  it('keep the logits below their limit for a large vocabulary, and need no more for more rows', () => {
    const plan = (rows: number) => {
      const [many, words] = [variable('many', rows, 8), variable('words', 50257, 8)];
      const { loss } = linearCrossEntropy(many, words, input('labels', [rows], 'i32'));
      return compileDetailed({ name: 'large', ...gradients(sum(loss), [many, words]).request }).program.plan;
    };
    const [short, long] = [plan(256), plan(4096)];
    expect(short.arenaBytes).toBeGreaterThan(256 * 50257 * 4);
    expect(short.arenaBytes).toBeLessThan(1.1 * HEAD_LOGITS_BYTES);
    expect(long.arenaBytes).toBeLessThan(1.1 * HEAD_LOGITS_BYTES);
    expect(long.flops).toBeGreaterThan(15 * short.flops);
  });

  it('have strides of an odd number of cache lines', () => {
    expect([1, 16, 17, 32, 33, 256, 320].map(headStride)).toEqual([16, 16, 48, 48, 48, 272, 336]);
  });
});
