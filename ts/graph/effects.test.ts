// Effects: their order, old and new values of variables, writing in place, optimizers, caches.
import { describe, expect, it } from 'vitest';
import { differentiate } from './autodiff';
import { type CompileRequest, compile, compileDetailed } from './compile';
import { decodeProgram } from './decode';
import { Extent } from './dims';
import { accumulate, adamw, assign, type Effect, sgd } from './effects';
import { attention, attentionQkv } from './ops/attention';
import { attentionCached } from './ops/attentionCached';
import { add, mul } from './ops/binary';
import { clipFinish, squaredNorm } from './ops/clip';
import { countLabels } from './ops/crossEntropy';
import { embedding } from './ops/embedding';
import { linear } from './ops/linear';
import { sum } from './ops/reduce';
import { reshape } from './ops/reshape';
import { lastRow, qkvPart, writeRows } from './ops/rows';
import { sample } from './ops/sample';
import { splitRows } from './ops/splitRows';
import { neg, scale, square, tanh } from './ops/unary';
import { input, type Tensor, Variable } from './tensor';
import { interpret, type RunRequest, type RunResult, randomValues, type Values } from './testing/interpreter';
import { verify } from './testing/verify';

const variable = (name: string, ...shape: number[]): Variable => new Variable({ name, shape });
const of = (...values: number[]): Float64Array => Float64Array.from(values);

/** Compiles, verifies and runs in several orders; expects the same each time. */
function run(
  request: Omit<CompileRequest, 'name'>,
  values: Values,
  rest: RunRequest = {},
): { result: RunResult; values: Values; names: string[] } {
  const compiled = compileDetailed({ name: 'test', ...request });
  verify(compiled);
  const runs = [1, 2, 3].map((shuffle) => {
    const copy: Values = new Map([...values].map(([key, data]) => [key, data.slice()]));
    return { result: interpret(compiled, { ...rest, variables: copy, shuffle }), values: copy };
  });
  for (const other of runs.slice(1))
    expect([other.result, [...other.values.values()]]).toEqual([runs[0].result, [...runs[0].values.values()]]);
  return { ...runs[0], names: decodeProgram(compiled.program.words).instructions.map(({ spec }) => spec.name) };
}

