import { describe, expect, it } from 'vitest';
import { resolveConfig } from '../../models/config';
import { ByteTokenizer, CharTokenizer } from '../../tokenizers';
import { fromFloat16, toFloat16 } from '../floats';
import { type GgufValue, writeGguf } from './container';
import { encodeTensor } from './encodings';
import { interleaveHalves, transposed } from './layouts';
import { modelToGguf } from './model';
import { tokenizerMetadata } from './tokenizer';

const code = (name: string) => expect.objectContaining({ code: name });

async function bytesOf(file: { sizeBytes: number; pieces(): AsyncIterable<Uint8Array> }): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = new Uint8Array(file.sizeBytes);
  let at = 0;
  for await (const piece of file.pieces()) {
    bytes.set(piece, at);
    at += piece.length;
  }
  expect(at).toBe(file.sizeBytes);
  return bytes;
}

/** A reader of the format, written from its description alone. */
function read(bytes: Uint8Array<ArrayBuffer>) {
  const view = new DataView(bytes.buffer);
  let at = 0;
  const take = (size: number) => {
    at += size;
    return at - size;
  };
  const u32 = () => view.getUint32(take(4), true);
  const u64 = () => Number(view.getBigUint64(take(8), true));
  const string = () => {
    const length = u64();
    const begin = take(length);
    return new TextDecoder().decode(bytes.subarray(begin, begin + length));
  };
  const value = (type: number): unknown => {
    if (type === 4) return u32();
    if (type === 5) return view.getInt32(take(4), true);
    if (type === 6) return view.getFloat32(take(4), true);
    if (type === 7) return bytes[take(1)] === 1;
    if (type === 8) return string();
    if (type !== 9) throw new Error(`type ${type}`);
    const element = u32();
    return Array.from({ length: u64() }, () => value(element));
  };
  expect(new TextDecoder().decode(bytes.subarray(0, 4))).toBe('GGUF');
  at = 4;
  expect(u32()).toBe(3);
  const [tensorCount, valueCount] = [u64(), u64()];
  const metadata = new Map(Array.from({ length: valueCount }, () => [string(), value(u32())]));
  const tensors = Array.from({ length: tensorCount }, () => {
    const name = string();
    const shape = Array.from({ length: u32() }, u64).reverse();
    return { name, shape, type: u32(), offset: u64() };
  });
  const start = Math.ceil(at / 32) * 32;
  return { metadata, tensors, dataOf: (offset: number, length: number) => bytes.slice(start + offset, start + offset + length) };
}

describe('binary16', () => {
  const all = Uint16Array.from({ length: 65536 }, (_, bits) => bits);
  const finite = all.filter((bits) => (bits & 0x7c00) !== 0x7c00);

  it('gives back every value it can hold', () => {
    expect(toFloat16(fromFloat16(finite))).toEqual(finite);
    expect(toFloat16(Float32Array.of(Infinity, -Infinity))).toEqual(Uint16Array.of(0x7c00, 0xfc00));
    expect(toFloat16(Float32Array.of(Number.NaN))[0] & 0x7fff).toBeGreaterThan(0x7c00);
  });

  it('rounds to the nearest, ties to even, between any two neighbours', () => {
    const values = fromFloat16(Uint16Array.from({ length: 0x7c00 }, (_, bits) => bits));
    const [middle, below, above] = [new Float32Array(0x7bff), new Float32Array(0x7bff), new Float32Array(0x7bff)];
    const bits = new Uint32Array(1);
    const one = new Float32Array(bits.buffer);
    for (let i = 0; i < 0x7bff; i++) {
      middle[i] = (values[i] + values[i + 1]) / 2; // exact: f32 has thirteen more bits
      one[0] = middle[i];
      bits[0] -= 1;
      below[i] = one[0];
      bits[0] += 2;
      above[i] = one[0];
    }
    const index = Uint16Array.from({ length: 0x7bff }, (_, i) => i);
    expect(toFloat16(below)).toEqual(index);
    expect(toFloat16(above)).toEqual(index.map((i) => i + 1));
    expect(toFloat16(middle)).toEqual(index.map((i) => i + (i % 2)));
    expect(toFloat16(Float32Array.of(65519.99, 65520, 1e-45))).toEqual(Uint16Array.of(0x7bff, 0x7c00, 0));
  });
});

