// The fuzz targets in TypeScript: each file that a user may bring, read through the public names as a user's program would read it.
import { createHash } from 'node:crypto';
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  BpeTokenizer,
  ByteTokenizer,
  CharTokenizer,
  type Engine,
  GPT,
  loadTokenizer,
  OPTIONS,
  readOptions,
  readRowFiles,
  readRows,
  SftDataset,
  TextDataset,
  type Tokenizer,
  Trainer,
  Transformer,
} from 'ferroformer';
import { parseConfig } from '../../ts/cli/configFile';
import type { Target } from './fuzz';

const ALPHABET = '\n abcdefghijklmnopqrstuvwxyz';
const SHAPE = { nLayer: 1, nHead: 2, nEmbd: 8, blockSize: 12, seed: 3 };

type Files = Map<string, Blob | string>;

/** A small model's files, with one of them replaced; loading it must be refused with a typed error, or give a model that generates. */
function folderTarget(
  engine: Engine,
  name: string,
  files: Files,
  file: string,
  toFile: (input: string) => Blob | string,
  documents: readonly string[],
  open: (files: File[]) => Promise<GPT | Transformer> = (list) => GPT.fromPretrained(engine, list),
): Target {
  return {
    name,
    documents,
    async check(input) {
      const list = [...new Map([...files, [file, toFile(input)]])].map(([name, data]) => new File([data], name));
      const model = await open(list);
      try {
        await model.generate(model.tokenizer === null ? [0] : 'a', { maxNewTokens: 2, seed: 1 });
      } finally {
        await model.close();
      }
    },
  };
}

const text = async (files: ReadonlyMap<string, Blob>, name: string): Promise<string> => await files.get(name)!.text();

/** A safetensors file with another header before its bytes. */
function withHeader(file: Uint8Array, header: string): Blob {
  const bytes = new TextEncoder().encode(header);
  const length = new Uint8Array(8);
  new DataView(length.buffer).setBigUint64(0, BigInt(bytes.length), true);
  const old = Number(new DataView(file.buffer, file.byteOffset).getBigUint64(0, true));
  return new Blob([length, bytes, file.slice(8 + old)]);
}

/** Targets on a model's folder: config.json of a GPT and of a Transformer, the index of shards, the header of a weight file. */
export async function folderTargets(engine: Engine): Promise<Target[]> {
  const tokenizer = CharTokenizer.fromText(ALPHABET);
  const model = await GPT.create(engine, { ...SHAPE, tokenizer });
  const whole = await model.toFiles();
  const shards = await model.toFiles({ maxShardSize: 2000 });
  await model.close();
  const index = 'model.safetensors.index.json';
  const weights = new Uint8Array(await whole.get('model.safetensors')!.arrayBuffer());
  const headerLength = Number(new DataView(weights.buffer).getBigUint64(0, true));
  const header = new TextDecoder().decode(weights.subarray(8, 8 + headerLength)).trimEnd();
  const config = await text(whole, 'config.json');
  const turned = await GPT.create(engine, { ...SHAPE, tokenizer, positionEmbedding: 'rotary', ropeScaling: 'linear:2' });
  const rotary = await text(await turned.toFiles(), 'config.json'); // beside these weights it is refused, after all of it was read
  await turned.close();
  const size = { nHead: 2, nLayer: 1, dModel: 8, dimFeedforward: 8, maxSourceLength: 12, maxTargetLength: 12 };
  const pairs = await Transformer.create(engine, { ...size, tokenizer, seed: 3 });
  const translator = await pairs.toFiles();
  await pairs.close();
  const translatorConfig = [await text(translator, 'config.json')];
  const openPairs = (list: File[]) => Transformer.fromPretrained(engine, list);
  return [
    folderTarget(engine, 'config', whole, 'config.json', (input) => input, [config, rotary]),
    folderTarget(engine, 'transformer', translator, 'config.json', (input) => input, translatorConfig, openPairs),
    folderTarget(engine, 'index', shards, index, (input) => input, [await text(shards, index)]),
    folderTarget(engine, 'header', whole, 'model.safetensors', (input) => withHeader(weights, input), [header]),
  ];
}

