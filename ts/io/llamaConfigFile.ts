// config.json of a Llama in Hugging Face's layout, both ways. What an architecture there computes differently from ours is refused, never approximated;
// fields that change no number are ignored. Rotary positions are said in two ways: `rope_theta` and `rope_scaling`, or (transformers 5) `rope_parameters`.
import { FerroError } from '../errors';
import type { RotaryScaling } from '../graph';
import { checkLlamaConfig, type LlamaConfig } from '../models';
import type { SpecialIds } from '../tokenizers';
import { ConfigFields } from './configFields';

/** The object that config.json holds. */
export function llamaConfigToJson(config: LlamaConfig, ids: SpecialIds): Record<string, unknown> {
  return {
    architectures: ['LlamaForCausalLM'],
    model_type: 'llama',
    vocab_size: config.vocabSize,
    max_position_embeddings: config.blockSize,
    hidden_size: config.nEmbd,
    intermediate_size: config.nInner,
    num_hidden_layers: config.nLayer,
    num_attention_heads: config.nHead,
    num_key_value_heads: config.nKvHead,
    head_dim: config.headDim,
    hidden_act: 'silu',
    rms_norm_eps: config.rmsNormEps,
    rope_theta: config.ropeTheta,
    rope_scaling: scalingToJson(config.ropeScaling),
    attention_bias: config.attentionBias,
    mlp_bias: config.mlpBias,
    attention_dropout: config.dropout,
    initializer_range: 0.02,
    tie_word_embeddings: config.tieWordEmbeddings,
    bos_token_id: ids.bosId,
    eos_token_id: ids.eosId,
    pad_token_id: ids.padId,
  };
}

/** `rope_scaling` as Hugging Face writes it. */
export function scalingToJson(scaling: RotaryScaling | null): Record<string, unknown> | null {
  if (scaling === null) return null;
  if (scaling.kind === 'linear') return { rope_type: 'linear', factor: scaling.factor };
  return {
    rope_type: 'llama3',
    factor: scaling.factor,
    low_freq_factor: scaling.lowFrequencyFactor,
    high_freq_factor: scaling.highFrequencyFactor,
    original_max_position_embeddings: scaling.originalPositions,
  };
}

/** `rope_parameters` or `rope_scaling`, whichever there is; no fields where there is neither. */
export function ropeFields(fields: ConfigFields): ConfigFields {
  const key = (fields.values.get('rope_parameters') ?? null) === null ? 'rope_scaling' : 'rope_parameters';
  const value = fields.values.get(key) ?? {};
  if (typeof value !== 'object' || Array.isArray(value)) throw fields.invalid(key, 'an object');
  return new ConfigFields(`${fields.name} ${key}`, new Map(Object.entries(value as object)));
}

/** The scaling that these fields say. @throws INVALID_CHECKPOINT, NOT_SUPPORTED */
export function readScaling(rope: ConfigFields): RotaryScaling | null {
  const positive = (key: string): number => {
    const value = rope.number(key, Number.NaN);
    if (!(value > 0 && Number.isFinite(value))) throw rope.invalid(key, 'a positive number');
    return value;
  };
  const kind = rope.values.get('rope_type') ?? rope.values.get('type') ?? 'default';
  switch (kind) {
    case 'default':
      return null;
    case 'linear':
      return { kind: 'linear', factor: positive('factor') };
    case 'llama3':
      return {
        kind: 'llama3',
        factor: positive('factor'),
        lowFrequencyFactor: positive('low_freq_factor'),
        highFrequencyFactor: positive('high_freq_factor'),
        originalPositions: rope.integer('original_max_position_embeddings'),
      };
    default:
      throw new FerroError('NOT_SUPPORTED', `${rope.name}: "rope_type" must be default, linear or llama3, got ${JSON.stringify(kind)}`);
  }
}

/**
 * The configuration that a config.json with `"model_type": "llama"` describes. Unknown fields are ignored.
 * @throws INVALID_CHECKPOINT for a missing field or a wrong type; NOT_BUILT, NOT_SUPPORTED for a variant that computes something else
 */
export function llamaConfigFromFields(fields: ConfigFields): LlamaConfig {
  fields.only('hidden_act', 'silu', 'swish');
  fields.only('quantization_config', null);
  fields.only('partial_rotary_factor', 1, null);
  const [nHead, nEmbd] = [fields.integer('num_attention_heads'), fields.integer('hidden_size')];
  const rope = ropeFields(fields);
  const theta = rope.values.has('rope_theta') ? rope.number('rope_theta', 10000) : fields.number('rope_theta', 10000);
  const options: LlamaConfig = {
    modelType: 'llama',
    nLayer: fields.integer('num_hidden_layers'),
    nHead,
    nKvHead: fields.optionalInteger('num_key_value_heads') ?? nHead,
    headDim: fields.optionalInteger('head_dim') ?? nEmbd / nHead,
    nEmbd,
    nInner: fields.integer('intermediate_size'),
    blockSize: fields.optionalInteger('max_position_embeddings') ?? 2048,
    vocabSize: fields.integer('vocab_size'),
    dropout: fields.number('attention_dropout', 0),
    rmsNormEps: fields.number('rms_norm_eps', 1e-6),
    ropeTheta: theta,
    ropeScaling: readScaling(rope),
    tieWordEmbeddings: fields.boolean('tie_word_embeddings', false),
    attentionBias: fields.boolean('attention_bias', false),
    mlpBias: fields.boolean('mlp_bias', false),
  };
  try {
    return checkLlamaConfig(fields.name, options);
  } catch (cause) {
    throw new FerroError('INVALID_CHECKPOINT', (cause as Error).message, { cause });
  }
}

/** The same for `"model_type": "mistral"`. @throws NOT_SUPPORTED where the sliding window is shorter than the context (4096 where it is not said) */
export function mistralConfigFromFields(fields: ConfigFields): LlamaConfig {
  const config = llamaConfigFromFields(fields);
  const window = fields.values.has('sliding_window') ? fields.optionalInteger('sliding_window') : 4096;
  if (window === undefined || window >= config.blockSize) return config;
  throw new FerroError(
    'NOT_SUPPORTED',
    `${fields.name}: "sliding_window" must be null or at least max_position_embeddings, ${config.blockSize}, got ${window}`,
  );
}
