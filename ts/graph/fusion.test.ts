// Which instructions join, which must not, and that joining changes no number.
import { describe, expect, it } from 'vitest';
import { differentiate } from './autodiff';
import { type CompileRequest, compileDetailed } from './compile';
import { decodeProgram } from './decode';
import { Extent } from './dims';
import { assign } from './effects';
import { addPosition } from './ops/addPosition';
import { attentionQkv } from './ops/attention';
import { add, mul, sub } from './ops/binary';
import { embedding } from './ops/embedding';
import { layerNorm } from './ops/layerNorm';
import { linear } from './ops/linear';
import { linearCrossEntropy } from './ops/linearCrossEntropy';
import { matmul } from './ops/matmul';
import { sum } from './ops/reduce';
import { gelu, relu, square, tanh } from './ops/unary';
import { input, type Tensor, Variable } from './tensor';
import { interpret, type RunRequest, randomValues } from './testing/interpreter';
import { verify } from './testing/verify';

const variable = (name: string, ...shape: number[]): Variable => new Variable({ name, shape });
const [x, w, w2, b] = [variable('x', 3, 4), variable('w', 4, 4), variable('w2', 4, 4), variable('b', 4)];

/** Each instruction as its name and the operands that are present. */
function listing(request: Omit<CompileRequest, 'name'>): string[] {
  const compiled = compileDetailed({ name: 'test', ...request });
  verify(compiled);
  return decodeProgram(compiled.program.words).instructions.map(
    ({ spec, operands }) =>
      `${spec.name} ${spec.operands
        .filter(({ name }) => operands[name])
        .map(({ name }) => name)
        .join(' ')}`,
  );
}

/** Expects the same outputs and variables with and without fusion and in-place results, in several orders within stages. */
function expectSame(request: Omit<CompileRequest, 'name'>, variables: readonly Variable[], run: RunRequest = {}): void {
  const results = [
    { fuse: false, inPlace: false },
    { fuse: false, inPlace: true },
    { fuse: true, inPlace: false },
    { fuse: true, inPlace: true },
  ].flatMap((switches) => {
    const compiled = compileDetailed({ name: 'test', ...request }, switches);
    verify(compiled);
    return [1, 2].map((shuffle) => {
      const values = randomValues(variables, 3);
      const outputs = interpret(compiled, { ...run, variables: values, shuffle });
      return [...Object.values(outputs), ...values.values()].flatMap((data) => [...data]);
    });
  });
  const scale = 1 + Math.max(...results[0].map(Math.abs));
  for (const other of results.slice(1)) {
    expect(other.length).toBe(results[0].length);
    other.forEach((value, i) => {
      expect(Math.abs(value - results[0][i]) / scale).toBeLessThan(1e-12);
    });
  }
}

describe('what joins', () => {
  const cases: [string, () => Tensor, string[]][] = [
    ['product + residual', () => add(x, linear(x, w)), ['matmul a b init out']],
    ['residual on the other side', () => add(linear(x, w), x), ['matmul a b init out']],
    ['product with bias + residual', () => add(linear(x, w, b), x), ['matmul a b init bias out']],
    ['product + row', () => add(linear(x, w), b), ['matmul a b bias out']],
    ['product + row + residual', () => add(add(matmul(x, w), b), x), ['matmul a b init bias out']],
    ['product + gelu', () => gelu(linear(x, w, b), 'tanh'), ['matmul a b bias out act']],
    ['product + residual + relu', () => relu(add(linear(x, w), x)), ['matmul a b init out act']],
    ['two products: the later one takes the earlier', () => add(linear(x, w), linear(x, w2)), ['matmul a b out', 'matmul a b init out']],
  ];
  it.each(cases)('%s', (_name, make, expected) => {
    const request = { outputs: { y: make() } };
    expect(listing(request)).toEqual(expected);
    expectSame(request, [x, w, w2, b]);
  });
  it('the value before an activation stays for others, the activation still joins', () => {
    const h = linear(x, w);
    const request = { outputs: { y: add(h, relu(h)) } };
    expect(listing(request)).toEqual(['matmul a b out act', 'binary a b out']);
    expectSame(request, [x, w]);
  });
});

describe('what does not join', () => {
  const h = linear(x, w);
  const cases: [string, Record<string, Tensor>, string[]][] = [
    ['a value that another instruction reads', { y: add(h, x), z: tanh(h) }, ['matmul a b out', 'binary a b out', 'unary x out']],
    ['a value that is an output', { h, y: add(h, x) }, ['matmul a b out', 'binary a b out']],
    ['a sum of a value with itself', { y: add(h, h) }, ['matmul a b out', 'binary a b out']],
    ['a difference', { y: sub(h, x) }, ['matmul a b out', 'binary a b out']],
    ['a second bias', { y: add(linear(x, w, b), b) }, ['matmul a b bias out', 'binary a b out']],
    ['something added after an activation', { y: add(relu(linear(x, w)), x) }, ['matmul a b out act', 'binary a b out']],
    ['tanh', { y: tanh(linear(x, w)) }, ['matmul a b out', 'unary x out']],
  ];
  it.each(cases)('%s', (_name, outputs, expected) => {
    expect(listing({ outputs }).sort()).toEqual([...expected].sort());
    expectSame({ outputs }, [x, w, b]);
  });
});

