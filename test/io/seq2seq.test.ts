// The folder of a sequence-to-sequence model: what is in it, that loading gives the model back, and what broken ones get. PyTorch reads it in test/python/test_seq2seq.py.
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ByteTokenizer, CharTokenizer, type FerroError, GPT, loadModel, Transformer } from 'ferroformer';
import { describe, expect, test } from 'vitest';
import { rejection } from '../generate/support';
import { makeModel } from '../support/seq2seq';
import { hashParameters, openEngine, scratch, sharedEngine } from '../support/training';

const json = async (path: string) => JSON.parse(await readFile(path, 'utf8'));

/** The names of torch.nn.Transformer's state dict for one layer of each half, less the halves' names. */
const TORCH = {
  encoder: `layers.0.self_attn.in_proj_weight layers.0.self_attn.in_proj_bias layers.0.self_attn.out_proj.weight layers.0.self_attn.out_proj.bias
    layers.0.linear1.weight layers.0.linear1.bias layers.0.linear2.weight layers.0.linear2.bias
    layers.0.norm1.weight layers.0.norm1.bias layers.0.norm2.weight layers.0.norm2.bias norm.weight norm.bias`,
  decoder: `layers.0.self_attn.in_proj_weight layers.0.self_attn.in_proj_bias layers.0.self_attn.out_proj.weight layers.0.self_attn.out_proj.bias
    layers.0.multihead_attn.in_proj_weight layers.0.multihead_attn.in_proj_bias layers.0.multihead_attn.out_proj.weight layers.0.multihead_attn.out_proj.bias
    layers.0.linear1.weight layers.0.linear1.bias layers.0.linear2.weight layers.0.linear2.bias
    layers.0.norm1.weight layers.0.norm1.bias layers.0.norm2.weight layers.0.norm2.bias layers.0.norm3.weight layers.0.norm3.bias norm.weight norm.bias`,
};
const names = (half: 'encoder' | 'decoder') => TORCH[half].split(/\s+/).map((name) => `${half}.${name}`);