describe('encodeTensor', () => {
  it('writes Q8_0 within half a step of every value', () => {
    const values = Float32Array.from({ length: 96 }, (_, i) => Math.sin(i) * 10 ** ((i >> 5) - 1));
    const bytes = encodeTensor('w', 'Q8_0', values);
    expect(bytes.length).toBe(3 * 34);
    const view = new DataView(bytes.buffer);
    for (let block = 0; block < 3; block++) {
      const scale = fromFloat16(Uint16Array.of(view.getUint16(block * 34, true)))[0];
      const largest = Math.max(...values.subarray(block * 32, block * 32 + 32).map(Math.abs));
      expect(Math.abs(scale - largest / 127)).toBeLessThanOrEqual(largest / 127 / 2048);
      for (let i = 0; i < 32; i++) {
        const got = scale * view.getInt8(block * 34 + 2 + i);
        expect(Math.abs(got - values[block * 32 + i])).toBeLessThanOrEqual(scale * 0.5 + largest / 2048);
      }
    }
    expect(encodeTensor('w', 'Q8_0', new Float32Array(32))).toEqual(new Uint8Array(34));
  });

  it('refuses numbers that a type does not hold', () => {
    expect(() => encodeTensor('w', 'F32', Float32Array.of(1, Number.NaN))).toThrow(code('NON_FINITE_WEIGHTS'));
    expect(() => encodeTensor('w', 'F16', Float32Array.of(1, -7e4))).toThrow('export: "dtype" float16 must hold every weight');
    expect(() => encodeTensor('w', 'F16', Float32Array.of(1, -7e4))).toThrow(code('INVALID_OPTION'));
  });
});

describe('layouts', () => {
  it('transposes, and brings the halves of a head together', () => {
    const m = Float32Array.from({ length: 70 * 45 }, (_, i) => i);
    const t = transposed(m, 70, 45);
    for (const [r, c] of [
      [0, 0],
      [69, 44],
      [33, 31],
      [31, 33],
    ])
      expect(t[c * 70 + r]).toBe(m[r * 45 + c]);
    expect(transposed(t, 45, 70)).toEqual(m);
    // Two heads of 4 rows, one column: 0 1 | 2 3 and 4 5 | 6 7.
    expect(Array.from(interleaveHalves(Float32Array.of(0, 1, 2, 3, 4, 5, 6, 7), 2, 4, 1))).toEqual([0, 2, 1, 3, 4, 6, 5, 7]);
  });
});

describe('writeGguf', () => {
  it('writes header, metadata, tensors and aligned bytes', async () => {
    const metadata = new Map<string, GgufValue>([
      ['a.u', { type: 'u32', value: 4294967295 }],
      ['a.i', { type: 'i32s', value: [-1, 2] }],
      ['a.f', { type: 'f32', value: 0.5 }],
      ['a.b', { type: 'bool', value: true }],
      ['a.s', { type: 'strings', value: ['ä🐋', ''] }],
      ['a.e', { type: 'strings', value: [] }],
      ['a.g', { type: 'f32s', value: [1.5] }],
    ]);
    const values = { one: Float32Array.of(1, 2, 3), two: Float32Array.of(1, 2, 3, 4, 5, 6) };
    const file = writeGguf({
      metadata,
      tensors: [
        { name: 'one', shape: [3], type: 'F32', read: async () => values.one },
        { name: 'two', shape: [2, 3], type: 'F16', read: async () => values.two },
      ],
    });
    const bytes = await bytesOf(file);
    expect(await bytesOf(file)).toEqual(bytes); // twice the same
    const { metadata: got, tensors, dataOf } = read(bytes);
    expect([...got]).toEqual([
      ['a.u', 4294967295],
      ['a.i', [-1, 2]],
      ['a.f', 0.5],
      ['a.b', true],
      ['a.s', ['ä🐋', '']],
      ['a.e', []],
      ['a.g', [1.5]],
    ]);
    expect(tensors).toEqual([
      { name: 'one', shape: [3], type: 0, offset: 0 },
      { name: 'two', shape: [2, 3], type: 1, offset: 32 },
    ]);
    expect(new Float32Array(dataOf(0, 12).buffer)).toEqual(values.one);
    expect(fromFloat16(new Uint16Array(dataOf(32, 12).buffer))).toEqual(values.two);
  });

  it('refuses shapes that do not fit', async () => {
    const tensor = { name: 'w', shape: [2, 40], type: 'Q8_0', read: async () => new Float32Array(80) } as const;
    expect(() => writeGguf({ metadata: new Map(), tensors: [tensor] })).toThrow(code('INVALID_SHAPE'));
    const short = writeGguf({ metadata: new Map(), tensors: [{ ...tensor, type: 'F32', read: async () => new Float32Array(79) }] });
    await expect(bytesOf(short)).rejects.toThrow(code('INVALID_SHAPE'));
  });
});

