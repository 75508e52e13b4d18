// What an architecture gives to be written as GGUF: its metadata and its tensors under llama.cpp's names.
import { FerroError } from '../../errors';
import type { CausalConfig } from '../../models';
import type { Tokenizer } from '../../tokenizers';
import type { GgufValue } from './container';

/** A model to write: what a folder that was opened, or a model in an engine, can give. */
export interface GgufSource<C extends CausalConfig> {
  readonly config: C;
  readonly tokenizer: Tokenizer | null;
  /** One parameter's values under this library's name, row-major; null for a bias that the model does not have. */
  read(name: string): Promise<Float32Array | null>;
}

/** A tensor before its type is chosen. */
export interface Part {
  readonly name: string;
  readonly shape: readonly number[];
  /** Always F32. */
  readonly exact?: boolean;
  read(): Promise<Float32Array>;
}

/** Metadata keys without the architecture's name before them, and the tensors. */
export interface Parts {
  readonly metadata: Map<string, GgufValue>;
  readonly parts: Part[];
}

export const u32 = (value: number): GgufValue => ({ type: 'u32', value });
export const f32 = (value: number): GgufValue => ({ type: 'f32', value });
export const text = (value: string): GgufValue => ({ type: 'string', value });

/** A parameter that every such model has. */
export async function required(read: GgufSource<CausalConfig>['read'], name: string): Promise<Float32Array> {
  const values = await read(name);
  if (values === null) throw new FerroError('INVALID_CHECKPOINT', `export: the model must have ${name}, got none`);
  return values;
}
