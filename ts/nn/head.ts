// A language model's head with weights of its own. A tied head needs no module: it is the token table.

import { linear, type Tensor, Variable } from '../graph';
import { checkSize } from './checks';
import { GPT2_STD, normal } from './init';
import { Module } from './module';

/** logits = x·Wᵀ, without a bias. The weight lies [vocabSize, width], as in a token table and as Hugging Face's `lm_head.weight`. */
export class Head extends Module {
  /** [vocabSize, width] */
  weight: Variable;

  /** @throws INVALID_OPTION for sizes that are not positive integers */
  constructor(
    readonly vocabSize: number,
    readonly width: number,
  ) {
    super();
    checkSize('Head', 'vocabSize', vocabSize);
    checkSize('Head', 'width', width);
    this.weight = new Variable({ name: 'weight', shape: [vocabSize, width], init: normal(GPT2_STD) });
  }

  /** @param x f32 [.., width] @returns f32 [.., vocabSize] */
  override forward(x: Tensor): Tensor {
    return linear(x, this.weight.tensor, undefined, { transposed: true });
  }
}
