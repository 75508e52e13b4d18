// The text kernels as JavaScript meets them: loaded once, started anew, refusing with a code. What they compute is tested in crates/text.
import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { createText } from '../wasm/text.js';
import { loadText } from './index';

const GPT2 = "I:'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

describe('loadText', () => {
  it('loads once for a realm', async () => {
    const [first, second] = await Promise.all([loadText(), loadText()]);
    expect(second).toBe(first);
    expect(await loadText({ textWasmUrl: 'file:///nowhere' })).toBe(first);
  });

  it('trains, encodes and decodes', async () => {
    const { Bpe, BpeTrainer, byte_order } = await loadText();
    const trainer = new BpeTrainer(GPT2);
    trainer.feed('low lower lowest low low');
    const merges = trainer.train(260, 1);
    const tokens = Array.from(byte_order(), (byte) => [byte]);
    for (let i = 0; i < merges.length; i += 3)
      if (merges[i + 2] === tokens.length) tokens.push([...tokens[merges[i]], ...tokens[merges[i + 1]]]);
    expect(tokens.slice(256).map((bytes) => String.fromCharCode(...bytes))).toEqual(['lo', 'low', ' low', ' lowe']);
    const bpe = new Bpe(
      GPT2,
      false,
      Uint8Array.from(tokens.flat()),
      Uint32Array.from(tokens, ({ length }) => length),
      merges,
    );
    expect([...bpe.encode('low lower')]).toEqual([257, 259, byte_order().indexOf(114)]);
    const lone = bpe.encode('a\ud800b');
    expect(new TextDecoder().decode(bpe.decode(lone))).toBe('a\ufffdb');
    expect(() => bpe.decode([300])).toThrow(/^TOKEN_OUT_OF_RANGE: decode: /);
    trainer.free();
    bpe.free();
  });

  it('starts several times from one module, and refuses with a code', async () => {
    const module = await WebAssembly.compile(await readFile(new URL('../wasm/text.wasm', import.meta.url)));
    const [one, two] = [createText(), createText()];
    one.initSync({ module });
    two.initSync({ module });
    expect(() => new one.Bpe('I:(', false, [], [], [])).toThrow(/^UNSUPPORTED_PATTERN: pattern: /);
    expect(() => new two.Bpe('', false, [1], [], [])).toThrow(/^INVALID_VOCABULARY: bpe: /);
    expect(() => new two.BpeTrainer('X')).toThrow(/^UNSUPPORTED_PATTERN: pattern: /);
  });
});
