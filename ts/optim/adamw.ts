// AdamW as a description: which variables it needs and which effects update a parameter. The arithmetic is in crates/kernels.

import { adamw, type Effect, type Tensor, Variable } from '../graph';
import { integerPower } from '../math';
import { checkValue, OPTIONS, readOptions } from '../options';
import { type Optimizer, type OptimizerState, type ParameterUpdate, rateName, rateScalars, type UpdateNumbers } from './optimizer';

/** Options of `AdamW`, with Hugging Face's names. */
export interface AdamWOptions {
  /** ≥ 0. Default 1e-3. */
  learningRate?: number;
  /** Decay of the mean gradient, in [0, 1). Default 0.9. */
  adamBeta1?: number;
  /** Decay of the mean squared gradient, in [0, 1). Default 0.99. */
  adamBeta2?: number;
  /** Added to the root of the corrected second moment, > 0. Default 1e-8. */
  adamEpsilon?: number;
  /** Decoupled decay of variables whose `decay` is true (matrices), ≥ 0. Default 0.1. */
  weightDecay?: number;
}

const ADAMW_OPTIONS = ['learningRate', 'adamBeta1', 'adamBeta2', 'adamEpsilon', 'weightDecay'] as const;

/**
 * Adam with decoupled weight decay (Loshchilov, Hutter 2019), as torch.optim.AdamW: p ← p·(1 − lr·decay), then
 * p ← p − lr/(1 − β1^t)·m / (√v/√(1 − β2^t) + ε). The bias corrections are computed in f64 from t by repeated multiplication.
 */
export class AdamW implements Optimizer {
  readonly kind = 'adamw';
  readonly learningRate: number;
  readonly options: { readonly adamBeta1: number; readonly adamBeta2: number; readonly adamEpsilon: number; readonly weightDecay: number };

  /** @throws UNKNOWN_OPTION, INVALID_OPTION naming the option, the rule and the value */
  constructor(options: AdamWOptions = {}) {
    const { learningRate = 1e-3, ...rest } = readOptions('AdamW', options, ADAMW_OPTIONS);
    this.learningRate = learningRate;
    this.options = Object.freeze(rest);
  }

  stateFor(name: string, parameter: Variable): OptimizerState {
    const make = (role: string) => new Variable({ name: `optimizer.${role}.${name}`, shape: parameter.shape, trainable: false });
    return { m: make('m'), v: make('v') };
  }

  effects(updates: readonly ParameterUpdate[], clip: Tensor): Effect[] {
    const { adamBeta1: beta1, adamBeta2: beta2, adamEpsilon: eps, weightDecay } = this.options;
    return updates.map(({ parameter, gradient, state, learningRateFactor, someRows }) =>
      adamw({
        parameter,
        gradient,
        m: state.m,
        v: state.v,
        clip,
        lr: rateName(learningRateFactor),
        c1: 'c1',
        c2: 'c2',
        beta1,
        beta2,
        eps,
        weightDecay: parameter.decay && !someRows ? weightDecay : 0,
      }),
    );
  }

  scalars(numbers: UpdateNumbers): Record<string, number> {
    const { learningRate, update, maxGradNorm } = numbers;
    checkValue('AdamW', OPTIONS.learningRate, learningRate);
    checkValue('AdamW', OPTIONS.maxGradNorm, maxGradNorm);
    const c1 = 1 - integerPower(this.options.adamBeta1, update);
    const c2 = Math.sqrt(1 - integerPower(this.options.adamBeta2, update));
    return { ...rateScalars(numbers), c1, c2, maxNorm: maxGradNorm };
  }
}
