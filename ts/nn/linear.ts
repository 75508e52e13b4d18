// A linear layer. Nothing else: activations are ops, and a matrix product followed by one is fused in the graph.

import { type Init, linear, type Tensor, Variable } from '../graph';
import { checkSize } from './checks';
import { GPT2_STD, normal, zeros } from './init';
import type { LoraBranch } from './lora';
import { Module } from './module';

/** Options of `Linear`. */
export interface LinearOptions {
  /** Adds a bias, initially zero. Default true. */
  bias?: boolean;
  /** Initial weights. Default normal(0.02). */
  init?: Init;
}

/** y = x·W + b. The weight lies [in, out] as in GPT-2's Conv1D (torch.nn.Linear keeps the transpose). */
export class Linear extends Module {
  /** [inFeatures, outFeatures]; in int8 blocks [outFeatures, inFeatures] (`quantizeModule`) */
  weight: Variable;
  /** [outFeatures], absent with `bias: false` */
  readonly bias: Variable | undefined;
  /** What is added to the layer while an adapter is active (ts/adapters sets it); no parameter of the layer. */
  lora: LoraBranch | undefined = undefined;

  /** @throws INVALID_OPTION for sizes that are not positive integers */
  constructor(
    readonly inFeatures: number,
    readonly outFeatures: number,
    options: LinearOptions = {},
  ) {
    super();
    checkSize('Linear', 'inFeatures', inFeatures);
    checkSize('Linear', 'outFeatures', outFeatures);
    this.weight = new Variable({ name: 'weight', shape: [inFeatures, outFeatures], init: options.init ?? normal(GPT2_STD) });
    this.bias = options.bias === false ? undefined : new Variable({ name: 'bias', shape: [outFeatures], init: zeros });
  }

  /** @param x f32 [.., inFeatures] @returns f32 [.., outFeatures] */
  override forward(x: Tensor): Tensor {
    const y = linear(x, this.weight.tensor, this.bias?.tensor, { transposed: this.weight.dtype === 'q8', exact: this.training });
    return this.lora === undefined ? y : this.lora.addTo(y, x, this.training);
  }
}
