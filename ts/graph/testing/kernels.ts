// Every instruction of program format 1 as a plain f64 loop: the oracle that lowering, fusion, planning and gradients are checked with before and
// without an engine. Each reads and writes its operands element by element, in the order the format promises, so that unsafe sharing of memory shows.
import { NORM_BLOCK, type OpcodeName, UNARY_KINDS, type UnaryKind } from '../opcodes';
import { attentionBackward, attentionBackwardKv, attentionBackwardQ, attentionForward, dropoutOf } from './attentionKernels';
import type { KernelArgs } from './cells';
import { headBackwardW, headBackwardX, headLogits, headLoss } from './headKernels';
import { addInteger, rmsNorm, rmsNormBackward, rmsNormBackwardParams, rotary, swiglu, swigluBackward } from './llamaKernels';
import { crossEntropyBackward, crossEntropyForward, linearCrossEntropyBackwardW, linearCrossEntropyBackwardX } from './lossKernels';
import { eachPosition } from './positions';
import { beamScores, permuteRows, sampleRows } from './samplingKernels';

/** The error function to about 1e-15: its series near 0, a continued fraction of erfc further out (Abramowitz and Stegun 7.1.5, 7.1.14). */
export function erf(x: number): number {
  const a = Math.abs(x);
  if (a < 2.5) {
    let [term, sum] = [a, a];
    for (let n = 1; Math.abs(term) > 1e-18 * Math.abs(sum); n++) {
      term *= (-a * a) / n;
      sum += term / (2 * n + 1);
    }
    return (Math.sign(x) * 2 * sum) / Math.sqrt(Math.PI);
  }
  let fraction = 0;
  for (let n = 120; n >= 1; n--) fraction = n / 2 / (a + fraction);
  return Math.sign(x) * (1 - Math.exp(-a * a) / (Math.sqrt(Math.PI) * (a + fraction)));
}

const GELU_A = Math.sqrt(2 / Math.PI);
const GELU_B = 0.044715;
const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

const UNARY: Readonly<Record<UnaryKind, (x: number, c: number) => number>> = {
  copy: (x) => x,
  neg: (x) => -x,
  exp: Math.exp,
  log: Math.log,
  sqrt: Math.sqrt,
  square: (x) => x * x,
  tanh: Math.tanh,
  sigmoid,
  relu: (x) => Math.max(x, 0),
  gelu_tanh: (x) => 0.5 * x * (1 + Math.tanh(GELU_A * (x + GELU_B * x ** 3))),
  gelu_erf: (x) => 0.5 * x * (1 + erf(x / Math.SQRT2)),
  scale: (x, c) => c * x,
  add_scalar: (x, c) => x + c,
  reciprocal: (x) => 1 / x,
  abs: Math.abs,
};

/** Derivatives, from y alone or x alone as the format says. */
const UNARY_BACKWARD: Readonly<Record<UnaryKind, (x: () => number, y: () => number, c: number) => number>> = {
  copy: () => 1,
  neg: () => -1,
  exp: (_, y) => y(),
  log: (x) => 1 / x(),
  sqrt: (_, y) => 0.5 / y(),
  square: (x) => 2 * x(),
  tanh: (_, y) => 1 - y() ** 2,
  sigmoid: (_, y) => y() * (1 - y()),
  relu: (_, y) => (y() > 0 ? 1 : 0),
  gelu_tanh: (x) => {
    const [v, t] = [x(), Math.tanh(GELU_A * (x() + GELU_B * x() ** 3))];
    return 0.5 * (1 + t) + 0.5 * v * (1 - t * t) * GELU_A * (1 + 3 * GELU_B * v * v);
  },
  gelu_erf: (x) => 0.5 * (1 + erf(x() / Math.SQRT2)) + (x() * Math.exp(-0.5 * x() ** 2)) / Math.sqrt(2 * Math.PI),
  scale: (_x, _y, c) => c,
  add_scalar: () => 1,
  reciprocal: (_, y) => -(y() ** 2),
  abs: (x) => Math.sign(x()),
};