describe('a folder', () => {
  test("has torch's names and this library's fields, and gives the model back", async () => {
    const engine = await sharedEngine();
    const folder = join(await scratch(), 'model');
    const model = await makeModel(engine, { dropout: 0.1, tieWordEmbeddings: false });
    await model.save(folder);
    expect((await readdir(folder)).sort()).toEqual([
      'complete.json',
      'config.json',
      'model.safetensors',
      'tokenizer.json',
      'tokenizer_config.json',
    ]);
    expect(await json(join(folder, 'config.json'))).toEqual({
      model_type: 'ferroformer',
      architecture: 'transformer',
      version: 1,
      input_kind: 'tokens',
      input_dim: 9,
      output_dim: 9,
      d_model: 32,
      n_head: 4,
      n_encoder_layer: 1,
      n_decoder_layer: 1,
      dim_feedforward: 128,
      dropout: 0.1,
      activation_function: 'relu',
      layer_norm_epsilon: 1e-5,
      norm_first: true,
      bias: true,
      position_embedding: 'sinusoidal',
      share_embeddings: true,
      tie_word_embeddings: false,
      max_source_length: 10,
      max_target_length: 12,
      bos_token_id: 8,
      eos_token_id: 8,
      pad_token_id: 8,
      dtype: 'float32',
    });
    const tables = ['target_embedding.weight', 'target_positions.weight', 'source_positions.weight'];
    expect([...model.parameters.keys()]).toEqual([...tables, ...names('encoder'), ...names('decoder'), 'generator.weight']);
    const loaded = await Transformer.fromPretrained(engine, folder);
    expect(loaded.config).toEqual(model.config);
    expect(await hashParameters(loaded)).toBe(await hashParameters(model));
    expect([loaded.pretrained, loaded.tokenizer!.hash]).toEqual([true, model.tokenizer!.hash]);
    const options = { seed: 4, maxNewTokens: 6 };
    expect((await loaded.generate('abc', options)).ids).toEqual((await model.generate('abc', options)).ids);
    await loaded.save(folder); // over itself
    expect(await hashParameters(await Transformer.fromPretrained(engine, folder, { dropout: 0 }))).toBe(await hashParameters(model));
  });

  test('in bfloat16 and in shards', async () => {
    const engine = await sharedEngine();
    const folder = await scratch();
    const model = await makeModel(engine);
    await model.save(join(folder, 'half'), { dtype: 'bfloat16', maxShardSize: '20KB' });
    expect((await readdir(join(folder, 'half'))).filter((name) => name.startsWith('model-')).length).toBeGreaterThan(1);
    const loaded = await Transformer.fromPretrained(engine, join(folder, 'half'));
    expect(loaded.loadReport!.dtypes).toEqual(['BF16']);
    await loaded.save(join(folder, 'again'), { dtype: 'bfloat16' });
    const again = await Transformer.fromPretrained(engine, join(folder, 'again'));
    expect(await hashParameters(again)).toBe(await hashParameters(loaded));
    const [a, b] = await Promise.all([model, loaded].map((one) => one.parameters.get('encoder.layers.0.linear1.weight')!.data()));
    expect(Math.max(...Array.from(a, (x, i) => Math.abs(x - b[i]) / Math.abs(x)))).toBeLessThanOrEqual(2 ** -8);
  });

  test('with two tokenizers has both, and each reads its side', async () => {
    const engine = await sharedEngine();
    const [tokenizer, targetTokenizer] = [CharTokenizer.fromText('0123456789 '), new ByteTokenizer()];
    const model = await Transformer.create(engine, {
      tokenizer,
      targetTokenizer,
      nLayer: 1,
      nHead: 2,
      dModel: 16,
      maxSourceLength: 8,
      maxTargetLength: 9,
    });
    expect(model.config).toMatchObject({ inputDim: 11, outputDim: 257, eosId: 256, bosId: 256, shareEmbeddings: false });
    const files = await model.toFiles();
    expect([...files.keys()]).toEqual(expect.arrayContaining(['tokenizer.json', 'target_tokenizer.json', 'target_tokenizer_config.json']));
    const loaded = await Transformer.fromPretrained(
      engine,
      Array.from(files, ([name, blob]) => new File([blob], name)),
    );
    expect([loaded.tokenizer!.kind, loaded.targetTokenizer!.kind]).toEqual(['char', 'byte']);
    expect(loaded.tokenizerHash).toBe(`${tokenizer.hash} ${targetTokenizer.hash}`);
    const options = { seed: 2, maxNewTokens: 5 };
    expect((await loaded.generate('12 3', options)).text).toBe((await model.generate('12 3', options)).text);
    expect(() => loaded.generate('abc')).toThrow(expect.objectContaining({ code: 'UNKNOWN_CHARACTER' }));
  });

  test('of a source of numbers, and without any tokenizer', async () => {
    const engine = await sharedEngine();
    const options = {
      inputKind: 'features',
      inputDim: 3,
      outputDim: 11,
      dModel: 16,
      nHead: 2,
      nEncoderLayer: 1,
      nDecoderLayer: 2,
      normFirst: false,
    } as const;
    const model = await Transformer.create(engine, { ...options, activationFunction: 'gelu', positionEmbedding: 'learned', bias: false });
    const folder = join(await scratch(), 'model');
    await model.save(folder);
    const loaded = await Transformer.fromPretrained(engine, folder);
    expect(loaded.config).toEqual(model.config);
    expect([loaded.tokenizer, loaded.targetTokenizer, await hashParameters(loaded)]).toEqual([null, null, await hashParameters(model)]);
    const source = { data: Float32Array.from({ length: 12 }, (_, i) => i / 6 - 1), shape: [4, 3] };
    expect((await loaded.generate(source, { seed: 1 })).ids).toEqual((await model.generate(source, { seed: 1 })).ids);
  });

  test('is opened by loadModel, and not by GPT', async () => {
    const engine = await sharedEngine();
    const folder = await scratch();
    await (await makeModel(engine)).save(join(folder, 'pairs'));
    const gpt = await GPT.create(engine, { nLayer: 1, nHead: 1, nEmbd: 8, blockSize: 8, vocabSize: 9 });
    await gpt.save(join(folder, 'gpt'));
    expect(await loadModel(engine, join(folder, 'pairs'))).toBeInstanceOf(Transformer);
    expect(await loadModel(engine, join(folder, 'gpt'), { quantize: 'int8' })).toBeInstanceOf(GPT);
    const codes = await Promise.all([
      rejection(GPT.fromPretrained(engine, join(folder, 'pairs'))),
      rejection(Transformer.fromPretrained(engine, join(folder, 'gpt'))),
      rejection(loadModel(engine, join(folder, 'pairs'), { quantize: 'int8' })),
      rejection(loadModel(engine, join(folder, 'nothing'))),
    ]);
    expect(codes.map((error) => (error as FerroError).code)).toEqual(['NOT_BUILT', 'NOT_BUILT', 'NOT_SUPPORTED', 'FILE_NOT_FOUND']);
    expect((codes[0] as Error).message).toContain('Transformer.fromPretrained');
  });
});

