// The program of one micro-batch: loss, count, and gradients into their variables. Needs no engine to be built, so that its memory plan can be read
// before there is one (models/estimate.ts); ts/train runs it.

import {
  accumulate,
  assign,
  compile,
  constant,
  differentiate,
  type Effect,
  mul,
  type Program,
  scale,
  sum,
  type Tensor,
  type Variable,
} from '../graph';
import { asRowLoss, type Loss, type RowLoss } from './loss';
import type { Module } from './module';

/** What is trained, and the variable that holds the sum of its gradients. */
export interface GradientTarget {
  readonly parameter: Variable;
  readonly gradient: Variable;
  /** Only these rows of a [rows, columns] parameter are trained: the gradients of the others are zeros. Default: all. */
  readonly rows?: readonly number[] | undefined;
}

/** Where the gradients of a micro-batch go. */
export interface GradientTargets {
  /** By parameter name. */
  readonly gradients: ReadonlyMap<string, GradientTarget>;
  /** f32 [1]: the sum of the counts. */
  readonly count: Variable;
  /** f32 [1]: 0, or NaN once a loss was not finite. It joins the gradient norm, so that such a step changes nothing. */
  readonly guard: Variable;
}

const METRIC = 'metric ';

/** The sums of a loss's metrics as outputs of a program. */
export function metricOutputs({ metrics = {} }: RowLoss): Record<string, Tensor> {
  return Object.fromEntries(Object.entries(metrics).map(([name, rows]) => [`${METRIC}${name}`, sum(rows)]));
}

/** Adds what a run gave for these outputs to `totals`. */
export function addMetrics(totals: Record<string, number>, outputs: Readonly<Record<string, ArrayLike<number>>>): void {
  for (const [name, values] of Object.entries(outputs)) {
    if (name.startsWith(METRIC)) totals[name.slice(METRIC.length)] = (totals[name.slice(METRIC.length)] ?? 0) + values[0];
  }
}

/**
 * Builds the program `grad`: outputs `loss` f32 [1] (the sum over the micro-batch), `count` f32 [1] and the loss's metrics as `metric NAME` f32 [1]. The first micro-batch of a step overwrites the
 * targets, the following ones add to them; each gradient is computed from zero and then added (contract 8).
 * @throws NOT_DIFFERENTIABLE naming a parameter to be trained that the loss does not reach
 */
export function gradientProgram<M extends Module>(
  module: M,
  loss: Loss<M>,
  batch: Record<string, Tensor>,
  targets: GradientTargets,
  mode: 'first' | 'accumulate',
): Program {
  const rows = asRowLoss(loss(module, batch));
  const total = sum(rows.sum);
  const trained = [...targets.gradients.values()];
  const gradients = differentiate(
    total,
    trained.map(({ parameter }) => parameter),
  );
  const put = (variable: Variable, value: Tensor): Effect => (mode === 'first' ? assign(variable, value) : accumulate(variable, value));
  return compile({
    name: mode === 'first' ? 'grad' : 'grad+',
    outputs: { loss: total, count: rows.count, ...metricOutputs(rows) },
    effects: [
      ...trained.map(({ parameter, gradient, rows }) => put(gradient, onlyRows(gradients.get(parameter)!, rows))),
      put(targets.count, rows.count),
      put(targets.guard, scale(total, 0)),
    ],
  });
}

/** A gradient [rows, columns] with zeros in all other rows. */
function onlyRows(gradient: Tensor, rows: readonly number[] | undefined): Tensor {
  if (rows === undefined) return gradient;
  const kept = new Float32Array(gradient.shape[0] as number);
  for (const row of rows) kept[row] = 1;
  return mul(gradient, constant(kept, [kept.length, 1]));
}