/** Targets on an adapter's folder: adapter_config.json, and the header of its weights. Loading is refused with a typed error, or gives a model that generates. */
export async function adapterTargets(engine: Engine): Promise<Target[]> {
  const open = () => GPT.create(engine, { ...SHAPE, tokenizer: CharTokenizer.fromText(ALPHABET) });
  const model = await open();
  await model.addAdapter({ rank: 2, targetModules: ['c_attn', 'mlp.c_fc'], modulesToSave: ['ln_f'] });
  const files = await model.adapterToFiles();
  await model.close();
  const [config, weights] = ['adapter_config.json', 'adapter_model.safetensors'];
  const bytes = new Uint8Array(await files.get(weights)!.arrayBuffer());
  const length = Number(new DataView(bytes.buffer).getBigUint64(0, true));
  const target = (name: string, file: string, toFile: (input: string) => Blob | string, document: string): Target => ({
    name,
    documents: [document],
    async check(input) {
      const list = [...new Map<string, Blob | string>([...files, [file, toFile(input)]])].map(([name, data]) => new File([data], name));
      const model = await open();
      try {
        await model.loadAdapter(list);
        await model.generate('a', { maxNewTokens: 2, seed: 1 });
      } finally {
        await model.close();
      }
    },
  });
  return [
    target('adapter', config, (input) => input, await text(files, config)),
    target(
      'adapterHeader',
      weights,
      (input) => withHeader(bytes, input),
      new TextDecoder().decode(bytes.subarray(8, 8 + length)).trimEnd(),
    ),
  ];
}

/** Between the files of an input that is more than one. */
const BETWEEN = '\n----\n';
/** A text has a character that the alphabet lacks, or the file's pattern takes too long for it. */
const REFUSED_TEXTS: ReadonlySet<string | undefined> = new Set(['UNKNOWN_CHARACTER', 'UNSUPPORTED_TOKENIZER']);
const SAMPLES = ['', 'abc', ' the  whale\n', "it's 1234", 'é☃👋', '\ud800', '<|endoftext|>', 'toString __proto__'];

/** Encodes and decodes; only an alphabet without a character may refuse a text. */
function useTokenizer(tokenizer: Tokenizer): void {
  for (const sample of SAMPLES) {
    try {
      const ids = tokenizer.encode(sample);
      if (ids.some((id) => !(id >= 0 && id < tokenizer.vocabSize))) throw new RangeError(`an id is out of range: ${ids}`);
      tokenizer.decode(ids);
    } catch (error) {
      if (!REFUSED_TEXTS.has((error as { code?: string }).code)) throw error;
    }
  }
}

/** vocab.json, merges.txt and tokenizer_config.json, one after the other with a line of their own between them. */
export async function vocabularyTarget(): Promise<Target> {
  const files = (await trainedBpe()).toFiles();
  const { vocab, merges } = (JSON.parse(files.get('tokenizer.json')!) as { model: { vocab: object; merges: (string | string[])[] } }).model;
  const lines = merges.map((merge) => (typeof merge === 'string' ? merge : merge.join(' ')));
  const parts = [JSON.stringify(vocab), `#version: 0.2\n${lines.join('\n')}\n`, files.get('tokenizer_config.json') ?? '{}'];
  return {
    name: 'vocabulary',
    documents: [
      parts.join(BETWEEN),
      [...parts.slice(0, 2), '{"eos_token":"a","bos_token":{"content":"b"},"add_prefix_space":true}'].join(BETWEEN),
    ],
    async check(input) {
      const [vocabJson, mergesText, config] = input.split(BETWEEN);
      const given = new Map([
        ['vocab.json', vocabJson],
        ['merges.txt', mergesText ?? ''],
      ]);
      if (config !== undefined) given.set('tokenizer_config.json', config);
      useTokenizer(await loadTokenizer(given));
    },
  };
}

const trainedBpe = (): Promise<BpeTokenizer> =>
  BpeTokenizer.train('the whale and the ship saw the other whale there', { vocabSize: 270, specialTokens: ['<|endoftext|>'] });

/** tokenizer.json by itself. What is accepted encodes and decodes whatever it is given. */
export async function tokenizerTarget(): Promise<Target> {
  const tokenizers = [CharTokenizer.fromText(ALPHABET), new ByteTokenizer(), await trainedBpe()];
  return {
    name: 'tokenizer',
    documents: tokenizers.map((tokenizer) => tokenizer.toFiles().get('tokenizer.json')!),
    check: async (input) => useTokenizer(await loadTokenizer(input)),
  };
}

/** What a data set of pairs may refuse rows for that a reader accepts. */
const REFUSED_ROWS: ReadonlySet<string | undefined> = new Set(['INVALID_DATA', 'EMPTY_DATA']);

/**
 * Rows in the format that the first line names, from one text and from a file; what is accepted must be the same both ways, and give batches or be refused
 * by the data set.
 */
