// A linear layer whose weight lies [out, in], as in torch.nn.Linear and in Llama's files; a language model's head with weights of its own is one too (a
// tied head is the token table). `Linear` keeps GPT-2's [in, out].

import { type Init, linear, type Tensor, Variable } from '../graph';
import { checkSize, rowsOf } from './checks';
import { GPT2_STD, normal, zeros } from './init';
import type { LoraBranch } from './lora';
import { Module } from './module';

/** Options of `Projection`. */
export interface ProjectionOptions {
  /** Adds a bias. Default false. */
  bias?: boolean;
  /** Initial weights. Default normal(0.02). */
  init?: Init;
  /** Initial biases. Default zeros. */
  biasInit?: Init;
}

/** y = x·Wᵀ (+ b) with W [outFeatures, inFeatures]. */
export class Projection extends Module {
  /** [outFeatures, inFeatures]; int8 blocks or bf16 after `quantizeModule` */
  weight: Variable;
  /** [outFeatures], absent unless asked for */
  readonly bias: Variable | undefined;
  /** What is added to the layer while an adapter is active (ts/adapters sets it); no parameter of the layer. */
  lora: LoraBranch | undefined = undefined;

  /** @throws INVALID_OPTION for sizes that are not positive integers */
  constructor(
    readonly inFeatures: number,
    public outFeatures: number,
    options: ProjectionOptions = {},
  ) {
    super();
    checkSize('Projection', 'inFeatures', inFeatures);
    checkSize('Projection', 'outFeatures', outFeatures);
    this.weight = new Variable({ name: 'weight', shape: [outFeatures, inFeatures], init: options.init ?? normal(GPT2_STD) });
    this.bias = options.bias === true ? new Variable({ name: 'bias', shape: [outFeatures], init: options.biasInit ?? zeros }) : undefined;
  }

  /** Takes other weights [outputs, inFeatures] in place of its own; for a layer without bias. @throws INVALID_SHAPE for another width */
  replace(weight: Variable): void {
    this.outFeatures = rowsOf('Projection', weight, this.inFeatures);
    this.weight = weight;
  }

  /** @param x f32 [.., inFeatures] @returns f32 [.., outFeatures] */
  override forward(x: Tensor): Tensor {
    const y = linear(x, this.weight.tensor, this.bias?.tensor, { transposed: true, exact: this.training });
    return this.lora === undefined ? y : this.lora.addTo(y, x, this.training);
  }
}
