// The instructions of Llama's blocks for the test interpreter, written from their definitions in f64.
import type { KernelArgs } from './cells';
import { eachPosition } from './positions';

/** Runs `f` for each row with the sum over its columns. */
function eachRow(
  { dim }: KernelArgs,
  f: (row: number, at: (c: number) => number, sum: (term: (i: number, c: number) => number) => number) => void,
): void {
  const cols = dim('cols');
  for (let row = 0; row < dim('rows'); row++) {
    const at = (c: number): number => row * cols + c;
    f(row, at, (term) => {
      let total = 0;
      for (let c = 0; c < cols; c++) total += term(at(c), c);
      return total;
    });
  }
}

export function rmsNorm(args: KernelArgs): void {
  const { operand, maybe, dim, param } = args;
  const [x, out, rstd] = ['x', 'out', 'rstd'].map(operand);
  const [weight, cols] = [maybe('weight'), dim('cols')];
  eachRow(args, (row, at, sum) => {
    const r = 1 / Math.sqrt(sum((i) => x.get(i) ** 2) / cols + param('eps'));
    rstd.set(row, r);
    for (let c = 0; c < cols; c++) out.set(at(c), x.get(at(c)) * r * (weight?.get(c) ?? 1));
  });
}

export function rmsNormBackward(args: KernelArgs): void {
  const { operand, maybe, dim } = args;
  const [x, rstd, dy, dx] = ['x', 'rstd', 'dy', 'dx'].map(operand);
  const [weight, addend] = ['weight', 'addend'].map(maybe);
  const cols = dim('cols');
  eachRow(args, (row, at, sum) => {
    const r = rstd.get(row);
    const scaled = (i: number, c: number): number => dy.get(i) * (weight?.get(c) ?? 1);
    const average = sum((i, c) => scaled(i, c) * x.get(i) * r) / cols;
    for (let c = 0; c < cols; c++) {
      const i = at(c);
      dx.set(i, (addend?.get(i) ?? 0) + r * (scaled(i, c) - x.get(i) * r * average));
    }
  });
}

export function rmsNormBackwardParams({ operand, dim }: KernelArgs): void {
  const [x, rstd, dy, dweight] = ['x', 'rstd', 'dy', 'dweight'].map(operand);
  const [rows, cols] = [dim('rows'), dim('cols')];
  for (let c = 0; c < cols; c++) {
    let total = 0;
    for (let row = 0; row < rows; row++) total += dy.get(row * cols + c) * x.get(row * cols + c) * rstd.get(row);
    dweight.set(c, total);
  }
}

export function rotary(args: KernelArgs): void {
  const { operand, param } = args;
  const [x, table, out] = ['x', 'table', 'out'].map(operand);
  const [heads, width] = [param('heads'), param('head_dim')];
  const half = width / 2;
  const sign = param('inverse') === 1 ? -1 : 1;
  eachPosition(args, (first, cols, position) => {
    for (let head = 0; head < heads; head++) {
      for (let i = 0; i < half; i++) {
        const at = first + head * width + i;
        const [a, b] = [x.get(at), x.get(at + half)];
        const [cosine, sine] = [table.get(position * width + i), sign * table.get(position * width + half + i)];
        out.set(at, a * cosine - b * sine);
        out.set(at + half, b * cosine + a * sine);
      }
    }
    for (let c = heads * width; c < cols; c++) out.set(first + c, x.get(first + c));
  });
}

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

export function swiglu({ operand, dim }: KernelArgs): void {
  const [gate, up, out] = ['gate', 'up', 'out'].map(operand);
  const [rows, cols, gateRow, upRow] = ['rows', 'cols', 'gate_row', 'up_row'].map(dim);
  for (let row = 0; row < rows; row++) {
    for (let c = 0; c < cols; c++) {
      const g = gate.get(row * gateRow + c);
      out.set(row * cols + c, g * sigmoid(g) * up.get(row * upRow + c));
    }
  }
}

export function swigluBackward({ operand, dim }: KernelArgs): void {
  const [gate, up, dout, dgate, dup] = ['gate', 'up', 'dout', 'dgate', 'dup'].map(operand);
  const [rows, cols, gateRow, upRow] = ['rows', 'cols', 'gate_row', 'up_row'].map(dim);
  for (let row = 0; row < rows; row++) {
    for (let c = 0; c < cols; c++) {
      const [g, u, d] = [gate.get(row * gateRow + c), up.get(row * upRow + c), dout.get(row * cols + c)];
      const s = sigmoid(g);
      dgate.set(row * gateRow + c, d * u * (s + g * s * sigmoid(-g)));
      dup.set(row * upRow + c, d * g * s);
    }
  }
}

export function addInteger({ operand, dim, param }: KernelArgs): void {
  for (let i = 0; i < dim('n'); i++) operand('out').set(i, (operand('x').get(i) + param('c')) | 0);
}