const ACTIVATIONS: readonly (UnaryKind | undefined)[] = [undefined, 'gelu_tanh', 'gelu_erf', 'relu'];
const BINARY = [
  (a: number, b: number) => a + b,
  (a: number, b: number) => a - b,
  (a: number, b: number) => a * b,
  (a: number, b: number) => a / b,
];

function matmul({ operand, maybe, dim, param }: KernelArgs): void {
  const [batch, m, n, k] = ['batch', 'm', 'n', 'k'].map(dim);
  const [a, b, out] = ['a', 'b', 'out'].map(operand);
  const [init, bias, act] = ['init', 'bias', 'act'].map(maybe);
  const form = param('form');
  const activation = ACTIVATIONS[param('activation')];
  for (let g = 0; g < batch; g++) {
    for (let i = 0; i < m; i++) {
      for (let j = 0; j < n; j++) {
        const at = (g * m + i) * n + j;
        let sum = (init?.get(at) ?? 0) + (bias?.get(j) ?? 0);
        for (let p = 0; p < k; p++) {
          sum += a.get(g * m * k + (form === 2 ? p * m + i : i * k + p)) * b.get(g * k * n + (form === 1 ? j * k + p : p * n + j));
        }
        out.set(at, sum);
        if (activation !== undefined) act?.set(at, UNARY[activation](sum, 0));
      }
    }
  }
}

function eachRow(
  rows: number,
  cols: number,
  run: (at: (c: number) => number, row: number, each: (f: (i: number, c: number) => number) => number) => void,
): void {
  for (let row = 0; row < rows; row++) {
    const at = (c: number): number => row * cols + c;
    const each = (f: (i: number, c: number) => number): number => {
      let sum = 0;
      for (let c = 0; c < cols; c++) sum += f(at(c), c);
      return sum;
    };
    run(at, row, each);
  }
}

function softmax({ operand, dim, param }: KernelArgs): void {
  const [x, out, cols] = [operand('x'), operand('out'), dim('cols')];
  eachRow(dim('rows'), cols, (at, _row, each) => {
    let max = Number.NEGATIVE_INFINITY;
    for (let c = 0; c < cols; c++) max = Math.max(max, x.get(at(c)));
    const total = each((i) => Math.exp(x.get(i) - max));
    for (let c = 0; c < cols; c++)
      out.set(at(c), param('log') === 1 ? x.get(at(c)) - max - Math.log(total) : Math.exp(x.get(at(c)) - max) / total);
  });
}

function softmaxBackward({ operand, dim, param }: KernelArgs): void {
  const [y, dy, dx, cols] = [operand('y'), operand('dy'), operand('dx'), dim('cols')];
  eachRow(dim('rows'), cols, (at, _row, each) => {
    const log = param('log') === 1;
    const total = each((i) => (log ? dy.get(i) : dy.get(i) * y.get(i)));
    for (let c = 0; c < cols; c++)
      dx.set(at(c), log ? dy.get(at(c)) - Math.exp(y.get(at(c))) * total : y.get(at(c)) * (dy.get(at(c)) - total));
  });
}

function layerNorm({ operand, maybe, dim, param }: KernelArgs): void {
  const [x, out, mean, rstd] = ['x', 'out', 'mean', 'rstd'].map(operand);
  const [weight, bias] = ['weight', 'bias'].map(maybe);
  const cols = dim('cols');
  eachRow(dim('rows'), cols, (at, row, each) => {
    const average = each((i) => x.get(i)) / cols;
    const r = 1 / Math.sqrt(each((i) => (x.get(i) - average) ** 2) / cols + param('eps'));
    mean.set(row, average);
    rstd.set(row, r);
    for (let c = 0; c < cols; c++) out.set(at(c), (x.get(at(c)) - average) * r * (weight?.get(c) ?? 1) + (bias?.get(c) ?? 0));
  });
}

