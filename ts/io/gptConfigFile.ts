// config.json of a GPT in Hugging Face's GPT-2 layout, both ways. What the GPT-2 architecture there computes differently from ours is refused, never
// approximated; fields that change no number are ignored.
import { FerroError } from '../errors';
import { type GPTConfig, type GPTConfigOptions, resolveConfig } from '../models/config';
import { ROPE_THETA } from '../models/rope';
import type { SpecialIds } from '../tokenizers';
import { ConfigFields } from './configFields';
import { readScaling, ropeFields, scalingToJson } from './llamaConfigFile';
import { BASE_TYPE } from './quantized';

/** The object that config.json holds. */
export function gptConfigToJson(config: GPTConfig, ids: SpecialIds): Record<string, unknown> {
  return {
    architectures: ['GPT2LMHeadModel'],
    model_type: 'gpt2',
    vocab_size: config.vocabSize,
    n_positions: config.blockSize,
    n_embd: config.nEmbd,
    n_layer: config.nLayer,
    n_head: config.nHead,
    n_inner: config.nInner === 4 * config.nEmbd ? null : config.nInner,
    activation_function: config.activationFunction,
    embd_pdrop: config.embdPdrop,
    resid_pdrop: config.residPdrop,
    attn_pdrop: config.attnPdrop,
    layer_norm_epsilon: config.layerNormEpsilon,
    initializer_range: 0.02,
    scale_attn_weights: true,
    scale_attn_by_inverse_layer_idx: false,
    tie_word_embeddings: config.tieWordEmbeddings,
    bos_token_id: ids.bosId,
    eos_token_id: ids.eosId,
    pad_token_id: ids.padId,
    // GPT2LMHeadModel ignores the next two: saved biases are zeros and the position table is saved as it is, so it computes the same.
    bias: config.bias,
    ferroformer: ownPart(config),
  };
}

/** What is not GPT-2's. Version 2 is for rotary positions, which transformers' GPT-2 does not compute: such a folder says that it is this library's. */
function ownPart({ positionEmbedding, positionNoise, ropeTheta, ropeScaling = null }: GPTConfig): Record<string, unknown> {
  if (positionEmbedding !== 'rotary') return { version: 1, position_embedding: positionEmbedding, position_noise: positionNoise };
  return { version: 2, position_embedding: 'rotary', rope_theta: ropeTheta, rope_scaling: scalingToJson(ropeScaling) };
}

/** Refuses what this GPT does not compute. */
function requireSameFunction(fields: ConfigFields): void {
  fields.only('activation_function', 'gelu_new', 'gelu_pytorch_tanh', 'gelu', 'relu');
  fields.only('scale_attn_weights', true);
  fields.only('scale_attn_by_inverse_layer_idx', false);
  fields.only('add_cross_attention', false);
  fields.only('quantization_config', null);
}

/** The three pdrops; GPT-2's own default is 0.1 each. */
function readDropouts(fields: ConfigFields): Pick<GPTConfigOptions, 'dropout' | 'embdPdrop' | 'residPdrop' | 'attnPdrop'> {
  const [embdPdrop, residPdrop, attnPdrop] = ['embd_pdrop', 'resid_pdrop', 'attn_pdrop'].map((key) => fields.number(key, 0.1));
  return { dropout: residPdrop, embdPdrop, residPdrop, attnPdrop };
}

/** What only this library writes; absent in other folders. */
function readOwnPart(fields: ConfigFields): Pick<GPTConfigOptions, 'positionEmbedding' | 'positionNoise' | 'ropeTheta' | 'ropeScaling'> {
  const value = fields.values.get('ferroformer');
  if (value === undefined) return {};
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw fields.invalid('ferroformer', 'an object');
  const own = new ConfigFields(`${fields.name} ferroformer`, new Map(Object.entries(value)));
  if (fields.values.get(BASE_TYPE) !== undefined && own.values.get('version') === 2) {
    if (own.values.get('position_embedding') !== 'rotary') throw own.invalid('position_embedding', '"rotary" in version 2');
    const scaling = readScaling(ropeFields(own));
    return { positionEmbedding: 'rotary', ropeTheta: own.number('rope_theta', ROPE_THETA), ropeScaling: scaling ?? 'none' };
  }
  own.only('version', 1);
  const position = own.values.get('position_embedding') ?? 'learned';
  if (position !== 'learned' && position !== 'sinusoidal') throw own.invalid('position_embedding', '"learned" or "sinusoidal"');
  return { positionEmbedding: position, positionNoise: own.number('position_noise', 0) };
}

/**
 * The configuration that a config.json with `"model_type": "gpt2"` describes (GPT-2, DistilGPT-2, DialoGPT and their like). Unknown fields are ignored.
 * @throws INVALID_CHECKPOINT for a missing field or a wrong type; NOT_BUILT for a variant that computes something else
 */
export function gptConfigFromFields(fields: ConfigFields): GPTConfig {
  requireSameFunction(fields);
  const nEmbd = fields.integer('n_embd');
  const options: GPTConfigOptions = {
    nLayer: fields.integer('n_layer'),
    nHead: fields.integer('n_head'),
    nEmbd,
    // The first GPT-2 folders called it n_ctx as well.
    blockSize: fields.values.has('n_positions') ? fields.integer('n_positions') : fields.integer('n_ctx'),
    vocabSize: fields.integer('vocab_size'),
    nInner: fields.optionalInteger('n_inner') ?? 4 * nEmbd,
    activationFunction: (fields.values.get('activation_function') ?? 'gelu_new') as GPTConfig['activationFunction'],
    layerNormEpsilon: fields.number('layer_norm_epsilon', 1e-5),
    ...readDropouts(fields),
    bias: fields.boolean('bias', true),
    tieWordEmbeddings: fields.boolean('tie_word_embeddings', true),
    ...readOwnPart(fields),
  };
  try {
    return resolveConfig(options, fields.name);
  } catch (cause) {
    throw new FerroError('INVALID_CHECKPOINT', (cause as Error).message, { cause });
  }
}
