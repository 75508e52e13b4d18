// One layer of the original Transformer's encoder: torch.nn.TransformerEncoderLayer, batch first.

import { add, type Tensor } from '../../graph';
import { Dropout } from '../dropout';
import type { LayerNorm } from '../layerNorm';
import { Module } from '../module';
import type { Projection } from '../projection';
import { TransformerAttention } from './attention';
import { type AttentionMasks, checkSequence } from './masks';
import { activate, layerLinear, layerNormOf, resolveLayer, type TransformerLayerOptions } from './options';

/**
 * Self-attention and a feed-forward part, each beside a residual path: norm1(x + attention(x)), norm2(that + feedForward(that)); with `normFirst`
 * x + attention(norm1(x)) and so on (Vaswani et al. 2017; Xiong et al. 2020). The names of torch.nn.TransformerEncoderLayer.
 */
export class TransformerEncoderLayer extends Module {
  readonly self_attn: TransformerAttention;
  /** [F, C] */
  readonly linear1: Projection;
  readonly dropout: Dropout;
  /** [C, F] */
  readonly linear2: Projection;
  readonly norm1: LayerNorm;
  readonly norm2: LayerNorm;
  readonly dropout1: Dropout;
  readonly dropout2: Dropout;
  readonly options: Required<TransformerLayerOptions>;

  /** @throws INVALID_OPTION for sizes, dropout, activation or eps out of range; UNKNOWN_OPTION */
  constructor(options: TransformerLayerOptions) {
    super();
    this.options = resolveLayer('TransformerEncoderLayer', options);
    const { dModel, nHead, dimFeedforward, dropout, bias, init } = this.options;
    this.self_attn = new TransformerAttention({ dModel, nHead, dropout, bias, init });
    this.linear1 = layerLinear(dModel, dimFeedforward, this.options);
    this.dropout = new Dropout(dropout);
    this.linear2 = layerLinear(dimFeedforward, dModel, this.options);
    this.norm1 = layerNormOf(this.options);
    this.norm2 = layerNormOf(this.options);
    this.dropout1 = new Dropout(dropout);
    this.dropout2 = new Dropout(dropout);
  }

  /** @param src f32 [B, S, C] @returns f32 [B, S, C] */
  override forward(src: Tensor, masks: AttentionMasks = {}): Tensor {
    const { dModel, normFirst } = this.options;
    checkSequence('TransformerEncoderLayer', 'src', src, dModel, 'forward takes a sequence');
    const attend = (x: Tensor): Tensor => this.dropout1.forward(this.self_attn.forward(x, x, x, masks));
    return this.checkpoint(() => {
      if (normFirst) {
        const x = add(src, attend(this.norm1.forward(src)));
        return add(x, this.#feedForward(this.norm2.forward(x)));
      }
      const x = this.norm1.forward(add(src, attend(src)));
      return this.norm2.forward(add(x, this.#feedForward(x)));
    });
  }

  #feedForward(x: Tensor): Tensor {
    const hidden = activate(this.linear1.forward(x), this.options.activation);
    return this.dropout2.forward(this.linear2.forward(this.dropout.forward(hidden)));
  }
}
