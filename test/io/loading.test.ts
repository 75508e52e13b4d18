// Loading a model from a server and from broken folders through the public names: progress, abort, and that every failure is typed, names what is wrong and
// leaves nothing in the engine.
import { copyFile, mkdir, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { type Engine, type FileProgress, GPT, TextDataset, Trainer } from 'ferroformer';
import { afterEach, describe, expect, onTestFinished, test } from 'vitest';
import { hashParameters, scratch, sharedEngine } from '../support/training';

const golden = (name: string) => fileURLToPath(new URL(`../golden/gpt2/${name}`, import.meta.url));

/** A copy of a golden folder that may be broken. */
async function copyOf(name: string): Promise<string> {
  const folder = `${await scratch()}/model`;
  await mkdir(folder);
  for (const file of await readdir(golden(name))) await copyFile(`${golden(name)}/${file}`, `${folder}/${file}`);
  return folder;
}

const edit = async (file: string, change: (text: string) => string) => writeFile(file, change(await readFile(file, 'utf8')));

/** A safetensors file taken apart and put together again with nothing of the library. */
async function editTensors(file: string, change: (header: Record<string, unknown>) => void, extra = new Uint8Array(0)): Promise<void> {
  const bytes = await readFile(file);
  const length = Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.toString('utf8', 8, 8 + length)) as Record<string, unknown>;
  change(header);
  const json = Buffer.from(JSON.stringify(header));
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(BigInt(json.length));
  await writeFile(file, Buffer.concat([size, json, bytes.subarray(8 + length), extra]));
}

interface Serving {
  ranges?: boolean;
  /** Answers a request itself; true if it did. */
  instead?: (name: string, request: IncomingMessage, response: ServerResponse, bytes: Buffer | undefined) => boolean;
}

