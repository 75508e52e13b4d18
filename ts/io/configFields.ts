// config.json, whatever the architecture: its fields one by one with typed errors, and what every folder says the same way. Which fields there are and what
// they mean is the architecture's business (gptConfigFile.ts and its neighbours).
import { FerroError } from '../errors';
import type { SpecialIds } from '../tokenizers';
import { parseJsonObject } from './files';

/** generation_config.json: without it Python would take GPT-2's own end-of-text id. */
export function generationConfigToJson(ids: SpecialIds): Record<string, unknown> {
  return { bos_token_id: ids.bosId, eos_token_id: ids.eosId, pad_token_id: ids.padId };
}

/** Reads single fields of one config.json. */
export class ConfigFields {
  constructor(
    /** The file, for messages. */
    readonly name: string,
    readonly values: ReadonlyMap<string, unknown>,
  ) {}

  /** The fields of a file's text. @throws INVALID_FILE for anything but a JSON object */
  static parse(name: string, text: string): ConfigFields {
    return new ConfigFields(name, parseJsonObject(name, text));
  }

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

  /** Undefined where the field is absent or null. */
  optionalInteger(key: string): number | undefined {
    return (this.values.get(key) ?? null) === null ? undefined : this.integer(key);
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