describe('modelToGguf', () => {
  const config = resolveConfig({ nLayer: 1, nHead: 2, nEmbd: 8, blockSize: 6, vocabSize: 5, bias: false });
  const source = {
    config,
    tokenizer: CharTokenizer.fromText('ab\n'),
    read: async (name: string) => {
      if (name.endsWith('.bias')) return null;
      const sizes: Record<string, number> = { 'transformer.wte.weight': 40, 'transformer.wpe.weight': 48, c_attn: 192, c_fc: 256 };
      const size =
        sizes[name] ?? sizes[name.split('.').at(-2)!] ?? (name.includes('attn.c_proj') ? 64 : name.includes('mlp.c_proj') ? 256 : 8);
      return Float32Array.from({ length: size }, (_, i) => i);
    },
  };

  it("writes GPT-2's tensors: matrices transposed, biases as zeros, vectors and positions always F32", async () => {
    const { metadata, tensors, dataOf } = read(await bytesOf(modelToGguf(source, { dtype: 'float16', name: 'tiny' })));
    expect(Object.fromEntries(metadata)).toMatchObject({
      'general.architecture': 'gpt2',
      'general.name': 'tiny',
      'general.file_type': 1,
      'gpt2.block_count': 1,
      'gpt2.context_length': 6,
      'gpt2.embedding_length': 8,
      'gpt2.feed_forward_length': 32,
      'gpt2.attention.head_count': 2,
      'gpt2.vocab_size': 5,
      'tokenizer.ggml.tokens': ['Ċ', 'a', 'b', '[PAD3]', '[PAD4]'],
      'tokenizer.ggml.eos_token_id': 3,
      'tokenizer.ggml.token_type': [1, 1, 1, 5, 5],
    });
    const byName = new Map(tensors.map((tensor) => [tensor.name, tensor]));
    expect([...byName.keys()]).toEqual([
      'token_embd.weight',
      'position_embd.weight',
      ...['attn_norm', 'attn_qkv', 'attn_output', 'ffn_norm', 'ffn_up', 'ffn_down'].flatMap((part) => [
        `blk.0.${part}.weight`,
        `blk.0.${part}.bias`,
      ]),
      'output_norm.weight',
      'output_norm.bias',
    ]);
    expect(byName.get('position_embd.weight')).toMatchObject({ shape: [6, 8], type: 0 });
    expect(byName.get('blk.0.ffn_norm.weight')).toMatchObject({ shape: [8], type: 0 });
    const qkv = byName.get('blk.0.attn_qkv.weight')!;
    expect(qkv).toMatchObject({ shape: [24, 8], type: 1 });
    const matrix = fromFloat16(new Uint16Array(dataOf(qkv.offset, 384).buffer));
    expect(matrix).toEqual(
      transposed(
        Float32Array.from({ length: 192 }, (_, i) => i),
        8,
        24,
      ),
    );
    expect(dataOf(byName.get('blk.0.attn_qkv.bias')!.offset, 96)).toEqual(new Uint8Array(96));
  });

  it('writes rows that are not whole blocks as F16 with q8_0', async () => {
    const { tensors } = read(await bytesOf(modelToGguf(source, { dtype: 'q8_0' })));
    const types = new Map(tensors.map(({ name, type }) => [name, type]));
    expect([types.get('token_embd.weight'), types.get('blk.0.ffn_down.weight')]).toEqual([1, 8]);
  });
});