/** Serves a folder; the address and the requests for weights. */
async function serve(folder: string, { ranges = true, instead }: Serving = {}): Promise<{ url: string; asked: string[] }> {
  const asked: string[] = [];
  const server = createServer((request, response) => {
    const name =
      decodeURIComponent(request.url ?? '')
        .split('/')
        .at(-1) ?? '';
    void readFile(`${folder}/${name}`)
      .catch(() => undefined)
      .then((bytes) => {
        if (name.endsWith('.safetensors')) asked.push(`${name} ${request.headers.range ?? ''}`.trim());
        if (instead?.(name, request, response, bytes)) return;
        if (bytes === undefined) return void response.writeHead(404).end();
        const start = ranges ? Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0) : 0;
        response.writeHead(start > 0 ? 206 : 200, { 'content-length': bytes.length - start });
        response.end(request.method === 'HEAD' ? undefined : bytes.subarray(start));
      });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/models/tiny`, asked };
}

/** Loading must fail with this code and text, and leave nothing behind. */
async function refuses(
  engine: Engine,
  source: Parameters<typeof GPT.fromPretrained>[1],
  code: string,
  text: RegExp,
  options = {},
): Promise<void> {
  const before = await engine.info.bytes();
  const error: unknown = await GPT.fromPretrained(engine, source, options).then(
    () => 'no error',
    (reason: unknown) => reason,
  );
  expect(error).toMatchObject({ code });
  expect((error as Error).message).toMatch(text);
  expect(await engine.info.bytes()).toEqual(before);
}

const prototype = Object.getOwnPropertyNames(Object.prototype);
afterEach(() => {
  expect(Object.getOwnPropertyNames(Object.prototype)).toEqual(prototype); // R19
});

describe('from a server', () => {
  test.each([
    ['tied', true],
    ['tied', false],
    ['sharded', true],
    ['sharded', false],
    ['bf16-untied-sharded', false],
    ['head-too', true],
    ['head-too', false],
  ])('%s is what it is from a folder (ranges: %s); progress is in bytes over all files', async (name, ranges) => {
    const engine = await sharedEngine();
    const { url, asked } = await serve(golden(name), { ranges });
    const seen: FileProgress[] = [];
    const model = await GPT.fromPretrained(engine, url, { onProgress: (progress) => seen.push(progress) });
    expect(await hashParameters(model)).toBe(await hashParameters(await GPT.fromPretrained(engine, golden(name))));
    for (const [i, { loadedBytes, totalBytes }] of seen.entries()) {
      expect(loadedBytes).toBeGreaterThanOrEqual(i === 0 ? 1 : seen[i - 1].loadedBytes);
      if (totalBytes !== undefined) expect(loadedBytes).toBeLessThanOrEqual(totalBytes);
    }
    const last = seen.at(-1);
    expect(last?.loadedBytes).toBe(last?.totalBytes);
    const files = await readdir(golden(name));
    const sizes = await Promise.all(files.map(async (file) => (await readFile(`${golden(name)}/${file}`)).length));
    expect(last?.totalBytes).toBe(sizes.reduce((sum, size) => sum + size, 0));
    // A single file is one response from its first byte to its last.
    if (name === 'tied') expect(asked).toEqual(['model.safetensors']);
  });

  test('an abort in the middle ends it', async () => {
    const engine = await sharedEngine();
    const { url } = await serve(golden('sharded'));
    for (const at of [1, 3, 6, 12, 30]) {
      const controller = new AbortController();
      let count = 0;
      const onProgress = () => {
        if (++count === at) controller.abort();
      };
      await refuses(engine, url, 'ABORTED', /aborted/, { signal: controller.signal, onProgress });
    }
    await refuses(engine, url, 'ABORTED', /aborted/, { signal: AbortSignal.abort() });
  });

  test('every failure of a server is typed', async () => {
    const engine = await sharedEngine();
    const failing = async (name: string, answer: (response: ServerResponse, bytes: Buffer) => void, base = 'tied') => {
      const instead: Serving['instead'] = (file, _, response, bytes) => {
        if (file === name) answer(response, bytes!);
        return file === name;
      };
      return (await serve(golden(base), { instead })).url;
    };
    const weights = 'model.safetensors';
    await refuses(
      engine,
      await failing('config.json', (r) => r.writeHead(404).end()),
      'FILE_NOT_FOUND',
      /must have config.json, got status 404/,
    );
    await refuses(
      engine,
      await failing('config.json', (r) => r.writeHead(403).end()),
      'FILE_ERROR',
      /config.json: must be served with status 200, got 403/,
    );
    await refuses(
      engine,
      await failing('config.json', (r) => r.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html>')),
      'FILE_NOT_FOUND',
      /must have config.json, got a web page/,
    );
    await refuses(
      engine,
      await failing(weights, (r) => r.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html>')),
      'FILE_NOT_FOUND',
      /must have model.safetensors .*, got a web page/,
    );
    // A web page that does not say so is not a safetensors file either.
    await refuses(
      engine,
      await failing(weights, (r) => r.writeHead(200).end('<!doctype html><html>404</html>')),
      'INVALID_CHECKPOINT',
      /header/,
    );
    await refuses(
      engine,
      await failing(weights, (r, bytes) => {
        r.writeHead(200, { 'content-length': bytes.length }).write(bytes.subarray(0, 20_000));
        setTimeout(() => r.destroy(), 30);
      }),
      'FILE_ERROR',
      /model.safetensors: must arrive whole, got .* after 20000 of/,
    );
    await refuses(
      engine,
      await failing(weights, (r, bytes) => r.writeHead(200, { 'content-length': 20_000 }).end(bytes.subarray(0, 20_000))),
      'INVALID_CHECKPOINT',
      /must/,
    );
    await refuses(
      engine,
      await failing('model-00003-of-00006.safetensors', (r) => r.writeHead(404).end(), 'sharded'),
      'FILE_NOT_FOUND',
      /model-00003-of-00006.safetensors/,
    );
    await refuses(
      engine,
      await failing('model-00003-of-00006.safetensors', (r) => r.destroy(), 'sharded'),
      'FILE_ERROR',
      /model-00003-of-00006.safetensors/,
    );
    await refuses(engine, 'http://127.0.0.1:1/models', 'FILE_ERROR', /must be reachable/);
  });

  test('a shard that is cut after its header was read, in the middle of loading', async () => {
    const engine = await sharedEngine();
    let times = 0;
    const { url } = await serve(golden('sharded'), {
      ranges: false,
      instead: (name, _, response, bytes) => {
        if (!name.startsWith('model-00002') || ++times < 2) return false;
        response.writeHead(200, { 'content-length': bytes!.length }).write(bytes!.subarray(0, 5000));
        setTimeout(() => response.destroy(), 30);
        return true;
      },
    });
    await refuses(engine, url, 'FILE_ERROR', /model-00002-of-00006.safetensors: must arrive whole/);
    expect(times).toBe(2);
  });
});

describe('broken folders', () => {
  // C8: a truncated shard. C9: an absent one. Both before any use.
  test('a truncated, an absent, an empty and an exchanged shard', async () => {
    const engine = await sharedEngine();
    const folder = await copyOf('sharded');
    const shard = `${folder}/model-00004-of-00006.safetensors`;
    await truncate(shard, 3000);
    await refuses(engine, folder, 'INVALID_CHECKPOINT', /model-00004-of-00006.safetensors: the file must end with its tensors/);
    await truncate(shard, 40);
    await refuses(engine, folder, 'INVALID_CHECKPOINT', /model-00004-of-00006.safetensors: the header must fit in the file of 40 bytes/);
    await truncate(shard, 0);
    await refuses(engine, folder, 'INVALID_CHECKPOINT', /model-00004-of-00006.safetensors: a safetensors file must have at least 8 bytes/);
    await rm(shard);
    await refuses(engine, folder, 'FILE_NOT_FOUND', /model-00004-of-00006.safetensors/);
    await copyFile(`${folder}/model-00003-of-00006.safetensors`, shard);
    await refuses(engine, folder, 'INVALID_CHECKPOINT', /must hold the tensors its index says/);
  });

  test('an index that points outside, is no object, or names "__proto__"', async () => {
    const engine = await sharedEngine();
    const folder = await copyOf('sharded');
    const index = `${folder}/model.safetensors.index.json`;
    const original = await readFile(index, 'utf8');
    await edit(index, (text) => text.replace('model-00001-of-00006.safetensors', '../x.safetensors'));
    await refuses(engine, folder, 'INVALID_CHECKPOINT', /a shard must be a .safetensors file name, got "..\/x.safetensors"/);
    await writeFile(index, '{"weight_map":');
    await refuses(engine, folder, 'INVALID_CHECKPOINT', /index.json: must be JSON/);
    await writeFile(index, original.replace('"weight_map": {', '"weight_map": {"__proto__": "model-00001-of-00006.safetensors",'));
    await refuses(engine, folder, 'INVALID_CHECKPOINT', /must hold __proto__ as its index says/);
    expect(({} as { weight_map?: unknown }).weight_map).toBeUndefined();
  });

  test('pickled weights are refused with the way out', async () => {
    const engine = await sharedEngine();
    const folder = await copyOf('tied');
    await rm(`${folder}/model.safetensors`);
    await writeFile(`${folder}/pytorch_model.bin`, 'x');
    await refuses(engine, folder, 'PICKLE_REFUSED', /pytorch_model.bin .*never read/);
  });

  // C17: the head. A missing flag means tied, a false one asks for a head.
  test('no head in the file: tied where the flag is missing, an error where it says untied', async () => {
    const engine = await sharedEngine();
    const folder = await copyOf('tied');
    await edit(`${folder}/config.json`, (text) => text.replace(/"tie_word_embeddings": true,/, ''));
    const model = await GPT.fromPretrained(engine, folder);
    expect(model.config).toMatchObject({ tieWordEmbeddings: true });
    await model.close();
    await edit(`${folder}/config.json`, (text) => text.replace('{', '{"tie_word_embeddings": false,'));
    await refuses(engine, folder, 'INVALID_CHECKPOINT', /missing lm_head.weight/);
  });

  test('missing, wrong and unexpected tensors are listed together; unexpected ones alone do no harm', async () => {
    const engine = await sharedEngine();
    const folder = await copyOf('tied');
    const file = `${folder}/model.safetensors`;
    await editTensors(file, (header) => {
      header['score.weight'] = header['transformer.ln_f.bias'];
      delete header['transformer.ln_f.bias'];
      const entry = header['transformer.h.0.attn.c_attn.weight'] as { shape: number[] };
      entry.shape = [48, 16];
    });
    await refuses(
      engine,
      folder,
      'INVALID_CHECKPOINT',
      /c_attn.weight \[48, 16\], not \[16, 48\]; missing transformer.ln_f.bias; unexpected score.weight/,
    );
    const good = await copyOf('tied');
    const extra = new Uint8Array(new Float32Array([1, 2]).buffer);
    await editTensors(
      `${good}/model.safetensors`,
      (header) => {
        const end = Math.max(
          ...Object.entries(header).map(([key, entry]) =>
            key === '__metadata__' ? 0 : (entry as { data_offsets: number[] }).data_offsets[1],
          ),
        );
        header['score.weight'] = { dtype: 'F32', shape: [1, 2], data_offsets: [end, end + 8] };
      },
      extra,
    );
    const model = await GPT.fromPretrained(engine, good);
    expect(model.loadReport).toEqual({ unexpected: ['score.weight'], tiedHead: true, dtypes: ['F32'] });
    expect(await hashParameters(model)).toBe(await hashParameters(await GPT.fromPretrained(engine, golden('tied'))));
  });

  // C16: never zeros.
  test('a dtype that holds no floats is a typed error', async () => {
    const engine = await sharedEngine();
    const folder = await copyOf('tied');
    await editTensors(`${folder}/model.safetensors`, (header) => {
      (header['transformer.wpe.weight'] as { dtype: string }).dtype = 'I32';
    });
    await refuses(engine, folder, 'INVALID_CHECKPOINT', /transformer.wpe.weight must be F32, F16, BF16 or F64, got I32/);
  });

  test('"__proto__" in config.json is a field like any other', async () => {
    const engine = await sharedEngine();
    const folder = await copyOf('tied');
    await edit(`${folder}/config.json`, (text) => text.replace('{', '{"__proto__": {"n_layer": 7, "polluted": 1},'));
    expect((await GPT.fromPretrained(engine, folder)).config.nLayer).toBe(2);
    expect(({} as { polluted?: number }).polluted).toBeUndefined();
  });
});

describe('the head after loading and training', () => {
  const IDS = Int32Array.from({ length: 300 }, (_, i) => (i * 7 + (i >> 3)) % 29);
  const train = (model: GPT) =>
    new Trainer(model, {
      dataset: TextDataset.fromTokens(IDS, { vocabSize: 29 }),
      maxSteps: 3,
      batchSize: 2,
      learningRate: 1e-2,
      evalSteps: 0,
    }).train();

  // C19 (accelerate#1204): a tied head stays the token table itself.
  test('tied, also where the file holds both: one buffer after load, steps and a save', async () => {
    const engine = await sharedEngine();
    for (const name of ['tied', 'head-too', 'head-alone']) {
      const model = await GPT.fromPretrained(engine, golden(name));
      await train(model);
      expect(model.parameters.has('lm_head.weight')).toBe(false);
      const folder = `${await scratch()}/model`;
      await model.save(folder);
      const bytes = await readFile(`${folder}/model.safetensors`);
      expect(bytes.toString('utf8', 8, 8 + Number(bytes.readBigUInt64LE(0)))).not.toContain('lm_head');
      const again = await GPT.fromPretrained(engine, folder);
      expect(await hashParameters(again)).toBe(await hashParameters(model));
      await train(again);
      expect(again.parameters.has('lm_head.weight')).toBe(false);
    }
  });

  test('untied: both are trained, each by its own gradient, and both are saved', async () => {
    const engine = await sharedEngine();
    const model = await GPT.fromPretrained(engine, golden('untied'));
    const values = async () => Promise.all(['lm_head.weight', 'transformer.wte.weight'].map((name) => model.parameters.get(name)!.data()));
    const [head, table] = await values();
    const result = await train(model);
    expect(Number.isFinite(result.loss)).toBe(true);
    const [headAfter, tableAfter] = await values();
    expect(headAfter).not.toEqual(head);
    expect(tableAfter).not.toEqual(table);
    const gradients = await Promise.all(['lm_head.weight', 'transformer.wte.weight'].map((name) => model.parameters.get(name)!.grad()));
    expect(gradients[0]).not.toEqual(gradients[1]);
    const folder = `${await scratch()}/model`;
    await model.save(folder);
    const again = await GPT.fromPretrained(engine, folder);
    expect(again.loadReport?.tiedHead).toBe(false);
    expect(await hashParameters(again)).toBe(await hashParameters(model));
  });

  test('tieWordEmbeddings: false makes a new model with a head of its own', async () => {
    const engine = await sharedEngine();
    const model = await GPT.create(engine, { nLayer: 1, nHead: 2, nEmbd: 8, blockSize: 12, vocabSize: 29, tieWordEmbeddings: false });
    expect([...model.parameters.keys()].at(-1)).toBe('lm_head.weight');
    await train(model);
  });
});
