import { describe, expect, test } from 'vitest';
import { FerroError } from '../errors';
import { GPT } from '../models';
import { type GPTConfigOptions, resolveConfig } from '../models/config';
import { CharTokenizer, type Tokenizer } from '../tokenizers';
import { type FileData, toBlob } from './files';
import { memoryFolder } from './folders';
import { gptTensorShapes } from './gptFolder';
import { openPretrained, pretrainedToFiles } from './huggingFace';
import { SafetensorsFile } from './safetensors';
import { type TensorData, writeSafetensors } from './safetensorsWriter';

const SIZE = { nLayer: 2, nHead: 2, nEmbd: 4, blockSize: 8, vocabSize: 5 };

/** A small model's contents; value i of tensor n is 100n + i. */
function contents(options: Partial<GPTConfigOptions> = {}) {
  const config = resolveConfig({ ...SIZE, ...options });
  const parameters = new Map<string, Float32Array>();
  for (const [n, [name, shape]] of [...gptTensorShapes(config)].entries()) {
    if (!config.bias && name.endsWith('.bias')) continue;
    parameters.set(
      name,
      Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => 100 * n + i),
    );
  }
  return { config, parameters };
}

const files = (options: Partial<GPTConfigOptions> = {}, tokenizer: Tokenizer | null = null) =>
  pretrainedToFiles({ ...contents(options), tokenizer });
const textOf = async (data: FileData) => (await toBlob(data)).text();
const bytesOf = async (data: FileData) => new Uint8Array(await (await toBlob(data)).arrayBuffer());
const configOf = async (folder: Map<string, FileData>) => JSON.parse(await textOf(folder.get('config.json')!)) as Record<string, unknown>;

/** The folder with its config.json changed. */
async function withConfig(change: Record<string, unknown>, options: Partial<GPTConfigOptions> = {}): Promise<Map<string, FileData>> {
  const folder = files(options);
  return folder.set('config.json', JSON.stringify({ ...(await configOf(folder)), ...change }));
}

/** The folder with its tensors changed. */
async function withTensors(change: (tensors: Map<string, TensorData>) => void, options: Partial<GPTConfigOptions> = {}) {
  const folder = files(options);
  const file = await SafetensorsFile.fromBytes('x', await bytesOf(folder.get('model.safetensors')!));
  const tensors = new Map<string, TensorData>();
  for (const [name, { shape }] of file.tensors) tensors.set(name, { shape, data: await file.float32(name) });
  change(tensors);
  return folder.set('model.safetensors', writeSafetensors(tensors));
}

const failure = async (folder: ReadonlyMap<string, FileData>): Promise<string> => {
  try {
    await (await openPretrained(memoryFolder(folder, 'DIR'))).close();
  } catch (error) {
    return error instanceof FerroError ? `${error.code}: ${error.message}` : `untyped: ${error}`;
  }
  return 'no error';
};

