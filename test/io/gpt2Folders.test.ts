// Folders that transformers wrote (test/golden/gpt2, made by gpt2_folders.py), in every form: the logits are PyTorch's, and what is saved comes back.
import { readdir, readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { type Engine, GPT } from 'ferroformer';
import { beforeAll, describe, expect, test } from 'vitest';
import { hashParameters, measured, scratch, sharedEngine } from '../support/training';

const ROOT = new URL('../golden/', import.meta.url);
const pathOf = (name: string) => fileURLToPath(new URL(`gpt2/${name}`, ROOT));
const TOLERANCE = 2e-5;

interface Case {
  ids: number[][];
  logits: number[];
  files: string[];
}

let cases: Record<string, Case>;
beforeAll(async () => {
  cases = (JSON.parse(await readFile(new URL('gpt2-folders.json', ROOT), 'utf8')) as { cases: Record<string, Case> }).cases;
});

async function logitsOf(model: GPT, ids: number[][]): Promise<Float32Array> {
  const output = await model.bound.forward({ data: Int32Array.from(ids.flat()), shape: [ids.length, ids[0].length] });
  return (output as { data: Float32Array }).data;
}

async function worstDifference(model: GPT, { ids, logits }: Case): Promise<number> {
  const ours = await logitsOf(model, ids);
  expect(ours).toHaveLength(logits.length);
  return ours.reduce((worst, value, i) => Math.max(worst, Math.abs(value - logits[i])), 0);
}

/** The files of a golden folder as a page gets them. */
async function filesOf(name: string): Promise<File[]> {
  const names = await readdir(pathOf(name));
  return Promise.all(names.map(async (file) => new File([await readFile(`${pathOf(name)}/${file}`)], file)));
}

const FORMS: [name: string, report: { tiedHead: boolean; dtypes: string[] }, config: object][] = [
  ['tied', { tiedHead: true, dtypes: ['F32'] }, { tieWordEmbeddings: true, nInner: 64 }],
  ['untied', { tiedHead: false, dtypes: ['F32'] }, { tieWordEmbeddings: false }],
  ['f16', { tiedHead: true, dtypes: ['F16'] }, {}],
  ['bf16-untied-sharded', { tiedHead: false, dtypes: ['BF16'] }, { tieWordEmbeddings: false }],
  ['sharded', { tiedHead: true, dtypes: ['F32'] }, {}],
  ['old-names', { tiedHead: true, dtypes: ['F32'] }, {}],
  ['head-alone', { tiedHead: true, dtypes: ['F32'] }, {}],
  ['head-too', { tiedHead: true, dtypes: ['F32'] }, { tieWordEmbeddings: true }],
  [
    'variant',
    { tiedHead: true, dtypes: ['F32'] },
    { nInner: 24, activationFunction: 'gelu', layerNormEpsilon: 1e-3, embdPdrop: 0.2, residPdrop: 0, attnPdrop: 0.4 },
  ],
  ['relu', { tiedHead: true, dtypes: ['F32'] }, { activationFunction: 'relu' }],
  ['gelu-pytorch-tanh', { tiedHead: true, dtypes: ['F32'] }, { activationFunction: 'gelu_pytorch_tanh' }],
];

describe('a folder that transformers wrote', () => {
  // C16, C17, C20 and the exactness of F16 and BF16: the expected logits are those of float32 models with the rounded weights.
  test.each(FORMS)('%s: PyTorch’s logits', async (name, report, config) => {
    const engine = await sharedEngine();
    const model = await GPT.fromPretrained(engine, pathOf(name));
    expect(model.loadReport).toEqual({ unexpected: [], ...report });
    expect(model.config).toMatchObject({ nLayer: 2, nHead: 2, nEmbd: 16, blockSize: 12, vocabSize: 29, ...config });
    expect(model.parameters.has('lm_head.weight')).toBe(!report.tiedHead);
    expect(measured(`logits of ${name}`, await worstDifference(model, cases[name]))).toBeLessThanOrEqual(TOLERANCE);
  });

  test('every golden folder is among the forms above', async () => {
    expect(Object.keys(cases).sort()).toEqual(FORMS.map(([name]) => name).sort());
    for (const [name, { files }] of Object.entries(cases)) expect((await readdir(pathOf(name))).sort(), name).toEqual(files);
  });

  test('from File objects', async () => {
    const engine = await sharedEngine();
    const model = await GPT.fromPretrained(engine, await filesOf('bf16-untied-sharded'));
    expect(await worstDifference(model, cases['bf16-untied-sharded'])).toBeLessThanOrEqual(TOLERANCE);
  });

  test('the cached path has the untied head too', async () => {
    const engine = await sharedEngine();
    const model = await GPT.fromPretrained(engine, pathOf('untied'));
    const options = { maxNewTokens: 6, temperature: 0 };
    const cached = await model.generate([1, 2, 3], options);
    expect(cached.ids).toEqual((await model.generate([1, 2, 3], { ...options, useCache: false })).ids);
    const logits = await logitsOf(model, [[1, 2, 3]]);
    const last = Array.from(logits.slice(-29));
    expect(cached.ids[0]).toBe(last.indexOf(Math.max(...last)));
  });
});

describe('saving', () => {
  const load = async (engine: Engine, name: string) => GPT.fromPretrained(engine, pathOf(name));

  test.each(['tied', 'untied', 'variant', 'bf16-untied-sharded'])('%s: what is saved comes back bit for bit', async (name) => {
    const engine = await sharedEngine();
    const folder = `${await scratch()}/model`;
    const model = await load(engine, name);
    await model.save(folder);
    const again = await GPT.fromPretrained(engine, folder);
    expect(again.config).toEqual(model.config);
    expect(await hashParameters(again)).toBe(await hashParameters(model));
    const config = JSON.parse(await readFile(`${folder}/config.json`, 'utf8'));
    const stored = JSON.parse(await readFile(`${pathOf(name)}/config.json`, 'utf8'));
    const keys = 'model_type n_inner activation_function layer_norm_epsilon embd_pdrop resid_pdrop attn_pdrop tie_word_embeddings'.split(
      ' ',
    );
    for (const key of keys) expect(config[key], key).toEqual(stored[key]);
  });

  test('BF16, in shards named as transformers names them, with an index', async () => {
    const engine = await sharedEngine();
    const folder = `${await scratch()}/model`;
    const model = await load(engine, 'bf16-untied-sharded');
    await model.save(folder, { dtype: 'bfloat16', maxShardSize: 4000 });
    // What was BF16 is BF16 again, bit for bit; the shards are those that transformers made of the same sizes.
    const again = await GPT.fromPretrained(engine, folder);
    expect(await hashParameters(again)).toBe(await hashParameters(model));
    expect(again.loadReport?.dtypes).toEqual(['BF16']);
    const shards = (await readdir(folder)).filter((file) => file.endsWith('.safetensors')).sort();
    expect(shards).toEqual(shards.map((_, i) => `model-0000${i + 1}-of-0000${shards.length}.safetensors`));
    const index = JSON.parse(await readFile(`${folder}/model.safetensors.index.json`, 'utf8'));
    const theirs = JSON.parse(await readFile(`${pathOf('bf16-untied-sharded')}/model.safetensors.index.json`, 'utf8'));
    expect(index.metadata.total_size).toBe(theirs.metadata.total_size);
    expect(Object.keys(index.weight_map)).toEqual(Object.keys(theirs.weight_map));
    expect(JSON.parse(await readFile(`${folder}/config.json`, 'utf8'))).toMatchObject({ dtype: 'bfloat16', tie_word_embeddings: false });
    const files = await model.toFiles({ dtype: 'bfloat16', maxShardSize: '4KB' });
    expect([...files.keys()].sort()).toEqual((await readdir(folder)).filter((file) => file !== 'complete.json').sort());
    for (const [file, blob] of files)
      expect(Buffer.from(await blob.arrayBuffer()).equals(await readFile(`${folder}/${file}`)), file).toBe(true);
  });

  test('options out of range are typed errors and nothing is written', async () => {
    const engine = await sharedEngine();
    const folder = await scratch();
    const model = await load(engine, 'tied');
    for (const options of [
      { dtype: 'float8' },
      { dtype: 'q8_0' },
      { maxShardSize: 0 },
      { maxShardSize: '5 apples' },
      { maxShardSize: Number.NaN },
      { maxShardSize: '0MB' },
    ]) {
      await expect(model.save(`${folder}/x`, options as object)).rejects.toMatchObject({ code: 'INVALID_OPTION' });
      await expect(model.toFiles(options as object)).rejects.toMatchObject({ code: 'INVALID_OPTION' });
    }
    await expect(model.save(`${folder}/x`, { shards: 2 } as object)).rejects.toMatchObject({ code: 'UNKNOWN_OPTION' });
    await expect(model.save(`${folder}/x`, { signal: AbortSignal.abort() })).rejects.toMatchObject({ code: 'ABORTED' });
    expect(await readdir(folder)).toEqual([]);
  });

  test('an abort while weights are written leaves the folder as it was', async () => {
    const engine = await sharedEngine();
    const folder = `${await scratch()}/model`;
    const model = await load(engine, 'tied');
    await model.save(folder);
    const before = await readFile(`${folder}/complete.json`, 'utf8');
    await model.parameters.get('transformer.ln_f.bias')!.set(new Float32Array(16).fill(5));
    for (const delayMs of [0, 1, 3]) {
      const controller = new AbortController();
      const saving = model.save(folder, { signal: controller.signal, maxShardSize: '2KB' });
      if (delayMs === 0) queueMicrotask(() => controller.abort());
      else setTimeout(() => controller.abort(), delayMs);
      const outcome = await saving.then(
        () => 'saved',
        (error: { code: string }) => error.code,
      );
      expect(['ABORTED', 'saved']).toContain(outcome); // three milliseconds can be enough to save
      if (outcome === 'saved') break;
      expect(await readFile(`${folder}/complete.json`, 'utf8')).toBe(before);
      expect(await readdir(`${folder}/..`)).toEqual(['model']);
    }
    await model.close();
    await expect(model.save(folder)).rejects.toMatchObject({ code: 'MODEL_CLOSED' });
  });

  // C4 (safetensors#764): the folder that the model came from is replaced as a whole.
  test('onto the folder it was loaded from', async () => {
    const engine = await sharedEngine();
    const folder = `${await scratch()}/model`;
    await (await load(engine, 'sharded')).save(folder, { maxShardSize: '6KB' });
    const model = await GPT.fromPretrained(engine, folder);
    const before = await hashParameters(model);
    await model.save(folder, { maxShardSize: '9KB' });
    expect(await hashParameters(await GPT.fromPretrained(engine, folder))).toBe(before);
    // What others wrote is never replaced.
    await expect(model.save(pathOf('tied'))).rejects.toMatchObject({ code: 'FILE_ERROR' });
  });
});
