// Cross-entropy instructions of the test interpreter, with logits in memory or as a product x·wᵀ.
import type { KernelArgs } from './cells';

interface LossRows {
  readonly rows: number;
  readonly vocab: number;
  /** The label of a row, or undefined where ignored. @throws when it is out of range. */
  readonly label: (row: number) => number | undefined;
  readonly logit: (row: number, v: number) => number;
}

function lossRows(args: KernelArgs): LossRows {
  const [rows, vocab] = ['rows', 'vocab'].map(args.dim);
  const labels = args.operand('labels');
  const label = (row: number): number | undefined => {
    const value = labels.get(row);
    if (value === args.param('ignore')) return undefined;
    if (value < 0 || value >= vocab) throw new Error(`label ${value} of row ${row} is out of range`);
    return value;
  };
  const logits = args.maybe('logits');
  if (logits !== undefined) return { rows, vocab, label, logit: (row, v) => logits.get(row * vocab + v) };
  const [x, w, cols] = [args.operand('x'), args.operand('w'), args.dim('cols')];
  const logit = (row: number, v: number): number => {
    let total = 0;
    for (let c = 0; c < cols; c++) total += x.get(row * cols + c) * w.get(v * cols + c);
    return total;
  };
  return { rows, vocab, label, logit };
}

/** loss and log_z per row; both 0 where ignored. */
export function crossEntropyForward(args: KernelArgs): void {
  const { rows, vocab, label, logit } = lossRows(args);
  const [loss, logZ] = [args.operand('loss'), args.operand('log_z')];
  for (let row = 0; row < rows; row++) {
    const target = label(row);
    const logits = target === undefined ? [] : Array.from({ length: vocab }, (_, v) => logit(row, v));
    const max = Math.max(...logits);
    const z = target === undefined ? 0 : max + Math.log(logits.reduce((sum, value) => sum + Math.exp(value - max), 0));
    loss.set(row, target === undefined ? 0 : z - logits[target]);
    logZ.set(row, z);
  }
}

/** The gradient of each logit, row by row. */
function eachLogitGradient(args: KernelArgs, run: (row: number, gradients: readonly number[]) => void): void {
  const { rows, vocab, label, logit } = lossRows(args);
  const [logZ, g, gz] = [args.operand('log_z'), args.operand('g'), args.maybe('gz')];
  for (let row = 0; row < rows; row++) {
    const target = label(row);
    const both = target === undefined ? 0 : g.get(row) + (gz?.get(row) ?? 0);
    const gradients = Array.from({ length: vocab }, (_, v) =>
      target === undefined ? 0 : both * Math.exp(logit(row, v) - logZ.get(row)) - (v === target ? g.get(row) : 0),
    );
    run(row, gradients);
  }
}

/** dlogits; may be the logits' own memory. */
export function crossEntropyBackward(args: KernelArgs): void {
  const [dlogits, vocab] = [args.operand('dlogits'), args.dim('vocab')];
  eachLogitGradient(args, (row, gradients) => {
    gradients.forEach((value, v) => {
      dlogits.set(row * vocab + v, value);
    });
  });
}

/** dx = dlogits·w. */
export function linearCrossEntropyBackwardX(args: KernelArgs): void {
  const [dx, w, cols] = [args.operand('dx'), args.operand('w'), args.dim('cols')];
  eachLogitGradient(args, (row, gradients) => {
    for (let c = 0; c < cols; c++) {
      dx.set(
        row * cols + c,
        gradients.reduce((sum, value, v) => sum + value * w.get(v * cols + c), 0),
      );
    }
  });
}

/** dw = init + dlogitsᵀ·x. */
export function linearCrossEntropyBackwardW(args: KernelArgs): void {
  const [dw, x, cols, vocab] = [args.operand('dw'), args.operand('x'), args.dim('cols'), args.dim('vocab')];
  const init = args.maybe('init');
  for (let i = 0; i < vocab * cols; i++) dw.set(i, init?.get(i) ?? 0);
  eachLogitGradient(args, (row, gradients) => {
    gradients.forEach((value, v) => {
      for (let c = 0; c < cols; c++) dw.set(v * cols + c, dw.get(v * cols + c) + value * x.get(row * cols + c));
    });
  });
}
