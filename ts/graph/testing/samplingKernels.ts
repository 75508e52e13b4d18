// Instructions that choose tokens, in the test interpreter: rules, then the largest logit at temperature 0 (the first of equals), else a draw from the kept part of
// softmax(logits ÷ temperature); beams' continuations; rows in a new order.
import { HISTORY_TOKENS, IN_PROMPT, STATE_WORDS } from '../ops/sample';
import type { KernelArgs } from './cells';
import { philox } from './philox';

interface Scored {
  readonly v: number;
  readonly logit: number;
}

/** Likeliest first, the lowest ids first among equals; −infinity is left out. */
const ranked = (logits: readonly number[]): Scored[] =>
  logits
    .map((logit, v) => ({ v, logit }))
    .filter(({ logit }) => logit > Number.NEGATIVE_INFINITY)
    .sort((a, b) => b.logit - a.logit || a.v - b.v);

/** A float as a report holds it. */
const bits = (value: number): number => new Int32Array(Float32Array.of(value).buffer)[0];

const logSumExp = (logits: readonly number[]): number => {
  const most = Math.max(...logits);
  return most + Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit - most), 0));
};

class Rules {
  readonly #args: KernelArgs;
  readonly #vocab: number;
  readonly #ends: readonly number[];
  readonly #phrases: readonly (readonly number[])[];

  constructor(args: KernelArgs) {
    this.#args = args;
    this.#vocab = args.dim('vocab');
    const lists = args.maybe('lists');
    const words = lists === undefined ? [0, 0] : Array.from({ length: args.dim('list') }, (_, i) => lists.get(i));
    this.#ends = words.slice(1, 1 + words[0]);
    const phrases: number[][] = [];
    for (let at = 1 + words[0]; at < words.length && words[at] > 0; at += 1 + words[at])
      phrases.push(words.slice(at + 1, at + 1 + words[at]));
    this.#phrases = phrases;
  }

