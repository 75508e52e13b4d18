// A table of vectors looked up by token id.

import { embedding, type Init, type Tensor, Variable } from '../graph';
import { checkSize, rowsOf } from './checks';
import { GPT2_STD, normal } from './init';
import { Module } from './module';

/** y[..] = weight[ids[..]]. An id outside the table is an error when the program runs (TOKEN_OUT_OF_RANGE), never a read of other memory. */
export class Embedding extends Module {
  /** [numEmbeddings, width] */
  weight: Variable;

  /** @throws INVALID_OPTION for sizes that are not positive integers */
  constructor(
    public numEmbeddings: number,
    readonly width: number,
    options: { init?: Init } = {},
  ) {
    super();
    checkSize('Embedding', 'numEmbeddings', numEmbeddings);
    checkSize('Embedding', 'width', width);
    this.weight = new Variable({ name: 'weight', shape: [numEmbeddings, width], init: options.init ?? normal(GPT2_STD) });
  }

  /** Takes another table [rows, width] in place of its own. @throws INVALID_SHAPE for another width */
  replace(weight: Variable): void {
    this.numEmbeddings = rowsOf('Embedding', weight, this.width);
    this.weight = weight;
  }

  /** @param ids i32 [..] @returns f32 [.., width] */
  override forward(ids: Tensor): Tensor {
    return embedding(this.weight.tensor, ids);
  }
}