describe('tokenizerMetadata', () => {
  const plain = (files: Map<string, string>, ids = {}, vocabSize = 0) => {
    const metadata = tokenizerMetadata(files, { bosId: null, eosId: null, padId: null, ...ids }, vocabSize);
    return Object.fromEntries(Array.from(metadata, ([key, { value }]) => [key.replace('tokenizer.ggml.', ''), value]));
  };
  const byteLevel = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true };
  const bpe = (changes: object = {}, model: object = {}) =>
    new Map([
      [
        'tokenizer.json',
        JSON.stringify({
          added_tokens: [{ id: 3, content: '<|endoftext|>', special: true }],
          normalizer: null,
          pre_tokenizer: byteLevel,
          post_processor: null,
          model: { type: 'BPE', vocab: { a: 0, Ġ: 1, aa: 2, '<|endoftext|>': 3 }, merges: [['a', 'a']], ...model },
          ...changes,
        }),
      ],
    ]);
  const llama3 =
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
  const split = (Regex: string) => ({
    type: 'Sequence',
    pretokenizers: [
      { type: 'Split', pattern: { Regex }, behavior: 'Isolated', invert: false },
      { ...byteLevel, use_regex: false },
    ],
  });
  const template = (single: unknown[]) => ({
    type: 'TemplateProcessing',
    single,
    special_tokens: { '<|endoftext|>': { id: '<|endoftext|>', ids: [3], tokens: ['<|endoftext|>'] } },
  });

  it('bytes, and characters of one byte, become literal tokens with no end that a character could be taken for', () => {
    expect(plain(CharTokenizer.fromText('\\ a\t').toFiles(), {}, 4)).toEqual({
      model: 'rwkv',
      tokens: ['\\x09', '\\x20', '\\x5c', 'a'],
      token_type: [1, 1, 1, 1],
      unknown_token_id: 1,
      add_bos_token: false,
      add_eos_token: false,
    });
    const bytes = plain(new ByteTokenizer().toFiles());
    const tokens = bytes.tokens as string[];
    expect([bytes.model, tokens[0], tokens[65], tokens[255], tokens.length]).toEqual(['rwkv', '\\x00', 'A', '\\xff', 256]);
  });

  it('other characters become BPE whose merges spell them, where an id is left for the end; else they are refused', () => {
    const files = CharTokenizer.fromText('é–🐋a').toFiles();
    expect(plain(files, {}, 5)).toEqual({
      model: 'gpt2',
      pre: 'gpt-2',
      tokens: ['a', 'Ã©', 'âĢĵ', 'ðŁĲĭ', '[PAD4]'],
      token_type: [1, 1, 1, 1, 5],
      merges: ['Ã ©', 'â Ģ', 'âĢ ĵ', 'ð Ł', 'ðŁ Ĳ', 'ðŁĲ ĭ'],
      bos_token_id: 4,
      eos_token_id: 4,
      add_bos_token: false,
      add_eos_token: false,
    });
    expect(() => plain(files, {}, 4)).toThrow('make the model with "vocabSize" 5');
    expect(() => plain(files, {}, 4)).toThrow(code('NOT_SUPPORTED'));
  });

  it('byte-level BPE becomes "gpt2" with the name of its rule of splitting', () => {
    expect(plain(bpe(), { bosId: 3, eosId: 3 }, 5)).toEqual({
      model: 'gpt2',
      pre: 'gpt-2',
      tokens: ['a', 'Ġ', 'aa', '<|endoftext|>', '[PAD4]'],
      token_type: [1, 1, 1, 3, 5],
      merges: ['a a'],
      bos_token_id: 3,
      eos_token_id: 3,
      add_bos_token: false,
      add_eos_token: false,
    });
    const pre = (pre_tokenizer: unknown, ignore_merges = false) => plain(bpe({ pre_tokenizer }, { ignore_merges }), { eosId: 3 }).pre;
    expect(pre(split(llama3))).toBe('dbrx');
    expect(pre(split(llama3), true)).toBe('llama-bpe');
    expect(pre(split(llama3.replace('{1,3}', '')))).toBe('qwen2');
    expect(pre({ type: 'Sequence', pretokenizers: [{ type: 'Digits', individual_digits: true }, byteLevel] })).toBe('smollm');
  });

  it('says what is put around a text', () => {
    const begin = { SpecialToken: { id: '<|endoftext|>', type_id: 0 } };
    const text = { Sequence: { id: 'A', type_id: 0 } };
    const post_processor = { type: 'Sequence', processors: [byteLevel, template([begin, text])] };
    expect(plain(bpe({ post_processor }))).toMatchObject({ bos_token_id: 3, eos_token_id: 3, add_bos_token: true, add_eos_token: false });
    expect(plain(bpe({ post_processor: template([text, begin]) }))).toMatchObject({ add_bos_token: false, add_eos_token: true });
    expect(() => plain(bpe({ post_processor: template([begin, begin, text]) }))).toThrow(code('NOT_SUPPORTED'));
  });

  it.each([
    ['another model', bpe({ model: { type: 'Unigram', vocab: [] } })],
    [
      'words',
      new Map([
        ['tokenizer.json', JSON.stringify({ model: { type: 'WordLevel', vocab: { the: 0 } }, pre_tokenizer: { type: 'Whitespace' } })],
      ]),
    ],
    ['a normalizer', bpe({ normalizer: { type: 'NFC' } })],
    ['another rule of splitting', bpe({ pre_tokenizer: split('\\w+') })],
    ['a space in front', bpe({ pre_tokenizer: { ...byteLevel, add_prefix_space: true } })],
    ['no bytes', bpe({ pre_tokenizer: { type: 'Metaspace' } })],
    ['byte fallback', bpe({}, { byte_fallback: true })],
    ['flags of an added token', bpe({ added_tokens: [{ id: 3, content: '<x>', special: false, lstrip: true }] })],
  ])('refuses %s', (_, files) => {
    expect(() => plain(files, { eosId: 3 })).toThrow(code('NOT_SUPPORTED'));
  });

  it('refuses BPE without a token for the end: llama.cpp would take id 11', () => {
    expect(() => plain(bpe())).toThrow('a BPE tokenizer must have a beginning- or end-of-text token');
  });

  it('keeps a chat template', () => {
    const files = bpe().set('tokenizer_config.json', JSON.stringify({ chat_template: '{{ messages }}' }));
    expect(plain(files, { eosId: 3 })['tokenizer.chat_template']).toBe('{{ messages }}');
  });
});