  #scalar(name: string, otherwise: number): number {
    return this.#args.maybe('bias') === undefined ? otherwise : this.#args.scalar(name);
  }

  #history(row: number): number[] {
    const state = this.#args.maybe('state');
    if (state === undefined) return [];
    return Array.from({ length: HISTORY_TOKENS }, (_, i) => state.get((row + 1) * STATE_WORDS - HISTORY_TOKENS + i));
  }

  get #counting(): boolean {
    return this.#scalar('repetition', 1) !== 1 || this.#scalar('presence', 0) !== 0 || this.#scalar('frequency', 0) !== 0;
  }

  apply(logits: readonly number[], row: number): number[] {
    const { maybe } = this.#args;
    const repetition = this.#scalar('repetition', 1);
    const x = logits.map((logit, v) => {
      const biased = logit + (maybe('bias')?.get(v) ?? 0);
      const count = this.#counting ? maybe('counts')!.get(row * this.#vocab + v) : 0;
      if (count === 0) return biased;
      const drawn = count % IN_PROMPT;
      const penalised = biased < 0 ? biased * repetition : biased / repetition;
      return drawn === 0 ? penalised : penalised - this.#scalar('presence', 0) - this.#scalar('frequency', 0) * drawn;
    });
    const history = this.#history(row);
    for (const phrase of this.#phrases) {
      const before = phrase.slice(0, -1);
      if (before.every((id, i) => history[HISTORY_TOKENS - before.length + i] === id)) x[phrase[before.length]] = Number.NEGATIVE_INFINITY;
    }
    if (this.#args.scalar('draw') < this.#scalar('min_new', 0)) for (const id of this.#ends) x[id] = Number.NEGATIVE_INFINITY;
    return x;
  }

  push(row: number, token: number): void {
    const { maybe } = this.#args;
    const at = row * this.#vocab + token;
    if (this.#counting) maybe('counts')!.set(at, maybe('counts')!.get(at) + 1);
    const last = [...this.#history(row).slice(1), token];
    const base = (row + 1) * STATE_WORDS - HISTORY_TOKENS;
    if (maybe('state') !== undefined) for (const [i, id] of last.entries()) maybe('state')!.set(base + i, id);
  }

  /** The end id of a finished row. */
  finished(row: number): number | undefined {
    const end = this.#args.maybe('state')?.get(row * STATE_WORDS) ?? 0;
    return end === 0 ? undefined : end - 1;
  }

  finish(row: number, token: number): void {
    if (this.#ends.includes(token)) this.#args.maybe('state')?.set(row * STATE_WORDS, token + 1);
  }
}

/** One token per row, and its report. */
export function sampleRows(args: KernelArgs): void {
  const { operand, maybe, dim } = args;
  const rules = new Rules(args);
  const [rows, vocab, stride, columns] = ['rows', 'vocab', 'stride', 'columns'].map(dim);
  const report = maybe('report');
  for (let row = 0; row < rows; row++) {
    const tell = (values: readonly number[]): void => {
      for (let i = 0; report !== undefined && i < columns; i++) report.set(row * columns + i, values[i] ?? -1);
    };
    const end = rules.finished(row);
    if (end !== undefined) {
      operand('out').set(row, end);
      tell([end, bits(0)]);
      continue;
    }
    const logits = Array.from({ length: vocab }, (_, v) => operand('logits').get(row * stride + v));
    const token = choose(args, ranked(rules.apply(logits, row)), row);
    operand('out').set(row, token);
    const logZ = logSumExp(logits);
    const pairs = report === undefined ? [] : ranked(logits).slice(0, Math.min(args.scalar('top_n'), (columns - 2) / 2));
    tell([token, bits(logits[token] - logZ), ...pairs.flatMap(({ v, logit }) => [v, bits(logit - logZ)])]);
    rules.push(row, token);
    rules.finish(row, token);
    maybe('positions')?.set(row, maybe('positions')!.get(row) + 1);
  }
}

function choose({ scalar, maybe }: KernelArgs, order: readonly Scored[], row: number): number {
  const temperature = scalar('temperature');
  if (temperature === 0) return order[0].v;
  const kept = scalar('top_k') > 0 ? order.slice(0, scalar('top_k')) : order;
  let weights = kept.map(({ logit }) => Math.exp((logit - kept[0].logit) / temperature));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  let count = 0;
  for (let mass = 0; count < weights.length && (count === 0 || mass < scalar('top_p') * total); count++) mass += weights[count];
  const least = maybe('bias') === undefined ? 0 : scalar('min_p');
  weights = weights.slice(0, count).filter((weight) => weight >= least);
  const [word] = philox([scalar('seed_lo') + row, scalar('seed_hi')], [scalar('draw'), 0, 0, 0]);
  let left = (word / 2 ** 32) * weights.reduce((sum, weight) => sum + weight, 0);
  let pick = 0;
  while (pick < weights.length - 1 && left >= weights[pick]) left -= weights[pick++];
  return kept[pick].v;
}

/** The best continuations of each beam. */
export function beamScores(args: KernelArgs): void {
  const { operand, dim, scalar } = args;
  const rules = new Rules(args);
  const [rows, vocab, stride, keep] = ['rows', 'vocab', 'stride', 'keep'].map(dim);
  for (let row = 0; row < rows; row++) {
    if (scalar('draw') > 0) rules.push(row, operand('tokens').get(row));
    const logits = Array.from({ length: vocab }, (_, v) => operand('logits').get(row * stride + v));
    const logZ = logSumExp(logits);
    const best = ranked(
      rules.apply(
        logits.map((logit) => logit - logZ),
        row,
      ),
    );
    for (let i = 0; i < keep; i++) {
      operand('report').set((row * keep + i) * 2, best[i]?.v ?? -1);
      operand('report').set((row * keep + i) * 2 + 1, bits((best[i]?.logit ?? Number.NEGATIVE_INFINITY) + operand('scores').get(row)));
    }
  }
}

/** x[b] = x[parents[b]] for all b at once. */
export function permuteRows({ operand, dim }: KernelArgs): void {
  const [batch, time, cols, pitch] = ['batch', 'time', 'cols', 'pitch'].map(dim);
  const old = Array.from({ length: batch }, (_, b) => Array.from({ length: time * cols }, (_, i) => operand('x').get(b * pitch + i)));
  for (let b = 0; b < batch; b++) {
    for (const [i, value] of old[operand('parents').get(b)].entries()) operand('x').set(b * pitch + i, value);
  }
}
