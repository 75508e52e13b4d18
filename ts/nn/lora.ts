// Low-rank adaptation of linear layers (LoRA; Hu et al. 2021, arXiv:2106.09685): the branch beside a frozen weight, which layers may have one, and the sum
// of both as one weight. It builds graph and does arithmetic on arrays; memory, files and switching between adapters are ts/adapters'.

import { FerroError, show } from '../errors';
import { add, dropout, linear, recomputed, scale, type Tensor, Variable } from '../graph';
import { RandomStream } from '../math';
import { nearest } from '../options/names';
import { matchesPath } from '../options/patterns';
import { Linear } from './linear';
import type { Module } from './module';
import { Projection } from './projection';

/** A layer that can have a branch. */
export type LoraLayer = Linear | Projection;

/** What a branch is made from. */
export interface LoraBranchOptions {
  rank: number;
  /** The branch is multiplied by alpha/rank, or alpha/√rank with `useRslora`. */
  alpha: number;
  /** Probability of dropping an input of the branch in training. */
  dropout: number;
  /** Rank-stabilised scaling (Kalajdzievski 2023). */
  useRslora: boolean;
}

/** scale·B(A(dropout(x))), added to what the layer computes. A [rank, in] and B [out, rank] lie as in PEFT's files. */
export class LoraBranch {
  readonly a: Variable;
  readonly b: Variable;
  readonly scale: number;
  readonly dropout: number;

  /**
   * @param path of the layer: keys the dropout mask
   * @param adapter name of the adapter it belongs to
   */
  constructor(
    layer: LoraLayer,
    readonly path: string,
    readonly adapter: string,
    { rank, alpha, dropout: p, useRslora }: LoraBranchOptions,
  ) {
    this.a = new Variable({ name: `${path}.lora_A.${adapter}.weight`, shape: [rank, layer.inFeatures] });
    this.b = new Variable({ name: `${path}.lora_B.${adapter}.weight`, shape: [layer.outFeatures, rank] });
    this.scale = alpha / (useRslora ? Math.sqrt(rank) : rank);
    this.dropout = p;
  }

  /** Rows and columns of the branch's inner layer. */
  get rank(): number {
    return this.a.shape[0];
  }

  /**
   * The layer's value with its branch.
   * @param x f32 [.., in], what the layer was given
   * @param y f32 [.., out], what it computes alone
   * @returns f32 [.., out]
   */
  addTo(y: Tensor, x: Tensor, training: boolean): Tensor {
    // Only A's gradient needs the input, and the input is usually a norm or an activation: it is not kept for that.
    const kept = recomputed(x);
    const seen = training && this.dropout > 0 ? recomputed(dropout(kept, this.dropout, `${this.path}.lora_dropout.${this.adapter}`)) : kept;
    const inner = linear(seen, this.a, undefined, { transposed: true }); // [.., rank]
    return add(y, linear(this.scale === 1 ? inner : scale(inner, this.scale), this.b, undefined, { transposed: true }));
  }

  /**
   * Initial values of A as PEFT draws them, Kaiming-uniform with a = √5: uniform within ±1/√in. B begins as zeros, so a new branch changes nothing.
   * @param seed with the layer's path decides the numbers, on every machine the same
   */
  initialA(seed: number): Float32Array {
    const bound = 1 / Math.sqrt(this.a.shape[1]);
    const stream = new RandomStream(seed, `${this.path}.lora_A.weight`);
    return Float32Array.from({ length: this.a.size }, () => (2 * stream.uniform() - 1) * bound);
  }
}

/** Whether a module can have a branch. */
export function isLoraLayer(module: Module): module is LoraLayer {
  return module instanceof Linear || module instanceof Projection;
}

/** Layers below `root` that can have a branch, by path. `except`: layers whose weight is read by others than themselves (a language model's head). */
export function loraLayers(root: Module, except: ReadonlySet<Module> = new Set()): Map<string, LoraLayer> {
  const layers = new Map<string, LoraLayer>();
  for (const [path, module] of root.namedModules()) if (isLoraLayer(module) && !except.has(module)) layers.set(path, module);
  return layers;
}

/**
 * The paths that a list of names means as PEFT understands them, the whole path or its end, part by part; `*` stands for any text. In the order of `paths`.
 * @param what names the list in messages
 * @throws INVALID_OPTION for a name that means none, with the nearest ones there are
 */
export function matchPaths(op: string, what: string, names: readonly string[], paths: readonly string[]): string[] {
  const found = new Set<string>();
  for (const name of names) {
    const matched = paths.filter((path) => matchesPath(name, path));
    if (matched.length === 0) throw unknownTarget(op, what, name, paths);
    for (const path of matched) found.add(path);
  }
  return paths.filter((path) => found.has(path));
}

function unknownTarget(op: string, what: string, name: string, paths: readonly string[]): FerroError {
  const ends = [...new Set(paths.map((path) => path.slice(path.lastIndexOf('.') + 1)))];
  const near = nearest(name.slice(name.lastIndexOf('.') + 1), ends);
  const hint = near === undefined ? 'there are none' : `the nearest is "${near}", of ${ends.slice(0, 20).join(', ')}`;
  return new FerroError('INVALID_OPTION', `${op}: "${what}" must name layers of the model, got ${show(name)} (${hint})`);
}

/**
 * weight + scale·B·A, each element's sum in f64 and rounded once: what the layer is with its branch.
 * @param weight f32 [in, out] with `transposed` (`Linear`), else [out, in]; changed in place
 * @param a f32 [rank, in] @param b f32 [out, rank]
 */
export function addBranch(
  weight: Float32Array,
  a: Float32Array,
  b: Float32Array,
  { rows: out, columns, rank, factor, transposed }: { rows: number; columns: number; rank: number; factor: number; transposed: boolean },
): void {
  const sums = new Float64Array(columns);
  for (let o = 0; o < out; o++) {
    sums.fill(0);
    for (let r = 0; r < rank; r++) {
      const left = b[o * rank + r];
      const from = r * columns;
      for (let i = 0; i < columns; i++) sums[i] += left * a[from + i];
    }
    if (transposed) for (let i = 0; i < columns; i++) weight[i * out + o] += factor * sums[i];
    else for (let i = 0; i < columns; i++) weight[o * columns + i] += factor * sums[i];
  }
}

/** Puts other variables in the place of a module's own, here and below; those not in `others` stay. */
export function replaceVariables(root: Module, others: ReadonlyMap<Variable, Variable>): void {
  for (const module of root.namedModules().values()) {
    const fields = module as unknown as Record<string, unknown>;
    for (const [key, value] of Object.entries(fields)) {
      if (value instanceof Variable && others.has(value)) fields[key] = others.get(value);
      else if (Array.isArray(value))
        value.forEach((item, i) => {
          if (item instanceof Variable && others.has(item)) value[i] = others.get(item);
        });
    }
  }
}