describe('assign and accumulate', () => {
  it('assign is written by the producing instruction', () => {
    const [x, y] = [variable('x', 2), variable('y', 2)];
    const { values, names } = run(
      { effects: [assign(y, neg(x))] },
      new Map([
        [x, of(1, 2)],
        [y, of(0, 0)],
      ]),
    );
    expect(values.get(y)).toEqual(of(-1, -2));
    expect(names).toEqual(['unary']);
  });
  it('accumulate adds a value computed from zero, never inside the product', () => {
    const [x, w, total] = [variable('x', 1, 2), variable('w', 2, 2), variable('total', 1, 2)];
    const values = new Map([
      [x, of(1, 2)],
      [w, of(1, 0, 0, 1)],
      [total, of(10, 20)],
    ]);
    const result = run({ effects: [accumulate(total, linear(x, w))] }, values);
    expect(result.values.get(total)).toEqual(of(11, 22));
    expect(result.names).toEqual(['matmul', 'binary']);
  });
  it('a variable, input or reshaped value is copied', () => {
    const [x, y, z, n] = [variable('x', 2), variable('y', 2), variable('z', 2, 1), new Variable({ name: 'n', shape: [2], dtype: 'i32' })];
    const ids = input('ids', [2], 'i32');
    const effects = [assign(y, x), assign(z, reshape(neg(x), [2, 1])), assign(n, ids)];
    const { values, names } = run(
      { effects },
      new Map([
        [x, of(1, 2)],
        [y, of(0, 0)],
        [z, of(0, 0)],
        [n, of(0, 0)],
      ]),
      { inputs: { ids: [7, 8] } },
    );
    expect([values.get(y), values.get(z), values.get(n)]).toEqual([of(1, 2), of(-1, -2), of(7, 8)]);
    expect(names).toEqual(['unary', 'unary', 'unary']);
  });
  it('readers of the old value come first, and an elementwise update happens in place', () => {
    const x = variable('x', 2);
    const { result, values, names } = run({ outputs: { old: square(x) }, effects: [assign(x, scale(x, 3))] }, new Map([[x, of(1, 2)]]));
    expect([result.old, values.get(x)]).toEqual([of(1, 4), of(3, 6)]);
    expect(names.length).toBe(2);
  });
  it('a product that reads the variable it replaces goes through a copy', () => {
    const w = variable('w', 2, 2);
    const { values, names } = run({ effects: [assign(w, linear(w, w))] }, new Map([[w, of(1, 2, 3, 4)]]));
    expect(values.get(w)).toEqual(of(7, 10, 15, 22));
    expect(names).toEqual(['matmul', 'unary']);
  });
  it('a value needed both old and new goes through a copy', () => {
    const [x, y] = [variable('x', 2), variable('y', 2)];
    const next = tanh(x);
    const { result } = run(
      { outputs: { both: add(x, mul(next, next)) }, effects: [assign(x, next), assign(y, square(next))] },
      new Map([
        [x, of(0, 1)],
        [y, of(0, 0)],
      ]),
    );
    expect(result.both[1]).toBeCloseTo(1 + Math.tanh(1) ** 2, 14);
  });
  it('two variables exchange values', () => {
    const [x, y] = [variable('x', 2), variable('y', 2)];
    const values = new Map([
      [x, of(1, 2)],
      [y, of(3, 4)],
    ]);
    for (const [a, b] of [
      [assign(x, y), assign(y, x)],
      [assign(x, neg(y)), assign(y, neg(x))],
    ] as Effect[][]) {
      const result = run({ effects: [a, b] }, values).values;
      expect([...(result.get(x) as Float64Array), ...(result.get(y) as Float64Array)].map(Math.abs)).toEqual([3, 4, 1, 2]);
    }
    const sums = run({ effects: [accumulate(x, y), accumulate(y, x)] }, values).values;
    expect([sums.get(x), sums.get(y)]).toEqual([of(4, 6), of(4, 6)]);
    const mixed = run({ effects: [assign(x, mul(y, y)), accumulate(y, x)] }, values).values;
    expect([mixed.get(x), mixed.get(y)]).toEqual([of(9, 16), of(4, 6)]);
  });
  it('a piece of a variable that another effect overwrites is the old one', () => {
    const [x, y, z] = [variable('x', 3, 2), variable('y', 1, 2), variable('z', 2, 2)];
    const [first, rest] = splitRows(x, [1, 2]);
    const values = new Map([
      [x, of(1, 2, 3, 4, 5, 6)],
      [y, of(0, 0)],
      [z, of(10, 20, 30, 40)],
    ]);
    const result = run({ effects: [assign(x, scale(x, -1)), accumulate(z, rest), assign(y, first)] }, values).values;
    expect([x, y, z].map((one) => [...(result.get(one) as Float64Array)])).toEqual([
      [-1, -2, -3, -4, -5, -6],
      [1, 2],
      [13, 24, 35, 46],
    ]);
  });
  it('one value for an output and two variables', () => {
    const [x, y, z] = [variable('x', 2), variable('y', 2), variable('z', 2)];
    const value = neg(x);
    const { result, values } = run(
      { outputs: { a: value, b: value, c: x.tensor }, effects: [assign(y, value), assign(z, value)] },
      new Map([
        [x, of(1, 2)],
        [y, of(0, 0)],
        [z, of(0, 0)],
      ]),
    );
    expect([result.a, result.b, result.c, values.get(y), values.get(z)]).toEqual([
      of(-1, -2),
      of(-1, -2),
      of(1, 2),
      of(-1, -2),
      of(-1, -2),
    ]);
  });
  it('refuses two effects on one variable, and a program that does nothing', () => {
    const x = variable('x', 2);
    expect(() => compile({ name: 'p', effects: [assign(x, neg(x)), accumulate(x, x)] })).toThrow(
      'compile: a variable may be written by one effect, got two for "x"',
    );
    expect(() => compile({ name: 'p' })).toThrow('compile: a program must have an output or an effect, got none for "p"');
  });
  it('refuses f64 partial sums as an output', () => {
    expect(() => compile({ name: 'p', outputs: { s: squaredNorm([variable('x', 2)]) } })).toThrow(
      'output "s": an f64 tensor of partial sums can only go to clipFinish, got f64[1]',
    );
  });
});