describe('gradients', () => {
  const target = (of: Variable): Variable => variable(`d ${of.name}`, ...of.shape);
  const program = (loss: Tensor, variables: readonly Variable[]): { effects: ReturnType<typeof assign>[]; targets: Variable[] } => {
    const targets = variables.map(target);
    const gradients = differentiate(loss, variables);
    return { effects: variables.map((of, i) => assign(targets[i], gradients.get(of) as Tensor)), targets };
  };
  it('a pre-norm residual block: the gradient of the stream is added inside layer_norm_backward and products', () => {
    const norm = [variable('lw', 4), variable('lb', 4)];
    const y = add(x, linear(gelu(linear(layerNorm(x, norm[0], norm[1]), w, b)), w2));
    const all = [x, w, w2, b, ...norm];
    const { effects, targets } = program(square(y), all);
    const names = listing({ effects });
    expect(names.filter((name) => name.startsWith('binary'))).toEqual([]);
    expect(names).toContain('layer_norm_backward x weight mean rstd dy addend dx');
    expectSame({ effects }, [...all, ...targets]);
  });
  it('two products of one tensor: its gradient accumulates in the second product', () => {
    const y = mul(linear(x, w), linear(x, w2));
    const { effects, targets } = program(y, [x, w, w2]);
    expect(listing({ effects }).filter((name) => name.includes('init'))).toEqual(['matmul a b init out']);
    expectSame({ effects }, [x, w, w2, ...targets]);
  });
  it('a tied table: the embedding adds to the head, in the gradient variable itself', () => {
    const table = variable('table', 5, 4);
    const [ids, labels] = [input('ids', [3], 'i32'), input('labels', [3], 'i32')];
    const { effects, targets } = program(linearCrossEntropy(linear(embedding(table, ids), w), table, labels).loss, [table, w]);
    const compiled = compileDetailed({ name: 'tied', effects });
    const instructions = decodeProgram(compiled.program.words).instructions;
    const head = instructions.find(({ spec }) => spec.name === 'head_backward_w');
    const embed = instructions.find(({ spec }) => spec.name === 'embedding_backward');
    expect(embed?.operands.init).toEqual(head?.operands.dw);
    expect(embed?.operands.dtable).toEqual(head?.operands.dw);
    expect(head?.operands.dw?.space).toBe('binding');
    expectSame({ effects }, [table, w, ...targets], { inputs: { ids: [0, 3, 3], labels: [1, -100, 4] } });
  });
  it('a whole tied GPT block with run-time extents', () => {
    const [B, T] = [new Extent('batch', 2), new Extent('time', 4)];
    const table = variable('table', 7, 4);
    const pos = variable('pos', 4, 4);
    const p = ['qkv', 'proj', 'fc', 'out'].map((name, i) => variable(name, [4, 4, 4, 8][i], [12, 4, 8, 4][i]));
    const biases = ['bq', 'bp', 'bf', 'bo'].map((name, i) => variable(name, [12, 4, 8, 4][i]));
    const norms = ['n1', 'n2', 'n3'].flatMap((name) => [variable(`${name}w`, 4), variable(`${name}b`, 4)]);
    let h = addPosition(embedding(table, input('ids', [B, T], 'i32')), pos);
    h = add(
      h,
      linear(attentionQkv(linear(layerNorm(h, norms[0], norms[1]), p[0], biases[0]), { nHead: 2, causal: true }), p[1], biases[1]),
    );
    h = add(h, linear(gelu(linear(layerNorm(h, norms[2], norms[3]), p[2], biases[2]), 'tanh'), p[3], biases[3]));
    const { loss } = linearCrossEntropy(layerNorm(h, norms[4], norms[5]), table, input('labels', [B, T], 'i32'));
    const all = [table, pos, ...p, ...biases, ...norms];
    const { effects, targets } = program(loss, all);
    const outputs = { loss: sum(loss) };
    expect(listing({ outputs, effects }).filter((name) => /^(binary|unary) /.test(name))).toEqual([]);
    const run = { extents: { batch: 2, time: 3 }, inputs: { ids: [0, 1, 2, 6, 6, 1], labels: [1, 2, 3, -100, 1, 0] } };
    expectSame({ outputs, effects }, [...all, ...targets], run);
  });
});
