// What an optimizer is: a description that writes the `update` program. It holds no state and no engine; state lives in named variables.

import { clipFinish, type Effect, type Operand, squaredNorm, type Tensor, type Variable } from '../graph';

/** A parameter, its accumulated gradient (a sum, not yet divided by the count), and the optimizer's variables for it. */
export interface ParameterUpdate {
  readonly name: string;
  readonly parameter: Variable;
  readonly gradient: Variable;
  /** Made by `stateFor`. */
  readonly state: OptimizerState;
  /** Multiplies the learning rate for this parameter. Default 1. */
  readonly learningRateFactor?: number;
  /** Some rows are not trained: their gradients are zeros, and nothing is decayed, so that they keep their bits. */
  readonly someRows?: boolean;
}

/** An optimizer's variables for one parameter, by role: m and v of AdamW, the momentum buffer of SGD. */
export type OptimizerState = Readonly<Record<string, Variable>>;

/** The numbers of one update. */
export interface UpdateNumbers {
  /** ≥ 0 */
  learningRate: number;
  /** Which update of this optimizer, from 1 on: bias corrections depend on it. */
  update: number;
  /** Largest global gradient norm, 0 = off. */
  maxGradNorm: number;
  /** The factors of all parameters, each once or oftener. */
  learningRateFactors?: Iterable<number>;
}

/** The scalar input that is a parameter's learning rate: one for all that have the same factor, `lr` without one. */
export function rateName(factor = 1): string {
  return factor === 1 ? 'lr' : `lr*${factor}`;
}

/** The learning rates by their scalars. */
export function rateScalars({ learningRate, learningRateFactors = [] }: UpdateNumbers): Record<string, number> {
  const rates: Record<string, number> = { lr: learningRate };
  for (const factor of learningRateFactors) rates[rateName(factor)] = learningRate * factor;
  return rates;
}

/** A rule that changes parameters, given gradients. */
export interface Optimizer {
  readonly kind: 'adamw' | 'sgd';
  /** Used where a loop does not say another. */
  readonly learningRate: number;
  /** The options with every default, as plain data: for run.json and to refuse another optimizer's checkpoint. */
  readonly options: Readonly<Record<string, number | boolean>>;
  /** New variables for one parameter, named `optimizer.<role>.<parameter>`, initially zero. */
  stateFor(name: string, parameter: Variable): OptimizerState;
  /** The effects of one update. `clip` comes from `clipGradients`: when it says skip, nothing is changed. */
  effects(updates: readonly ParameterUpdate[], clip: Tensor): Effect[];
  /** The scalars of those effects. */
  scalars(numbers: UpdateNumbers): Record<string, number>;
}

/**
 * The global norm of all gradients and the factor to apply to them: f32 [4] = [norm, factor, skip, count], where norm = √Σg² ÷ count (summed in f64),
 * factor = (1/count)·min(1, maxNorm/(norm + 1e-6)) as in torch's clip_grad_norm_, and skip = 1 when the count is 0 or the norm is not finite.
 * Reads the scalar `maxNorm`.
 * @param gradients sums over all rows
 * @param count f32 [1], the rows
 */
export function clipGradients(gradients: readonly Operand[], count: Operand): Tensor {
  return clipFinish(squaredNorm(gradients), count, 'maxNorm');
}
