// config.json of a GPT in Hugging Face's GPT-2 layout, both ways. What the GPT-2 architecture there computes differently from ours is refused, never
// approximated; fields that change no number are ignored.
import { FerroError } from '../errors';
import { type GPTConfig, resolveConfig } from '../models/config';
import { parseJsonObject } from './files';

/** Special ids for config.json and generation_config.json: the tokenizer's, or null. */
export interface SpecialIds {
  bosId: number | null;
  eosId: number | null;
  padId: number | null;
}

/** Epsilon of every layer norm of our GPT, as of GPT-2's. */
const LAYER_NORM_EPSILON = 1e-5;
/** Names that Hugging Face gives to the tanh form of GELU. */
const TANH_GELU = ['gelu_new', 'gelu_pytorch_tanh'];

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
    n_inner: null,
    activation_function: 'gelu_new',
    embd_pdrop: config.dropout,
    resid_pdrop: config.dropout,
    attn_pdrop: config.dropout,
    layer_norm_epsilon: LAYER_NORM_EPSILON,
    initializer_range: 0.02,
    scale_attn_weights: true,
    scale_attn_by_inverse_layer_idx: false,
    tie_word_embeddings: true,
    bos_token_id: ids.bosId,
    eos_token_id: ids.eosId,
    pad_token_id: ids.padId,
    dtype: 'float32',
    // GPT2LMHeadModel ignores the next two: saved biases are zeros and the position table is saved as it is, so it computes the same.
    bias: config.bias,
    ferroformer: { version: 1, position_embedding: config.positionEmbedding, position_noise: config.positionNoise },
  };
}

/** generation_config.json: without it Python would take GPT-2's own end-of-text id. */
export function generationConfigToJson(ids: SpecialIds): Record<string, unknown> {
  return { bos_token_id: ids.bosId, eos_token_id: ids.eosId, pad_token_id: ids.padId };
}

/** Reads single fields of one config.json. */
class Fields {
  constructor(
    readonly name: string,
    readonly values: ReadonlyMap<string, unknown>,
  ) {}

  invalid(key: string, rule: string): FerroError {
    return new FerroError(
      'INVALID_CHECKPOINT',
      `${this.name}: "${key}" must be ${rule}, got ${JSON.stringify(this.values.get(key)) ?? 'none'}`,
    );
  }

  integer(key: string): number {
    const value = this.values.get(key);
    if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 1) throw this.invalid(key, 'a positive integer');
    return value;
  }

  number(key: string, fallback: number): number {
    const value = this.values.get(key) ?? fallback;
    if (typeof value !== 'number') throw this.invalid(key, 'a number');
    return value;
  }

  boolean(key: string, fallback: boolean): boolean {
    const value = this.values.get(key) ?? fallback;
    if (typeof value !== 'boolean') throw this.invalid(key, 'true or false');
    return value;
  }

  /** @throws NOT_BUILT unless the field has one of the values; absent counts as the first. */
  only(key: string, ...allowed: readonly unknown[]): void {
    const value = this.values.get(key);
    if (value === undefined || allowed.includes(value)) return;
    throw new FerroError(
      'NOT_BUILT',
      `${this.name}: "${key}" can only be ${allowed.map((v) => JSON.stringify(v)).join(' or ')} so far, got ${JSON.stringify(value)}`,
    );
  }
}

/** Refuses what this GPT does not compute. */
function requireSameFunction(fields: Fields, nEmbd: number): void {
  fields.only('activation_function', ...TANH_GELU);
  fields.only('n_inner', null, 4 * nEmbd);
  fields.only('layer_norm_epsilon', LAYER_NORM_EPSILON);
  fields.only('scale_attn_weights', true);
  fields.only('scale_attn_by_inverse_layer_idx', false);
  fields.only('add_cross_attention', false);
  fields.only('tie_word_embeddings', true);
  fields.only('quantization_config', null);
}

/** The one dropout of our GPT from GPT-2's three. */
function readDropout(fields: Fields): number {
  const [embd, resid, attn] = ['embd_pdrop', 'resid_pdrop', 'attn_pdrop'].map((key) => fields.number(key, 0.1));
  if (embd === resid && resid === attn) return embd;
  throw new FerroError(
    'NOT_BUILT',
    `${fields.name}: the three pdrops can only be equal so far, got embd ${embd}, resid ${resid}, attn ${attn}`,
  );
}

/** What only this library writes; absent in other folders. */
function readOwnPart(fields: Fields): { position: 'learned' | 'sinusoidal'; noise: number } {
  const value = fields.values.get('ferroformer');
  if (value === undefined) return { position: 'learned', noise: 0 };
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw fields.invalid('ferroformer', 'an object');
  const own = new Fields(`${fields.name} ferroformer`, new Map(Object.entries(value)));
  own.only('version', 1);
  const position = own.values.get('position_embedding') ?? 'learned';
  if (position !== 'learned' && position !== 'sinusoidal') throw own.invalid('position_embedding', '"learned" or "sinusoidal"');
  return { position, noise: own.number('position_noise', 0) };
}

/**
 * The configuration that a config.json's text describes. Unknown fields are ignored.
 * @throws INVALID_CHECKPOINT for a missing field or a wrong type; NOT_BUILT for another architecture or a variant that computes something else
 */
export function gptConfigFromJson(name: string, text: string): GPTConfig {
  const fields = new Fields(name, parseJsonObject(name, text));
  const type = fields.values.get('model_type');
  if (typeof type !== 'string') throw fields.invalid('model_type', 'a name');
  if (type !== 'gpt2') throw new FerroError('NOT_BUILT', `${name}: "model_type" can only be "gpt2" so far, got ${JSON.stringify(type)}`);
  const nEmbd = fields.integer('n_embd');
  requireSameFunction(fields, nEmbd);
  const { position, noise } = readOwnPart(fields);
  const options = {
    nLayer: fields.integer('n_layer'),
    nHead: fields.integer('n_head'),
    nEmbd,
    blockSize: fields.integer('n_positions'),
    vocabSize: fields.integer('vocab_size'),
    dropout: readDropout(fields),
    bias: fields.boolean('bias', true),
    positionEmbedding: position,
    positionNoise: noise,
  };
  try {
    return resolveConfig(options, name);
  } catch (cause) {
    throw new FerroError('INVALID_CHECKPOINT', (cause as Error).message, { cause });
  }
}