function layerNormBackward({ operand, maybe, dim }: KernelArgs): void {
  const [x, mean, rstd, dy, dx] = ['x', 'mean', 'rstd', 'dy', 'dx'].map(operand);
  const [weight, addend] = ['weight', 'addend'].map(maybe);
  const cols = dim('cols');
  eachRow(dim('rows'), cols, (at, row, each) => {
    const normal = (i: number): number => (x.get(i) - mean.get(row)) * rstd.get(row);
    const scaled = (i: number, c: number): number => dy.get(i) * (weight?.get(c) ?? 1);
    const first = each(scaled) / cols;
    const second = each((i, c) => scaled(i, c) * normal(i)) / cols;
    for (let c = 0; c < cols; c++)
      dx.set(at(c), (addend?.get(at(c)) ?? 0) + rstd.get(row) * (scaled(at(c), c) - first - normal(at(c)) * second));
  });
}

function layerNormBackwardParams({ operand, maybe, dim }: KernelArgs): void {
  const [x, mean, rstd, dy, dweight] = ['x', 'mean', 'rstd', 'dy', 'dweight'].map(operand);
  const [dbias, rows, cols] = [maybe('dbias'), dim('rows'), dim('cols')];
  for (let c = 0; c < cols; c++) {
    let [dw, db] = [0, 0];
    for (let row = 0; row < rows; row++) {
      const i = row * cols + c;
      dw += dy.get(i) * (x.get(i) - mean.get(row)) * rstd.get(row);
      db += dy.get(i);
    }
    dweight.set(c, dw);
    dbias?.set(c, db);
  }
}

function embedding({ operand, dim }: KernelArgs): void {
  const [table, ids, out, cols] = [operand('table'), operand('ids'), operand('out'), dim('cols')];
  for (let row = 0; row < dim('rows'); row++) {
    if (ids.get(row) < 0 || ids.get(row) >= dim('vocab')) throw new Error(`id ${ids.get(row)} of row ${row} is out of range`);
    for (let c = 0; c < cols; c++) out.set(row * cols + c, table.get(ids.get(row) * cols + c));
  }
}

function embeddingBackward({ operand, maybe, dim }: KernelArgs): void {
  const [ids, dy, dtable, init, cols] = [operand('ids'), operand('dy'), operand('dtable'), maybe('init'), dim('cols')];
  for (let i = 0; i < dim('vocab') * cols; i++) dtable.set(i, init?.get(i) ?? 0);
  for (let row = 0; row < dim('rows'); row++) {
    for (let c = 0; c < cols; c++) dtable.set(ids.get(row) * cols + c, dtable.get(ids.get(row) * cols + c) + dy.get(row * cols + c));
  }
}

/** Runs `f` for each element and the element of the table that belongs to it. */
function eachInTable(args: KernelArgs, f: (i: number, tableIndex: number) => void): void {
  eachPosition(args, (first, cols, position) => each(cols, (c) => f(first + c, position * cols + c)));
}

function clipFinish({ operand, maybe, dim, scalar }: KernelArgs): void {
  const [partials, out] = [operand('partials'), operand('out')];
  const count = maybe('count')?.get(0) ?? 1;
  let total = 0;
  for (let i = 0; i < dim('n_partials'); i++) total += partials.get(i);
  const norm = count === 0 ? 0 : Math.sqrt(total) / count;
  const clipping = scalar('max_norm') === 0 ? 1 : Math.min(1, scalar('max_norm') / (norm + 1e-6));
  const skip = count === 0 || !Number.isFinite(norm);
  [norm, skip ? 0 : clipping / count, Number(skip), count].forEach((value, i) => {
    out.set(i, value);
  });
}