describe('a GPT folder', () => {
  test('the table of tensors is that of the model itself', () => {
    for (const bias of [true, false]) {
      const { config, parameters } = contents({ bias });
      const variables = new GPT(config).namedVariables();
      expect(new Map(Array.from(variables, ([name, { shape }]) => [name, shape.join()]))).toEqual(
        new Map(Array.from(parameters.keys(), (name) => [name, gptTensorShapes(config).get(name)!.join()])),
      );
    }
  });

  test('no file is opened twice, whether or not there is a tokenizer', async () => {
    for (const tokenizer of [null, CharTokenizer.fromText('abcde')]) {
      const inner = memoryFolder(files({}, tokenizer));
      const opened: string[] = [];
      const open = (name: string) => {
        opened.push(name);
        return inner.open(name);
      };
      await openPretrained({ ...inner, open });
      expect(opened).toContain('generation_config.json');
      expect(opened).toEqual([...new Set(opened)]);
    }
  });

  for (const options of [{}, { bias: false }, { positionEmbedding: 'sinusoidal', positionNoise: 0.01, dropout: 0.2 }] as const) {
    test(`saved and opened again it is the same: ${JSON.stringify(options)}`, async () => {
      const { config, parameters } = contents(options);
      const tokenizer = CharTokenizer.fromText('abcde');
      const opened = await openPretrained(memoryFolder(pretrainedToFiles({ config, parameters, tokenizer })));
      expect(opened.config).toEqual(config);
      expect(opened.tokenizer?.hash).toBe(tokenizer.hash);
      expect([...opened.shapes.keys()].sort()).toEqual([...parameters.keys()].sort());
      for (const [name, values] of parameters) expect(await opened.read(name), name).toEqual(values);
      await opened.close();
    });
  }

  test('config.json says what Python needs: no ids of GPT-2, equal pdrops, biases', async () => {
    const config = await configOf(files({ bias: false, dropout: 0.1 }, CharTokenizer.fromText('abc')));
    expect(config).toMatchObject({
      model_type: 'gpt2',
      architectures: ['GPT2LMHeadModel'],
      n_layer: 2,
      n_head: 2,
      n_embd: 4,
      n_positions: 8,
      vocab_size: 5,
      activation_function: 'gelu_new',
      embd_pdrop: 0.1,
      resid_pdrop: 0.1,
      attn_pdrop: 0.1,
      bos_token_id: null,
      eos_token_id: null,
      pad_token_id: null,
      bias: false,
    });
    expect(JSON.parse(await textOf(files().get('generation_config.json')!))).toEqual({
      bos_token_id: null,
      eos_token_id: null,
      pad_token_id: null,
    });
  });

  test('without biases the file holds zeros for them, and no head', async () => {
    const file = await SafetensorsFile.fromBytes('x', await bytesOf(files({ bias: false }).get('model.safetensors')!));
    const biases = [...file.tensors.keys()].filter((name) => name.endsWith('.bias'));
    expect(biases).toHaveLength(2 * 6 + 1);
    for (const name of biases) expect((await file.float32(name)).every((value) => Object.is(value, 0))).toBe(true);
    expect(file.tensors.has('lm_head.weight')).toBe(false);
    expect(file.metadata.get('format')).toBe('pt');
  });

  test('parameters that are missing, unknown or of another size are listed when saving', () => {
    const { config, parameters } = contents();
    parameters.delete('transformer.ln_f.bias');
    parameters.set('transformer.wte.weight', new Float32Array(3));
    parameters.set('extra', new Float32Array(1));
    expect(() => pretrainedToFiles({ config, parameters })).toThrowError(
      expect.objectContaining({
        code: 'INVALID_CHECKPOINT',
        message:
          'save: the tensors must be those of the configuration, got transformer.wte.weight has 3 elements, not [5, 4]; ' +
          'missing transformer.ln_f.bias; unexpected extra',
      }),
    );
  });
});

describe('folders made elsewhere', () => {
  test('unknown fields, masks, names without "transformer." and a tied head are taken', async () => {
    const folder = await withTensors((tensors) => {
      for (const [name, tensor] of [...tensors]) {
        tensors.delete(name);
        tensors.set(name.replace('transformer.', ''), tensor);
      }
      for (const i of [0, 1]) tensors.set(`h.${i}.attn.bias`, { shape: [1, 1, 8, 8], data: new Float32Array(64) });
      tensors.set('h.0.attn.masked_bias', { shape: [], data: Float32Array.of(-1e4) });
      tensors.set('lm_head.weight', tensors.get('wte.weight')!);
    });
    const { parameters } = contents();
    const opened = await openPretrained(memoryFolder(folder));
    for (const [name, values] of parameters) expect(await opened.read(name), name).toEqual(values);
    const minimal = {
      model_type: 'gpt2',
      n_layer: 2,
      n_head: 2,
      n_embd: 4,
      n_positions: 8,
      vocab_size: 5,
      n_ctx: 8,
      summary_type: 'x',
      __proto__x: 1,
    };
    const { config } = await openPretrained(memoryFolder(files().set('config.json', JSON.stringify(minimal))));
    expect(config).toMatchObject({ bias: true, dropout: 0.1, positionEmbedding: 'learned' });
  });

  test('a tokenizer that cannot be run here leaves the model usable', async () => {
    const opened = await openPretrained(memoryFolder(files().set('tokenizer.json', '{"model":{"type":"Other"}}')));
    expect(opened.tokenizer).toBeNull();
    expect(opened.tokenizerProblem?.code).toBe('UNSUPPORTED_TOKENIZER');
  });

  test('shards: read through the index; an absent or wrong one is named', async () => {
    const { parameters, config } = contents();
    const shapes = gptTensorShapes(config);
    const shardOf = (name: string) => `model-0000${name.includes('.h.1.') ? 2 : 1}-of-00002.safetensors`;
    const folder = new Map<string, FileData>([['config.json', files().get('config.json')!]]);
    const index: Record<string, string> = {};
    const shards = new Map<string, Map<string, TensorData>>();
    for (const [name, data] of parameters) {
      index[name] = shardOf(name);
      const shard = shards.get(shardOf(name)) ?? new Map<string, TensorData>();
      shards.set(shardOf(name), shard.set(name, { shape: shapes.get(name)!, data }));
    }
    for (const [name, tensors] of shards) folder.set(name, writeSafetensors(tensors));
    const indexFile = 'model.safetensors.index.json';
    folder.set(indexFile, JSON.stringify({ metadata: {}, weight_map: index }));
    const opened = await openPretrained(memoryFolder(folder));
    for (const [name, values] of parameters) expect(await opened.read(name), name).toEqual(values);

    const [first, second] = shards.keys();
    const absent = new Map(folder);
    absent.delete(second);
    expect(await failure(absent)).toMatch(new RegExp(`^FILE_NOT_FOUND: .*${second}`));
    expect(await failure(new Map(folder).set(second, folder.get(first)!))).toMatch(
      /^INVALID_CHECKPOINT: .*must hold the tensors its index says/,
    );
    const outside = { weight_map: { ...index, x: '../secret.safetensors' } };
    expect(await failure(new Map(folder).set(indexFile, JSON.stringify(outside)))).toMatch(/^INVALID_CHECKPOINT: .*file name/);
    expect(await failure(new Map(folder).set(indexFile, '{}'))).toMatch(/^INVALID_CHECKPOINT/);
  });
});