describe('optimizers', () => {
  const shapes = [[5000], [2, 3], [1]];
  const make = (name: string): Variable[] => shapes.map((shape, i) => variable(`${name}${i}`, ...shape));
  const [p, g, m, v] = ['p', 'g', 'm', 'v'].map(make);
  const count = variable('count', 1);
  const clip = clipFinish(squaredNorm(g), count);
  const options = { clip, beta1: 0.9, beta2: 0.99, eps: 1e-8 };
  const scalars = { maxNorm: 1, lr: 0.1, c1: 0.1, c2: Math.sqrt(0.01) };
  const updates = p.map((parameter, i) =>
    adamw({ ...options, parameter, gradient: g[i], m: m[i], v: v[i], weightDecay: i === 1 ? 0.1 : 0 }),
  );
  const values = (): Values => {
    const all = randomValues([...p, ...g, ...m], 4);
    for (const moment of v) all.set(moment, new Float64Array(moment.size));
    for (const moment of m) all.set(moment, new Float64Array(moment.size));
    return all.set(count, of(4));
  };

  it('an update program has three stages: norms, clip, all updates', () => {
    const { stages, program } = compileDetailed({ name: 'update', outputs: { clip }, effects: updates });
    expect(program.plan.stages).toBe(3);
    expect(stages.filter((stage) => stage === 2).length).toBe(3);
    expect(stages.filter((stage) => stage === 0).length).toBe(3);
  });
  it('AdamW after clipping by the global norm over the count', () => {
    const before = values();
    const { result, values: after } = run({ outputs: { clip }, effects: updates }, before, { scalars });
    const norm = Math.sqrt(g.reduce((total, one) => total + (before.get(one) as Float64Array).reduce((sum, x) => sum + x * x, 0), 0)) / 4;
    expect(result.clip[0]).toBeCloseTo(norm, 10);
    expect(result.clip[1]).toBeCloseTo(1 / (norm + 1e-6) / 4, 10);
    expect([result.clip[2], result.clip[3]]).toEqual([0, 4]);
    // First step, bias-corrected: p·(1 − lr·wd) − lr·g/(|g| + eps).
    const [p0, g0] = [before.get(p[1]) as Float64Array, before.get(g[1]) as Float64Array];
    p0.forEach((x, i) => {
      expect((after.get(p[1]) as Float64Array)[i]).toBeCloseTo(x * (1 - 0.01) - 0.1 * Math.sign(g0[i]), 5);
    });
  });
  it('nothing changes when no label was counted', () => {
    const before = values().set(count, of(0));
    const { result, values: after } = run({ outputs: { clip }, effects: updates }, before, { scalars });
    expect(result.clip[2]).toBe(1);
    for (const one of [...p, ...m, ...v]) expect(after.get(one)).toEqual(before.get(one));
  });
  it('a whole training step in one program: gradients are read before the parameters change', () => {
    const [w, dw, mw, vw] = ['w', 'dw', 'mw', 'vw'].map((name) => variable(name, 2, 2));
    const x = input('x', [3, 2]);
    const loss = sum(square(linear(x, w)));
    const gradient = differentiate(loss, [w]).get(w) as Tensor;
    const step = clipFinish(squaredNorm([gradient]));
    const effects = [assign(dw, gradient), adamw({ ...options, clip: step, parameter: w, gradient: dw, m: mw, v: vw, weightDecay: 0 })];
    const inputs = { x: [1, 2, 3, 4, 5, 6] };
    const zero = new Map([[w, of(1, 2, 3, 4)], ...[dw, mw, vw].map((one): [Variable, Float64Array] => [one, new Float64Array(4)])]);
    const { result, values: after } = run({ outputs: { loss }, effects }, zero, { inputs, scalars: { ...scalars, maxNorm: 0 } });
    const before = run({ outputs: { loss } }, zero, { inputs }).result;
    expect(result.loss).toEqual(before.loss);
    expect([...(after.get(w) as Float64Array)].map((value, i) => Math.round((value - i - 1) * 1000) / 1000)).toEqual([
      -0.1, -0.1, -0.1, -0.1,
    ]);
  });
  it('SGD with momentum and nesterov', () => {
    const buffers = make('buf');
    const plain = p.map((parameter, i) =>
      sgd({ parameter, gradient: g[i], clip, momentumBuffer: buffers[i], momentum: 0.5, nesterov: true, weightDecay: 0.5 }),
    );
    const before = values();
    for (const buffer of buffers) before.set(buffer, new Float64Array(buffer.size).fill(1));
    const { result, values: after } = run({ outputs: { clip }, effects: plain }, before, { scalars: { ...scalars, maxNorm: 0 } });
    const [x, d] = [(before.get(p[2]) as Float64Array)[0], (before.get(g[2]) as Float64Array)[0] * result.clip[1]];
    const gradient = d + 0.5 * x;
    expect((after.get(p[2]) as Float64Array)[0]).toBeCloseTo(x - 0.1 * (gradient + 0.5 * (0.5 + gradient)), 12);
  });
  it('SGD without momentum needs no buffer', () => {
    const effects = [sgd({ parameter: p[2], gradient: g[2], clip: clipFinish(squaredNorm([g[2]])) })];
    const { values: after } = run({ effects }, values(), { scalars: { maxNorm: 0, lr: 1 } });
    const before = values();
    expect((after.get(p[2]) as Float64Array)[0]).toBeCloseTo(
      (before.get(p[2]) as Float64Array)[0] - (before.get(g[2]) as Float64Array)[0],
      12,
    );
  });
});