describe('a broken folder', () => {
  test.each<[string, Record<string, unknown>, string, RegExp]>([
    ['another architecture', { architecture: 'rnn' }, 'NOT_BUILT', /"architecture" can only be "transformer"/],
    ['a later version', { version: 2 }, 'NOT_BUILT', /"version" can only be 1/],
    ['a missing size', { d_model: undefined }, 'INVALID_CHECKPOINT', /"d_model" must be a positive integer/],
    ['heads that do not divide', { n_head: 3 }, 'INVALID_CHECKPOINT', /dModel/],
    ['an end beyond the vocabulary', { eos_token_id: 9 }, 'INVALID_CHECKPOINT', /"eosId" must be below outputDim 9, got 9/],
    ['no end', { eos_token_id: null }, 'INVALID_CHECKPOINT', /eosId/],
    ['more layers than tensors', { n_decoder_layer: 2 }, 'INVALID_CHECKPOINT', /missing decoder.layers.1.self_attn.in_proj_weight/],
    ['another width', { dim_feedforward: 64 }, 'INVALID_CHECKPOINT', /encoder.layers.0.linear1.weight \[128, 32\], not \[64, 32\]/],
    [
      'a vocabulary smaller than the tokenizer’s',
      { input_dim: 7, output_dim: 7, bos_token_id: 1, eos_token_id: 1, pad_token_id: 1 },
      'VOCABULARY_MISMATCH',
      /at most/,
    ],
  ])('%s', async (_, change, code, message) => {
    const engine = await openEngine();
    const files = await (await makeModel(engine)).toFiles();
    const config = { ...JSON.parse(await files.get('config.json')!.text()), ...change };
    files.set('config.json', new Blob([JSON.stringify(config)]));
    const list = Array.from(files, ([name, blob]) => new File([blob], name));
    const before = (await engine.info.bytes()).live;
    const error = (await rejection(Transformer.fromPretrained(engine, list))) as FerroError;
    expect([error.code, error.message]).toEqual([code, expect.stringMatching(message)]);
    expect((await engine.info.bytes()).live).toBe(before);
  });
});

describe('options of create', () => {
  test.each<[string, Record<string, unknown>, RegExp]>([
    ['no sizes', { dModel: undefined }, /"dModel" must be given/],
    ['heads', { nHead: 5 }, /INVALID_OPTION|divis/],
    ['a shared table of two sizes', { shareEmbeddings: true, inputDim: 12 }, /"inputDim" must be outputDim 9 with shareEmbeddings/],
    ['a small vocabulary', { outputDim: 5, eosId: 1 }, /"outputDim" must be at least the tokenizer's 8, got 5/],
    ['an activation that torch has not', { activationFunction: 'gelu_new' }, /"activationFunction" must be "relu" or "gelu"/],
    ['an unknown one', { nEmbd: 8 }, /nEmbd/],
    ['an end that is none', { outputDim: 12, eosId: 12 }, /"eosId" must be below outputDim/],
  ])('%s', async (_, options, message) => {
    const engine = await sharedEngine();
    const error = (await rejection(makeModel(engine, options))) as FerroError;
    expect(error.message).toMatch(message);
    expect(['INVALID_OPTION', 'UNKNOWN_OPTION', 'VOCABULARY_MISMATCH']).toContain(error.code);
  });
});
