// The command line's words for an adapter: none of them is ignored in silence.
import { describe, expect, it } from 'vitest';
import { FerroError } from '../errors';
import { adapterFromFlags, type LoraFlags } from './flags';

describe('flags of an adapter', () => {
  it('are its options with --lora-rank, and nothing without any', () => {
    expect(adapterFromFlags({ loraRank: 4, loraAlpha: 8, loraDropout: 0.1, loraTargetModules: ['c_attn'] })).toEqual({
      rank: 4,
      alpha: 8,
      dropout: 0.1,
      targetModules: ['c_attn'],
    });
    expect(adapterFromFlags({ loraDropout: 0 })).toBeNull(); // the default
  });

  it.each<[LoraFlags, string]>([
    [{ loraAlpha: 8 }, '--lora-alpha'],
    [{ loraDropout: 0.1 }, '--lora-dropout'],
    [{ loraTargetModules: ['c_attn'] }, '--lora-target-modules'],
  ])('%j needs --lora-rank', (flags, name) => {
    let error: unknown;
    try {
      adapterFromFlags(flags);
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toBeInstanceOf(FerroError);
    expect((error as FerroError).code).toBe('INVALID_OPTION');
    expect((error as FerroError).message).toContain(`"${name}" needs "--lora-rank"`);
  });
});
