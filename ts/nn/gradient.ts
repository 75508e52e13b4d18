// The program of one micro-batch: loss, count, and gradients into their variables. Needs no engine to be built, so that its memory plan can be read
// before there is one (models/estimate.ts); ts/train runs it.

import { accumulate, assign, compile, differentiate, type Effect, type Program, scale, sum, type Tensor, type Variable } from '../graph';
import { asRowLoss, type Loss } from './loss';
import type { Module } from './module';

/** Where the gradients of a micro-batch go. */
export interface GradientTargets {
  /** By parameter name: what is trained, and the variable that holds the sum of its gradients. */
  readonly gradients: ReadonlyMap<string, { readonly parameter: Variable; readonly gradient: Variable }>;
  /** f32 [1]: the sum of the counts. */
  readonly count: Variable;
  /** f32 [1]: 0, or NaN once a loss was not finite. It joins the gradient norm, so that such a step changes nothing. */
  readonly guard: Variable;
}

/**
 * Builds the program `grad`: outputs `loss` f32 [1] (the sum over the micro-batch) and `count` f32 [1]. The first micro-batch of a step overwrites the
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
    outputs: { loss: total, count: rows.count },
    effects: [
      ...trained.map(({ parameter, gradient }) => put(gradient, gradients.get(parameter)!)),
      put(targets.count, rows.count),
      put(targets.guard, scale(total, 0)),
    ],
  });
}