describe('what cannot be opened', () => {
  test('all tensors that do not fit are listed in one error', async () => {
    const folder = await withTensors((tensors) => {
      tensors.delete('transformer.h.0.ln_1.weight');
      tensors.set('transformer.h.1.mlp.c_fc.weight', { shape: [16, 4], data: new Float32Array(64) });
      tensors.set('transformer.h.2.ln_1.weight', { shape: [4], data: new Float32Array(4) });
      tensors.set('__proto__', { shape: [1], data: new Float32Array(1) });
    });
    const message = await failure(folder);
    expect(message).toMatch(/^INVALID_CHECKPOINT: DIR: the tensors must be those of the configuration, got /);
    for (const part of [
      'missing transformer.h.0.ln_1.weight',
      'transformer.h.1.mlp.c_fc.weight [16, 4], not [4, 16]',
      'unexpected transformer.h.2.ln_1.weight',
      'unexpected __proto__',
    ]) {
      expect(message).toContain(part);
    }
  });

  test('truncated, missing and pickled weights', async () => {
    const folder = files();
    const weights = await bytesOf(folder.get('model.safetensors')!);
    expect(await failure(new Map(folder).set('model.safetensors', weights.subarray(0, weights.length - 1)))).toMatch(/^INVALID_CHECKPOINT/);
    folder.delete('model.safetensors');
    expect(await failure(folder)).toBe(
      'FILE_NOT_FOUND: DIR: a model folder must have model.safetensors or model.safetensors.index.json, got neither',
    );
    expect(await failure(folder.set('pytorch_model.bin', 'x'))).toMatch(/^PICKLE_REFUSED: .*pickle/);
    expect(await failure(new Map())).toBe('FILE_NOT_FOUND: DIR: a model folder must have config.json, got none');
  });

  test('biases that are not zero under "bias": false', async () => {
    const biased = await withTensors(
      (tensors) => tensors.set('transformer.ln_f.bias', { shape: [4], data: Float32Array.of(0, 0, 1e-30, 0) }),
      {
        bias: false,
      },
    );
    const opened = await openPretrained(memoryFolder(biased, 'DIR'));
    const reading = async () => {
      for await (const piece of opened.values()) expect(piece.name).not.toMatch(/bias$/);
    };
    await expect(reading()).rejects.toThrowError(
      expect.objectContaining({ code: 'INVALID_CHECKPOINT', message: expect.stringContaining('transformer.ln_f.bias') }),
    );
  });

  const configs: [change: Record<string, unknown>, expected: RegExp][] = [
    [{ model_type: 't5' }, /^NOT_BUILT: .*"model_type"/],
    [{ model_type: undefined }, /^INVALID_CHECKPOINT: .*"model_type".*none/],
    [{ n_head: undefined }, /^INVALID_CHECKPOINT: .*"n_head" must be a positive integer, got none/],
    [{ n_head: '2' }, /^INVALID_CHECKPOINT: .*"n_head".*got "2"/],
    [{ n_layer: null }, /^INVALID_CHECKPOINT: .*"n_layer"/],
    [{ n_layer: 1.5 }, /^INVALID_CHECKPOINT: .*"n_layer"/],
    [{ n_layer: -2 }, /^INVALID_CHECKPOINT: .*"n_layer"/],
    [{ n_layer: 1e9 }, /^INVALID_CHECKPOINT: .*"nLayer" must be at most/],
    [{ n_head: 3 }, /^INVALID_CHECKPOINT: .*nHead/],
    [{ n_embd: [4] }, /^INVALID_CHECKPOINT: .*"n_embd"/],
    [{ vocab_size: 1e300 }, /^INVALID_CHECKPOINT: .*"vocab_size"/],
    [{ bias: 'false' }, /^INVALID_CHECKPOINT: .*"bias"/],
    [{ embd_pdrop: '0' }, /^INVALID_CHECKPOINT: .*"embd_pdrop"/],
    [{ embd_pdrop: 2, resid_pdrop: 2, attn_pdrop: 2 }, /^INVALID_CHECKPOINT: .*dropout/],
    [{ activation_function: 'silu' }, /^NOT_BUILT: .*"activation_function"/],
    [{ activation_function: 1 }, /^NOT_BUILT: .*"activation_function"/],
    [{ layer_norm_epsilon: 0 }, /^INVALID_CHECKPOINT: .*"layerNormEpsilon"/],
    [{ layer_norm_epsilon: '1e-5' }, /^INVALID_CHECKPOINT: .*"layer_norm_epsilon"/],
    [{ n_inner: 5 }, /^INVALID_CHECKPOINT: .*c_fc.weight \[4, 16\], not \[4, 5\]/],
    [{ n_inner: 1e9 }, /^INVALID_CHECKPOINT: .*"nInner" must be at most/],
    [{ n_inner: '16' }, /^INVALID_CHECKPOINT: .*"n_inner"/],
    [{ n_positions: undefined }, /^INVALID_CHECKPOINT: .*"n_ctx" must be a positive integer, got none/],
    [{ attn_pdrop: 1 }, /^INVALID_CHECKPOINT: .*"attnPdrop"/],
    [{ scale_attn_weights: false }, /^NOT_BUILT/],
    [{ scale_attn_by_inverse_layer_idx: true }, /^NOT_BUILT/],
    [{ tie_word_embeddings: false }, /^INVALID_CHECKPOINT: .*missing lm_head.weight/],
    [{ tie_word_embeddings: 0 }, /^INVALID_CHECKPOINT: .*"tie_word_embeddings"/],
    [{ quantization_config: { bits: 4 } }, /^NOT_BUILT/],
    [{ ferroformer: { version: 2 } }, /^NOT_BUILT/],
    [{ ferroformer: [] }, /^INVALID_CHECKPOINT/],
    [{ ferroformer: { version: 1, position_embedding: 'rotary' } }, /^INVALID_CHECKPOINT/],
    [{ ferroformer: { version: 1, position_embedding: 'sinusoidal', position_noise: -1 } }, /^INVALID_CHECKPOINT/],
    [{ vocab_size: 6 }, /^INVALID_CHECKPOINT: .*transformer.wte.weight \[5, 4\], not \[6, 4\]/],
  ];
  test.each(configs)('config.json with %j', async (change, expected) => {
    expect(await failure(await withConfig(change))).toMatch(expected);
  });

  test('config.json that is no JSON object or not UTF-8', async () => {
    for (const text of ['', '{', '[]', 'null', '1']) expect(await failure(files().set('config.json', text))).toMatch(/^INVALID_CHECKPOINT/);
    const data = Uint8Array.of(0x7b, 0xff, 0x7d);
    expect(await failure(files().set('config.json', data))).toMatch(/^INVALID_CHECKPOINT: .*UTF-8/);
  });

  test('a tokenizer that is broken or has more tokens than the model', async () => {
    expect(await failure(files().set('tokenizer.json', '{'))).toMatch(/^INVALID_TOKENIZER/);
    expect(await failure(files({}, CharTokenizer.fromText('abcdef')))).toMatch(/^VOCABULARY_MISMATCH: .*5 tokens, got 6/);
    expect(await failure(files({}, CharTokenizer.fromText('abc')))).toBe('no error'); // a padded vocabulary
  });

  test('"__proto__" in config.json is a field like any other', async () => {
    const before = Object.getOwnPropertyNames(Object.prototype);
    const text = (await textOf(files().get('config.json')!)).replace('{', '{"__proto__": {"n_layer": 7, "polluted": 1},');
    expect((await openPretrained(memoryFolder(files().set('config.json', text)))).config.nLayer).toBe(2);
    expect(Object.getOwnPropertyNames(Object.prototype)).toEqual(before);
    expect(({} as { polluted?: number }).polluted).toBeUndefined();
  });
});
