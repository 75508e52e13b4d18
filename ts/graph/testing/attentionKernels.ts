// Attention of the test interpreter: the instructions written from their definition, in f64, one score at a time.
import type { Cells, KernelArgs } from './cells';
import { keeper } from './philox';

interface Row {
  /** Visible keys. */
  readonly keys: readonly number[];
  readonly score: (j: number) => number;
  /** Dropout's factor of weight j. */
  readonly keep: (j: number) => number;
}

/** Everything the instructions share: strides, heads, visibility, dropout. */
class Attention {
  readonly batch: number;
  readonly tq: number;
  readonly tk: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly size: number;
  readonly scale: number;
  readonly q: (b: number, i: number, h: number, d: number) => number;
  readonly k: (b: number, j: number, h: number, d: number) => number;
  readonly v: (b: number, j: number, h: number, d: number) => number;
  readonly #args: KernelArgs;
  readonly #keep: (index: number) => number;

  constructor(args: KernelArgs) {
    this.#args = args;
    const { dim, param } = args;
    [this.batch, this.tq, this.tk] = ['batch', 'tq', 'tk'].map(dim);
    [this.heads, this.kvHeads, this.size, this.scale] = ['heads', 'kv_heads', 'head_dim', 'scale'].map(param);
    const reader = (name: string): ((b: number, t: number, h: number, d: number) => number) => {
      const cells = args.operand(name);
      return (b, t, h, d) => cells.get(this.at(name, b, t, h, d));
    };
    this.q = reader('q');
    this.k = reader('k');
    this.v = reader('v');
    this.#keep = dropoutOf(args);
  }

  /** Element index in a strided operand, for head h of q: those of q, k and v serve their gradients too. */
  at(name: string, b: number, t: number, h: number, d: number): number {
    const head = name === 'q' ? h : Math.floor((h * this.kvHeads) / this.heads);
    return b * this.#args.dim(`${name}_batch`) + t * this.#args.dim(`${name}_row`) + head * this.size + d;
  }
  /** Element index in out and dout, [B, Tq, H·D]. */
  outAt(b: number, i: number, h: number, d: number): number {
    return ((b * this.tq + i) * this.heads + h) * this.size + d;
  }
  /** Element index in lse and delta, [B, H, Tq]. */
  rowAt(b: number, h: number, i: number): number {
    return (b * this.heads + h) * this.tq + i;
  }