export function rowsTarget(): Target {
  const chat = {
    messages: [
      { role: 'user', content: 'a' },
      { role: 'assistant', content: 'b' },
    ],
  };
  const lines = [{ prompt: 'a', completion: 'b' }, chat, { instruction: 'a', input: '', output: 'b' }, { text: 'a', label: 1 }];
  return {
    name: 'rows',
    documents: [
      `jsonl\n${lines.map((line) => JSON.stringify(line)).join('\n')}\n`,
      `jsonl\n${JSON.stringify(lines)}`,
      JSON.stringify(lines),
      JSON.stringify(chat),
      'tsv\nsource\ttarget\nGo.\tVa !\n"\t\\n\r\n\n',
      'babi\n1 Mary moved.\n2 Where is Mary? \tbathroom\t1\n1 John left.\n2 Who?\tJohn\n',
    ],
    async check(input) {
      const [, name = 'jsonl', rest] = /^(jsonl|tsv|babi)\n([\s\S]*)$/.exec(input) ?? [];
      const format = name as 'jsonl' | 'tsv' | 'babi';
      const text = rest ?? input;
      const rows = readRows(text, { format, name: 'file 0', defaultColumns: ['prompt', 'completion'] });
      // A lone surrogate is no text that a file can have: encoded, it becomes U+FFFD.
      if (!/\p{Surrogate}/u.test(text)) {
        const read = await readRowFiles(new Blob([text]), { format, defaultColumns: ['prompt', 'completion'] });
        if (JSON.stringify(read) !== JSON.stringify(rows)) throw new RangeError('a file gives other rows than its text');
      }
      try {
        const dataset = new SftDataset(rows, {
          tokenizer: new ByteTokenizer(),
          blockSize: 64,
          endOfText: 256,
          packing: true,
          template: 'chatml',
        });
        for (let index = 0; index < dataset.length; index++) dataset.batch([index]);
      } catch (error) {
        if (!REFUSED_ROWS.has((error as { code?: string }).code)) throw error;
      }
    },
  };
}

/** A configuration file and what it says: the text, then its options one by one. */
export function configFileTarget(): Target {
  return {
    name: 'options',
    documents: [
      JSON.stringify({
        maxSteps: 100,
        batchSize: 4,
        learningRate: 1e-3,
        preset: 'gpt-nano',
        blockSize: 64,
        out: 'runs/a',
        seed: 1,
        dropout: 0.1,
      }),
      'maxSteps: 100\nbatchSize: 4 # four\nlearningRate: 1.0e-3\nanchors: &a [1, 2]\nmore: *a\n',
      JSON.stringify({
        version: 1,
        options: { max_steps: 3, nLayer: 2, nHead: 2, nEmbd: 32, evalSteps: 0, resume: true, betas: [0.9, 0.95] },
      }),
    ],
    async check(input) {
      const names = Object.keys(OPTIONS) as (keyof typeof OPTIONS)[];
      readOptions('train', parseConfig(input, 'train.yaml'), names);
    },
  };
}

/**
 * The JSON files of a run, read when it is resumed: run.json, and in its checkpoint trainer_state.json and complete.json, the list of files with hashes. What
 * is written over trainer_state.json is hashed anew, or nothing behind the hashes would be reached.
 */
export async function runTargets(engine: Engine): Promise<{ targets: Target[]; close(): Promise<void> }> {
  const folder = await mkdtemp(join(tmpdir(), 'ferroformer-fuzz-'));
  const [good, outputDir] = [join(folder, 'good'), join(folder, 'run')];
  const corpusText = ALPHABET.repeat(20);
  const tokenizer = CharTokenizer.fromText(corpusText);
  const dataset = TextDataset.fromText(corpusText, tokenizer);
  const model = await GPT.create(engine, { ...SHAPE, tokenizer });
  const options = { dataset, maxSteps: 2, batchSize: 2, evalSteps: 0, saveSteps: 2, onWarning: () => undefined };
  const runIn = async (path: string, resume: boolean): Promise<void> => {
    await using trainer = new Trainer(model, { ...options, outputDir: path, resume });
    await trainer.train();
  };
  await runIn(good, false);
  const [state, list] = ['checkpoint-2/trainer_state.json', 'checkpoint-2/complete.json'];
  const complete = JSON.parse(await readFile(join(good, list), 'utf8')) as { files: { name: string; size: number; sha256: string }[] };
  const rehash = (input: string): string => {
    const bytes = Buffer.from(input);
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    const files = complete.files.map((file) => (state.endsWith(file.name) ? { ...file, size: bytes.length, sha256 } : file));
    return JSON.stringify({ ...complete, files });
  };
  const target = async (name: string, path: string): Promise<Target> => ({
    name,
    documents: [await readFile(join(good, path), 'utf8')],
    async check(input) {
      await rm(outputDir, { recursive: true, force: true });
      await cp(good, outputDir, { recursive: true });
      await writeFile(join(outputDir, path), input);
      if (path === state) await writeFile(join(outputDir, list), rehash(input));
      // The run is done: a resume that is accepted reads everything and has no step left.
      await runIn(outputDir, true);
    },
  });
  return {
    targets: [await target('run', 'run.json'), await target('state', state), await target('complete', list)],
    close: async () => {
      await model.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
