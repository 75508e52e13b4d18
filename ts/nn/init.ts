// Initial values of parameters as descriptions; the engine draws them (crates/kernels: Philox keyed by seed and the variable's name, Box–Muller).

import type { Init } from '../graph';

/** All zeros. */
export const zeros: Init = { kind: 'zeros' };

/** All ones. */
export const ones: Init = { kind: 'ones' };

/** Independent normal numbers of mean 0. */
export function normal(std: number): Init {
  return { kind: 'normal', mean: 0, std };
}

/** Independent numbers, uniform in [−bound, bound). */
export function uniform(bound: number): Init {
  return { kind: 'uniform', low: -bound, high: bound };
}

/** Uniform with bound √(6/(fanIn + fanOut)), which keeps the variance of values and of gradients through a layer (Glorot, Bengio 2010); torch's `xavier_uniform_`. */
export function xavierUniform(fanIn: number, fanOut: number): Init {
  return uniform(Math.sqrt(6 / (fanIn + fanOut)));
}

/** Uniform with bound 1/√fanIn: weights and biases of torch.nn.Linear (its Kaiming-uniform with a = √5, He et al. 2015). */
export function linearUniform(fanIn: number): Init {
  return uniform(1 / Math.sqrt(fanIn));
}

/** GPT-2's weights and embeddings: normal, standard deviation 0.02 (Radford et al. 2019). */
export const GPT2_STD = 0.02;

/**
 * GPT-2's projections into the residual stream: 0.02/√(2·nLayer), since each of the nLayer blocks adds two of them to it and the variance of the sum
 * should not grow with depth (Radford et al. 2019, section 2.3).
 */
export function residualStd(nLayer: number): number {
  return GPT2_STD / Math.sqrt(2 * nLayer);
}
