// Options that encoder and decoder layers share, with torch's defaults and initial values.

import { FerroError, show } from '../../errors';
import { gelu, type Init, relu, type Tensor } from '../../graph';
import { checkNames } from '../../options';
import { checkDropout, checkHeads, checkSize } from '../checks';
import { linearUniform, xavierUniform } from '../init';
import { LayerNorm } from '../layerNorm';
import { Projection } from '../projection';

/** Options of `TransformerEncoderLayer` and `TransformerDecoderLayer`: torch's, in camelCase. Sequences are always [B, T, C] (batch_first). */
export interface TransformerLayerOptions {
  /** Width C of the sequences. */
  dModel: number;
  /** Number of heads; must divide dModel. */
  nHead: number;
  /** Width F of the feed-forward part's hidden layer. Default 2048. */
  dimFeedforward?: number;
  /** Probability of dropping, in training, an attention weight, an activation of the hidden layer, an output of a part. Default 0.1. */
  dropout?: number;
  /** Of the feed-forward part: max(x, 0) (default) or the exact GELU. */
  activation?: 'relu' | 'gelu';
  /** Added to the variance in all norms. Default 1e-5. */
  layerNormEps?: number;
  /** True: norms before the parts, as in GPT-2. False (default): behind the sums, as in Vaswani et al. 2017. */
  normFirst?: boolean;
  /** Biases in linear layers and norms. Default true. */
  bias?: boolean;
  /**
   * 'linear' (default): initial values of torch's layers (in_proj Xavier-uniform, other weights and feed-forward biases ±1/√(inputs)). 'xavier': all
   * matrices Xavier-uniform, as torch.nn.Transformer makes them.
   */
  init?: 'linear' | 'xavier';
}

/** The names of `TransformerLayerOptions`. */
export const LAYER_OPTIONS = [
  'dModel',
  'nHead',
  'dimFeedforward',
  'dropout',
  'activation',
  'layerNormEps',
  'normFirst',
  'bias',
  'init',
] as const;

/** Options with their defaults. @throws INVALID_OPTION, UNKNOWN_OPTION */
export function resolveLayer(
  op: string,
  options: TransformerLayerOptions,
  known: readonly string[] = LAYER_OPTIONS,
): Required<TransformerLayerOptions> {
  checkNames(op, options, known);
  const {
    dModel,
    nHead,
    dimFeedforward = 2048,
    dropout = 0.1,
    activation = 'relu',
    layerNormEps = 1e-5,
    normFirst = false,
    bias = true,
    init = 'linear',
  } = options;
  for (const [name, value] of Object.entries({ dModel, nHead, dimFeedforward })) checkSize(op, name, value);
  checkHeads(op, dModel, nHead, 'dModel');
  checkDropout(op, dropout);
  checkOneOf(op, 'activation', activation, ['relu', 'gelu']);
  checkOneOf(op, 'init', init, ['linear', 'xavier']);
  return { dModel, nHead, dimFeedforward, dropout, activation, layerNormEps, normFirst, bias, init };
}

function checkOneOf(op: string, name: string, value: unknown, allowed: readonly unknown[]): void {
  if (allowed.includes(value)) return;
  throw new FerroError('INVALID_OPTION', `${op}: "${name}" must be ${allowed.join(' or ')}, got ${show(value)}`);
}

/** torch.nn.Linear with its initial values, or with Xavier-uniform weights. */
export function layerLinear(from: number, to: number, { bias, init }: Required<TransformerLayerOptions>): Projection {
  const weight: Init = init === 'xavier' ? xavierUniform(from, to) : linearUniform(from);
  return new Projection(from, to, { bias, init: weight, biasInit: linearUniform(from) });
}

/** A norm of the layer's width. */
export function layerNormOf({ dModel, layerNormEps: eps, bias }: Required<TransformerLayerOptions>): LayerNorm {
  return new LayerNorm(dModel, { eps, bias });
}

/** The activation by its name. */
export function activate(x: Tensor, activation: 'relu' | 'gelu'): Tensor {
  return activation === 'relu' ? relu(x) : gelu(x, 'none');
}
