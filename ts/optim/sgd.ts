// Stochastic gradient descent as a description: which variables it needs and which effects update a parameter.

import { FerroError } from '../errors';
import { type Effect, sgd, type Tensor, Variable } from '../graph';
import { checkValue, OPTIONS, readOptions } from '../options';
import { type Optimizer, type OptimizerState, type ParameterUpdate, rateName, rateScalars, type UpdateNumbers } from './optimizer';

/** Options of `SGD`. */
export interface SGDOptions {
  /** ≥ 0. Default 1e-3. */
  learningRate?: number;
  /** In [0, 1); 0 keeps no buffer. Default 0. */
  momentum?: number;
  /** Nesterov's form of momentum; needs momentum > 0. Default false. */
  nesterov?: boolean;
  /** L2 decay added to the gradient of variables whose `decay` is true, ≥ 0. Default 0. */
  weightDecay?: number;
}

const SGD_OPTIONS = ['learningRate', 'momentum', 'nesterov', 'weightDecay'] as const;

/** As torch.optim.SGD without dampening: g ← g + decay·p; buf ← momentum·buf + g; p ← p − lr·(nesterov ? g + momentum·buf : buf). */
export class SGD implements Optimizer {
  readonly kind = 'sgd';
  readonly learningRate: number;
  readonly options: { readonly momentum: number; readonly nesterov: boolean; readonly weightDecay: number };

  /** @throws UNKNOWN_OPTION, INVALID_OPTION naming the option, the rule and the value */
  constructor(options: SGDOptions = {}) {
    // Not the table's defaults: its weight decay is AdamW's.
    const given = readOptions('SGD', options, SGD_OPTIONS, { defaults: false });
    const { learningRate = 1e-3, momentum = 0, nesterov = false, weightDecay = 0 } = given;
    if (nesterov && momentum === 0) throw new FerroError('INVALID_OPTION', 'SGD: "nesterov" needs a momentum above 0, got momentum 0');
    this.learningRate = learningRate;
    this.options = Object.freeze({ momentum, nesterov, weightDecay });
  }

  stateFor(name: string, parameter: Variable): OptimizerState {
    if (this.options.momentum === 0) return {};
    return { momentum: new Variable({ name: `optimizer.momentum.${name}`, shape: parameter.shape, trainable: false }) };
  }

  effects(updates: readonly ParameterUpdate[], clip: Tensor): Effect[] {
    const { momentum, nesterov, weightDecay } = this.options;
    return updates.map(({ parameter, gradient, state, learningRateFactor, someRows }) =>
      sgd({
        parameter,
        gradient,
        momentumBuffer: state.momentum,
        clip,
        lr: rateName(learningRateFactor),
        momentum,
        nesterov,
        weightDecay: parameter.decay && !someRows ? weightDecay : 0,
      }),
    );
  }

  scalars(numbers: UpdateNumbers): Record<string, number> {
    const { learningRate, maxGradNorm } = numbers;
    checkValue('SGD', OPTIONS.learningRate, learningRate);
    checkValue('SGD', OPTIONS.maxGradNorm, maxGradNorm);
    return { ...rateScalars(numbers), maxNorm: maxGradNorm };
  }
}