describe('caches and generation', () => {
  const [P, C, V] = [8, 4, 5];
  const [T, position, used] = [new Extent('time', 4), new Extent('position', P), new Extent('used', P)];
  const [keys, values_, table, w] = [
    variable('keys', 2, P, C),
    variable('values', 2, P, C),
    variable('table', V, C),
    variable('w', C, 3 * C),
  ];
  const all = [keys, values_, table, w];

  it('one position at a time equals the whole sequence at once', () => {
    const tokens = input('tokens', [2, T], 'i32');
    const qkv = linear(embedding(table, tokens), w);
    const cached = attentionCached(qkv, writeRows(keys, qkvPart(qkv, 'k'), position), writeRows(values_, qkvPart(qkv, 'v'), position), {
      nHead: 2,
      keysUsed: used,
    });
    const whole = attentionQkv(qkv, { nHead: 2, causal: true });
    const store = randomValues(all, 8);
    const ids = [
      [0, 3, 1, 4],
      [2, 2, 0, 1],
    ];
    const reference = run({ outputs: { y: lastRow(whole) } }, store, { inputs: { tokens: ids.flat() }, extents: { time: 4 } }).result.y;
    let state = store;
    const chunks = [
      [0, 2],
      [2, 3],
      [3, 4],
    ];
    let last: Float64Array = of();
    for (const [from, to] of chunks) {
      const step = run({ outputs: { y: lastRow(cached) } }, state, {
        inputs: { tokens: ids.flatMap((row) => row.slice(from, to)) },
        extents: { time: to - from, position: from, used: to },
      });
      state = step.values;
      last = step.result.y;
    }
    reference.forEach((value, i) => {
      expect(last[i]).toBeCloseTo(value, 12);
    });
  });
  it('lastRow works on inputs and variables, at static and run-time lengths', () => {
    const x = input('x', [2, T, 2]);
    const y = variable('y', 2, 3, 2);
    const { result } = run(
      { outputs: { a: lastRow(x), b: lastRow(y), c: lastRow(neg(x)) } },
      new Map([[y, Float64Array.from({ length: 12 }, (_, i) => i)]]),
      {
        inputs: { x: [1, 2, 3, 4, 5, 6, 7, 8] },
        extents: { time: 2 },
      },
    );
    expect([result.a, result.b, result.c]).toEqual([of(3, 4, 7, 8), of(4, 5, 10, 11), of(-3, -4, -7, -8)]);
  });
  it('a cache write that nothing reads is kept by assigning it to itself, without a copy', () => {
    const rows = input('rows', [2, 1, C]);
    const { values, names } = run({ effects: [assign(keys, writeRows(keys, rows, 3))] }, randomValues([keys], 1), {
      inputs: { rows: [1, 2, 3, 4, 5, 6, 7, 8] },
    });
    expect([...(values.get(keys) as Float64Array).slice(3 * C, 4 * C)]).toEqual([1, 2, 3, 4]);
    expect(names).toEqual(['copy_rows']);
  });
  it('the old content of a cache is read before the write, the new one after it, writes in order', () => {
    const one = variable('one', 1, 3, 1);
    const row = input('row', [1, 1, 1]);
    const first = writeRows(one, row, 0);
    const second = writeRows(one, scale(row, 2), 0);
    const outputs = { old: scale(one, 1.5), first: scale(first, 1), second: scale(second, 1) };
    const { result } = run({ outputs }, new Map([[one, of(7, 8, 9)]]), { inputs: { row: [1] } });
    expect([result.old, result.first, result.second]).toEqual([of(10.5, 12, 13.5), of(1, 8, 9), of(2, 8, 9)]);
  });
  it('refuses a value that needs a cache both before and after a write', () => {
    const after = writeRows(keys, input('rows', [2, 1, C]), 0);
    expect(() => compile({ name: 'p', outputs: { y: attention(keys, after, after, { nHead: 1, causal: false }) } })).toThrow(
      'compile: a value must not need both the old and the new content of a variable it writes, got a circle of instructions',
    );
  });
  it('a sampled token is written straight into the variable that the next run reads', () => {
    const token = new Variable({ name: 'token', shape: [2], dtype: 'i32' });
    const logits = linear(embedding(table, token), variable('head', C, V));
    const head = [...new Set(logits.node.inputs.map((tensor) => tensor.node.attrs))].find(
      (attrs): attrs is Variable => attrs instanceof Variable,
    ) as Variable;
    const store = randomValues([table, head], 2).set(token, of(1, 3));
    const next = sample(logits);
    const { values, result, names } = run({ outputs: { next }, effects: [assign(token, next)] }, store, {
      scalars: { temperature: 0, topK: 0, topP: 1, seedLo: 1, seedHi: 2, draw: 0 },
    });
    expect(names).toEqual(['embedding', 'matmul', 'sample', 'unary']);
    expect(values.get(token)).toEqual(result.next);
  });
  it('an accumulated count of labels', () => {
    const total = variable('total', 1);
    const { values } = run({ effects: [accumulate(total, countLabels(input('labels', [T], 'i32')))] }, new Map([[total, of(10)]]), {
      inputs: { labels: [1, -100, 2] },
      extents: { time: 3 },
    });
    expect(values.get(total)).toEqual(of(12));
  });
});