function adamw({ operand, dim, param, scalar }: KernelArgs): void {
  const [p, g, m, v, clip] = ['p', 'g', 'm', 'v', 'clip'].map(operand);
  if (clip.get(2) === 1) return;
  for (let i = 0; i < dim('n'); i++) {
    const gradient = g.get(i) * clip.get(1);
    m.set(i, param('beta1') * m.get(i) + param('one_minus_beta1') * gradient);
    v.set(i, param('beta2') * v.get(i) + param('one_minus_beta2') * gradient ** 2);
    const decayed = p.get(i) * (1 - scalar('lr') * param('weight_decay'));
    p.set(i, decayed - ((scalar('lr') / scalar('c1')) * m.get(i)) / (Math.sqrt(v.get(i)) / scalar('c2') + param('eps')));
  }
}

function sgd({ operand, maybe, dim, param, scalar }: KernelArgs): void {
  const [p, g, clip, buf] = [operand('p'), operand('g'), operand('clip'), maybe('buf')];
  if (clip.get(2) === 1) return;
  for (let i = 0; i < dim('n'); i++) {
    let gradient = g.get(i) * clip.get(1) + param('weight_decay') * p.get(i);
    if (buf !== undefined) {
      buf.set(i, param('momentum') * buf.get(i) + gradient);
      gradient = param('nesterov') === 1 ? gradient + param('momentum') * buf.get(i) : buf.get(i);
    }
    p.set(i, p.get(i) - scalar('lr') * gradient);
  }
}

function copyRows({ operand, maybe, dim }: KernelArgs): void {
  const [src, dst, positions] = [operand('src'), operand('dst'), maybe('positions')];
  const at = (side: string, b: number, t: number, c: number): number =>
    dim(`${side}_offset`) + b * dim(`${side}_batch`) + t * dim(`${side}_row`) + c;
  for (let b = 0; b < dim('batch'); b++) {
    const to = positions?.get(b) ?? 0;
    if (positions !== undefined && (to < 0 || (to + dim('time')) * dim('dst_row') > dim('dst_batch')))
      throw new Error(`position ${to} is out of range`);
    for (let t = 0; t < dim('time'); t++)
      for (let c = 0; c < dim('cols'); c++) dst.set(at('dst', b, to + t, c), src.get(at('src', b, t, c)));
  }
}

/** Sums over rows or columns of x [rows, cols]. */
function sums(x: string, overRows: boolean): (args: KernelArgs) => void {
  return ({ operand, dim }) => {
    const [source, out, rows, cols] = [operand(x), operand('out'), dim('rows'), dim('cols')];
    for (let o = 0; o < (overRows ? cols : rows); o++) {
      let sum = 0;
      for (let i = 0; i < (overRows ? rows : cols); i++) sum += source.get(overRows ? i * cols + o : o * cols + i);
      out.set(o, sum);
    }
  };
}

/** Runs `f` for i = 0 … n − 1. */
function each(n: number, f: (i: number) => void): void {
  for (let i = 0; i < n; i++) f(i);
}

/** Weights in int8 blocks are plain numbers here: `b` is [N, K]. */
function matmulQ8({ dim, param, ...args }: KernelArgs): void {
  matmul({ ...args, dim: (name) => (name === 'batch' ? 1 : dim(name)), param: (name) => (name === 'form' ? 1 : param(name)) });
}

