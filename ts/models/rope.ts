// Rotary positions as an option of all architectures that have them: how their scaling is said, and a configuration's context changed when it is loaded.

import { FerroError, show } from '../errors';
import type { RotaryScaling } from '../graph';
import type { RopeScalingOption } from '../options';
import type { CausalConfig } from './causalLM';
import { SIZE_LIMITS } from './sizes';

/** Base of the rotary positions where none is given. */
export const ROPE_THETA = 10000;

/** What a configuration with rotary positions says of them. */
export interface RopeConfig {
  /** Base of the rotary positions. */
  readonly ropeTheta: number;
  /** How the rotary positions are stretched; null: not. */
  readonly ropeScaling: RotaryScaling | null;
}

/** The scaling that an option says: itself, or `none`, `linear:FACTOR`, `llama3:FACTOR:LOW:HIGH:POSITIONS`. The option is checked already. */
export function readRopeScaling(option: RopeScalingOption | undefined): RotaryScaling | null {
  if (option === undefined || option === 'none') return null;
  if (typeof option !== 'string') return option;
  const [kind, factor, lowFrequencyFactor, highFrequencyFactor, originalPositions] = option
    .split(':')
    .map((part, i) => (i === 0 ? part : Number(part)));
  if (kind === 'linear') return { kind: 'linear', factor: factor as number };
  return { kind: 'llama3', factor, lowFrequencyFactor, highFrequencyFactor, originalPositions } as RotaryScaling;
}

/** What may be changed of a model's context when it is loaded. */
export interface ContextOptions {
  /** Longest context in tokens: longer than the folder says where positions are rotary. */
  blockSize?: number;
  ropeTheta?: number;
  ropeScaling?: RopeScalingOption;
}

/**
 * The configuration with another context. Rotary positions are computed for any length, while a table of positions holds as many as were trained.
 * @throws INVALID_OPTION for a model without rotary positions whose blockSize would change, or that has nothing to stretch
 */
export function withContext<C extends CausalConfig>(
  op: string,
  config: C,
  { blockSize = config.blockSize, ropeTheta, ropeScaling }: ContextOptions,
): C {
  const changes = {
    ...(ropeTheta === undefined ? {} : { ropeTheta }),
    ...(ropeScaling === undefined ? {} : { ropeScaling: readRopeScaling(ropeScaling) }),
  };
  if (blockSize === config.blockSize && Object.keys(changes).length === 0) return config;
  if (!('ropeTheta' in config)) {
    const [name, got] = blockSize === config.blockSize ? Object.entries(changes)[0] : ['blockSize', blockSize];
    throw new FerroError(
      'INVALID_OPTION',
      `${op}: "${name}" can only be given for a model with rotary positions, got ${show(got)} for a table of ${config.blockSize}`,
    );
  }
  if (blockSize > SIZE_LIMITS.blockSize)
    throw new FerroError('INVALID_OPTION', `${op}: "blockSize" must be at most ${SIZE_LIMITS.blockSize}, got ${blockSize}`);
  return Object.freeze({ ...config, blockSize, ...changes });
}