  row(b: number, h: number, i: number): Row {
    const mask = this.#args.maybe('key_mask');
    const start = this.#args.maybe('starts')?.get(b * this.tq + i) ?? 0;
    const counts = this.#args.maybe('key_counts');
    const count = counts?.get(b) ?? this.tk;
    if (counts !== undefined && (count < 1 || count > this.tk)) throw new Error(`key count ${count} of ${this.tk} is out of range`);
    const last = this.#args.param('causal') === 1 ? i + count - this.tq : count - 1;
    const keys: number[] = [];
    for (let j = 0; j <= last; j++) {
      const kept = mask === undefined || mask.get(b * this.tk + j) !== 0;
      if (kept && j >= start && this.#bias(b, h, i, j) !== Number.NEGATIVE_INFINITY) keys.push(j);
    }
    const score = (j: number): number => {
      let total = 0;
      for (let d = 0; d < this.size; d++) total += this.q(b, i, h, d) * this.k(b, j, h, d);
      return total * this.scale + this.#bias(b, h, i, j);
    };
    return { keys, score, keep: (j) => this.#keep(this.rowAt(b, h, i) * this.tk + j) };
  }

  /** What the mask adds to a score. */
  #bias(b: number, h: number, i: number, j: number): number {
    const mask = this.#args.maybe('mask');
    if (mask === undefined) return 0;
    const masks = this.#args.dim('masks');
    const of = masks === this.batch * this.heads ? b * this.heads + h : masks === this.batch ? b : 0;
    return mask.get((of * this.tq + i) * this.tk + j);
  }

  each(run: (b: number, h: number, i: number) => void): void {
    for (let b = 0; b < this.batch; b++) for (let h = 0; h < this.heads; h++) for (let i = 0; i < this.tq; i++) run(b, h, i);
  }
}

/** Dropout's factors of an instruction; 1 everywhere when p = 0. */
export function dropoutOf({ param, scalar }: KernelArgs): (index: number) => number {
  if (param('p') === 0) return () => 1;
  return keeper(param('p'), [scalar('seed_lo'), scalar('seed_hi')], scalar('step'), scalar('micro'), [param('path_lo'), param('path_hi')]);
}

/** out = Σ softmax(score)·v; lse = log Σ e^score, 0 for a row without keys. */
export function attentionForward(args: KernelArgs): void {
  const a = new Attention(args);
  const [out, lse] = [args.operand('out'), args.operand('lse')];
  a.each((b, h, i) => {
    const row = a.row(b, h, i);
    const scores = row.keys.map(row.score);
    const max = scores.length === 0 ? 0 : Math.max(...scores);
    const total = scores.reduce((sum, score) => sum + Math.exp(score - max), 0);
    lse.set(a.rowAt(b, h, i), scores.length === 0 ? 0 : max + Math.log(total));
    for (let d = 0; d < a.size; d++) {
      let value = 0;
      row.keys.forEach((j, n) => {
        value += (Math.exp(scores[n] - max) / total) * row.keep(j) * a.v(b, j, h, d);
      });
      out.set(a.outAt(b, i, h, d), value);
    }
  });
}

/** The gradient of a row's scores, given delta = Σ dout·out. */
function scoreGradients(
  a: Attention,
  row: Row,
  lse: Cells,
  dout: Cells,
  delta: number,
  b: number,
  h: number,
  i: number,
): { j: number; p: number; ds: number }[] {
  return row.keys.map((j) => {
    const p = Math.exp(row.score(j) - lse.get(a.rowAt(b, h, i)));
    let dp = 0;
    for (let d = 0; d < a.size; d++) dp += dout.get(a.outAt(b, i, h, d)) * a.v(b, j, h, d);
    return { j, p: p * row.keep(j), ds: p * (dp * row.keep(j) - delta) };
  });
}

/** Σ dout·out of one row. */
function deltaOf(a: Attention, dout: Cells, out: Cells, b: number, h: number, i: number): number {
  let total = 0;
  for (let d = 0; d < a.size; d++) total += dout.get(a.outAt(b, i, h, d)) * out.get(a.outAt(b, i, h, d));
  return total;
}

/** dq, and delta for the other half. */
export function attentionBackwardQ(args: KernelArgs): void {
  const a = new Attention(args);
  const [out, lse, dout, dq, delta] = ['out', 'lse', 'dout', 'dq', 'delta'].map(args.operand);
  a.each((b, h, i) => {
    const total = deltaOf(a, dout, out, b, h, i);
    delta.set(a.rowAt(b, h, i), total);
    writeDq(a, dq, scoreGradients(a, a.row(b, h, i), lse, dout, total, b, h, i), b, h, i);
  });
}

function writeDq(a: Attention, dq: Cells, gradients: readonly { j: number; ds: number }[], b: number, h: number, i: number): void {
  for (let d = 0; d < a.size; d++) {
    dq.set(a.at('q', b, i, h, d), a.scale * gradients.reduce((sum, { j, ds }) => sum + ds * a.k(b, j, h, d), 0));
  }
}

/** dk and dv. */
export function attentionBackwardKv(args: KernelArgs): void {
  const a = new Attention(args);
  const [lse, dout, delta, dk, dv] = ['lse', 'dout', 'delta', 'dk', 'dv'].map(args.operand);
  writeDkv(a, lse, dout, (b, h, i) => delta.get(a.rowAt(b, h, i)), dk, dv);
}

/** dq, dk and dv. */
export function attentionBackward(args: KernelArgs): void {
  const a = new Attention(args);
  const [out, lse, dout, dq, dk, dv] = ['out', 'lse', 'dout', 'dq', 'dk', 'dv'].map(args.operand);
  const delta = (b: number, h: number, i: number): number => deltaOf(a, dout, out, b, h, i);
  a.each((b, h, i) => writeDq(a, dq, scoreGradients(a, a.row(b, h, i), lse, dout, delta(b, h, i), b, h, i), b, h, i));
  writeDkv(a, lse, dout, delta, dk, dv);
}

function writeDkv(a: Attention, lse: Cells, dout: Cells, delta: (b: number, h: number, i: number) => number, dk: Cells, dv: Cells): void {
  for (let b = 0; b < a.batch; b++) {
    const group = a.heads / a.kvHeads;
    let sums: { k: number; v: number }[] = [];
    for (let h = 0; h < a.heads; h++) {
      if (h % group === 0) sums = Array.from({ length: a.tk * a.size }, () => ({ k: 0, v: 0 }));
      for (let i = 0; i < a.tq; i++) {
        for (const { j, p, ds } of scoreGradients(a, a.row(b, h, i), lse, dout, delta(b, h, i), b, h, i)) {
          for (let d = 0; d < a.size; d++) {
            sums[j * a.size + d].k += a.scale * ds * a.q(b, i, h, d);
            sums[j * a.size + d].v += p * dout.get(a.outAt(b, i, h, d));
          }
        }
      }
      for (let j = 0; j < a.tk; j++) {
        for (let d = 0; d < a.size; d++) {
          dk.set(a.at('k', b, j, h, d), sums[j * a.size + d].k);
          dv.set(a.at('v', b, j, h, d), sums[j * a.size + d].v);
        }
      }
    }
  }
}