/** Every instruction by name. */
export const KERNELS: Readonly<Record<OpcodeName, (args: KernelArgs) => void>> = {
  matmul,
  matmul_q8: matmulQ8,
  column_sum: sums('x', true),
  row_sum: sums('x', false),
  unary: ({ operand, dim, param }) =>
    each(dim('n'), (i) => operand('out').set(i, UNARY[UNARY_KINDS[param('kind')]](operand('x').get(i), param('c')))),
  unary_backward: ({ operand, dim, param }) =>
    each(dim('n'), (i) => {
      const slope = UNARY_BACKWARD[UNARY_KINDS[param('kind')]](
        () => operand('x').get(i),
        () => operand('y').get(i),
        param('c'),
      );
      operand('dx').set(i, operand('dy').get(i) * slope);
    }),
  binary: ({ operand, dim, param }) => {
    const [a, b, out, inner] = [operand('a'), operand('b'), operand('out'), dim('inner')];
    const at = [(i: number) => i, (i: number) => i % inner, (i: number) => Math.floor(i / inner), () => 0][param('mode')];
    each(dim('outer') * inner, (i) => out.set(i, BINARY[param('kind')](a.get(i), b.get(at(i)))));
  },
  sum_all: ({ operand, dim, param }) => {
    let sum = 0;
    each(dim('n'), (i) => {
      sum += operand('x').get(i);
    });
    operand('out').set(0, sum * param('scale'));
  },
  fill: ({ operand, dim, param }) => each(dim('n'), (i) => operand('out').set(i, param('value'))),
  softmax,
  softmax_backward: softmaxBackward,
  layer_norm: layerNorm,
  layer_norm_backward: layerNormBackward,
  layer_norm_backward_params: layerNormBackwardParams,
  embedding,
  embedding_backward: embeddingBackward,
  add_position: (args) => eachInTable(args, (i, t) => args.operand('out').set(i, args.operand('x').get(i) + args.operand('table').get(t))),
  add_position_backward: (args) => {
    const dtable = args.operand('dtable');
    each(args.dim('table_rows') * args.dim('cols'), (i) => dtable.set(i, 0));
    eachInTable(args, (i, t) => dtable.set(t, dtable.get(t) + args.operand('dy').get(i)));
  },
  dropout: (args) => {
    const keep = dropoutOf(args);
    each(args.dim('n'), (i) => args.operand('out').set(i, args.operand('x').get(i) * keep(i)));
  },
  attention: attentionForward,
  attention_backward: attentionBackward,
  attention_backward_q: attentionBackwardQ,
  attention_backward_kv: attentionBackwardKv,
  cross_entropy: crossEntropyForward,
  cross_entropy_backward: crossEntropyBackward,
  linear_cross_entropy: crossEntropyForward,
  linear_cross_entropy_backward_x: linearCrossEntropyBackwardX,
  linear_cross_entropy_backward_w: linearCrossEntropyBackwardW,
  head_logits: headLogits,
  head_loss: headLoss,
  head_backward_w: headBackwardW,
  head_backward_x: headBackwardX,
  count_labels: ({ operand, dim, param }) => {
    let count = 0;
    each(dim('n'), (i) => {
      if (operand('labels').get(i) !== param('ignore')) count++;
    });
    operand('out').set(0, count);
  },
  squared_norm: ({ operand, dim }) => {
    for (let block = 0; block * NORM_BLOCK < dim('n'); block++) {
      let sum = 0;
      for (let i = block * NORM_BLOCK; i < Math.min((block + 1) * NORM_BLOCK, dim('n')); i++) sum += operand('g').get(i) ** 2;
      operand('partials').set(block, sum);
    }
  },
  clip_finish: clipFinish,
  adamw,
  sgd,
  copy_rows: copyRows,
  sample: sampleRows,
  beam_scores: beamScores,
  permute_rows: permuteRows,
  transpose: ({ operand, dim }) => {
    const [batch, m, n] = ['batch', 'm', 'n'].map(dim);
    each(batch * m * n, (i) => {
      const [b, r, c] = [Math.floor(i / (m * n)), Math.floor(i / n) % m, i % n];
      operand('out').set((b * n + c) * m + r, operand('x').get(i));
    });
  },
  rms_norm: rmsNorm,
  rms_norm_backward: rmsNormBackward,
  rms_norm_backward_params: rmsNormBackwardParams,
  rotary,
  swiglu,
  swiglu_backward: swigluBackward,
  add_integer: addInteger,
  trap: () => {
    throw new Error('trap');
  },
};
