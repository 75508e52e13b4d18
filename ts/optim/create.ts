// Chooses an optimizer by its name in a flat set of options (the Trainer's and the command line's): other keys are ignored.

import { FerroError, show } from '../errors';
import { AdamW } from './adamw';
import type { Optimizer } from './optimizer';
import { SGD } from './sgd';

/** The optimizers' part of the options. Those of the optimizer not chosen are ignored. */
export interface OptimizerOptions {
  optim?: 'adamw' | 'sgd';
  learningRate?: number;
  adamBeta1?: number;
  adamBeta2?: number;
  adamEpsilon?: number;
  weightDecay?: number;
  momentum?: number;
  nesterov?: boolean;
}

/** Makes the optimizer named by `optim` (default adamw). @throws INVALID_OPTION as its constructor does */
export function createOptimizer(options: OptimizerOptions): Optimizer {
  if (typeof options !== 'object' || options === null) {
    throw new FerroError('INVALID_OPTION', `optimizer: must be an AdamW, an SGD or their options, got ${show(options)}`);
  }
  const { optim = 'adamw', learningRate, weightDecay } = options;
  if (optim === 'adamw') {
    const { adamBeta1, adamBeta2, adamEpsilon } = options;
    return new AdamW({ learningRate, adamBeta1, adamBeta2, adamEpsilon, weightDecay });
  }
  if (optim === 'sgd') return new SGD({ learningRate, weightDecay, momentum: options.momentum, nesterov: options.nesterov });
  throw new FerroError('INVALID_OPTION', `optimizer: "optim" must be "adamw" or "sgd", got ${show(optim)}`);
}
