// The one-pass head of the test interpreter: a block of logits kept, turned into its gradient in place. Columns are counted rows.
import { STATS_WORDS } from '../opcodes';
import type { KernelArgs } from './cells';

/** The rows of the block's columns, ascending. @throws when a label is out of range. */
function columnsOf({ operand, dim, param }: KernelArgs): number[] {
  const labels = operand('labels');
  const counted: number[] = [];
  for (let row = 0; row < dim('rows'); row++) {
    const label = labels.get(row);
    if (label === param('ignore')) continue;
    if (label < 0 || label >= dim('vocab')) throw new Error(`label ${label} of row ${row} is out of range`);
    counted.push(row);
  }
  return counted.slice(param('first'), param('first') + dim('most'));
}

function ignoredRows({ operand, dim, param }: KernelArgs): number[] {
  if (param('first') > 0) return [];
  return Array.from({ length: dim('rows') }, (_, row) => row).filter((row) => operand('labels').get(row) === param('ignore'));
}

/** logits[v, c] = w[v]·x[row of c], and per block of words the largest and the sum relative to it. */
export function headLogits(args: KernelArgs): void {
  const [x, w, logits, stats] = ['x', 'w', 'logits', 'stats'].map(args.operand);
  const [vocab, cols, stride] = ['vocab', 'cols', 'stride'].map(args.dim);
  columnsOf(args).forEach((row, c) => {
    for (let block = 0; block * STATS_WORDS < vocab; block++) {
      const words = Array.from({ length: Math.min(STATS_WORDS, vocab - block * STATS_WORDS) }, (_, i) => block * STATS_WORDS + i);
      const values = words.map((v) => {
        let total = 0;
        for (let k = 0; k < cols; k++) total += w.get(v * cols + k) * x.get(row * cols + k);
        logits.set(v * stride + c, total);
        return total;
      });
      const max = Math.max(...values);
      stats.set(2 * block * stride + c, max);
      stats.set(
        (2 * block + 1) * stride + c,
        values.reduce((sum, value) => sum + Math.exp(value - max), 0),
      );
    }
  });
}

/** loss and log_z of the block's rows; the first block zeroes those of ignored rows. */
export function headLoss(args: KernelArgs): void {
  const [labels, logits, stats, loss, logZ] = ['labels', 'logits', 'stats', 'loss', 'log_z'].map(args.operand);
  const [vocab, stride] = ['vocab', 'stride'].map(args.dim);
  for (const row of ignoredRows(args)) {
    loss.set(row, 0);
    logZ.set(row, 0);
  }
  columnsOf(args).forEach((row, c) => {
    const blocks = Array.from({ length: Math.ceil(vocab / STATS_WORDS) }, (_, block) => block);
    const max = Math.max(...blocks.map((block) => stats.get(2 * block * stride + c)));
    const sum = blocks.reduce(
      (total, block) => total + stats.get((2 * block + 1) * stride + c) * Math.exp(stats.get(2 * block * stride + c) - max),
      0,
    );
    logZ.set(row, max + Math.log(sum));
    loss.set(row, max + Math.log(sum) - logits.get(labels.get(row) * stride + c));
  });
}

/** logits ← g·(softmax − onehot); dw = init + logitsᵀ·x. */
export function headBackwardW(args: KernelArgs): void {
  const [x, labels, logZ, g, logits] = ['x', 'labels', 'log_z', 'g', 'logits'].map(args.operand);
  const [init, dw] = [args.maybe('init'), args.maybe('dw')];
  const [vocab, cols, stride] = ['vocab', 'cols', 'stride'].map(args.dim);
  for (let i = 0; dw !== undefined && i < vocab * cols; i++) dw.set(i, init?.get(i) ?? 0);
  columnsOf(args).forEach((row, c) => {
    for (let v = 0; v < vocab; v++) {
      const value = g.get(row) * (Math.exp(logits.get(v * stride + c) - logZ.get(row)) - (v === labels.get(row) ? 1 : 0));
      logits.set(v * stride + c, value);
      for (let k = 0; dw !== undefined && k < cols; k++) dw.set(v * cols + k, dw.get(v * cols + k) + value * x.get(row * cols + k));
    }
  });
}

/** dx = dlogits·w for the block's rows; the first block zeroes those of ignored rows. */
export function headBackwardX(args: KernelArgs): void {
  const [w, dlogits, dx] = ['w', 'dlogits', 'dx'].map(args.operand);
  const [vocab, cols, stride] = ['vocab', 'cols', 'stride'].map(args.dim);
  for (const row of ignoredRows(args)) for (let k = 0; k < cols; k++) dx.set(row * cols + k, 0);
  columnsOf(args).forEach((row, c) => {
    for (let k = 0; k < cols; k++) {
      let total = 0;
      for (let v = 0; v < vocab; v++) total += dlogits.get(v * stride + c) * w.get(v * cols + k);
      dx.set(row * cols + k, total);
    }
  });
}
