// How much memory loading and saving a model takes, beyond the model itself: a GPT of a preset's size with random weights is saved and loaded, each in a
// process of its own, from a folder, from a server with and without ranges, and in F32 or BF16; peak resident memory is the system's own count.
// node scripts/measure-folder-memory.mjs [--preset gpt2] [--dtype float32|bfloat16] [--max-shard-size 200MB] [--threads 1]
import { execFile } from 'node:child_process';
import { createReadStream } from 'node:fs';
import { mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { parseArgs, promisify } from 'node:util';
import { Engine, GPT } from '../dist/index.node.js';

const { values } = parseArgs({
  options: {
    preset: { type: 'string', default: 'gpt2' },
    dtype: { type: 'string', default: 'float32' },
    'max-shard-size': { type: 'string' },
    threads: { type: 'string', default: '1' },
    work: { type: 'string' },
    source: { type: 'string' },
  },
});

const megabytes = (bytes) => Math.round(bytes / 1e6);
const peak = () => process.resourceUsage().maxRSS * 1024;

/** In a process of its own: makes and saves, or loads; prints one JSON object. */
async function work(what, source) {
  const engine = await Engine.start({ threads: Number(values.threads) });
  const started = peak();
  const began = performance.now();
  const model =
    what === 'save'
      ? await GPT.create(engine, { preset: values.preset, vocabSize: 50257, seed: 1 })
      : await GPT.fromPretrained(engine, source);
  const made = performance.now();
  const held = peak();
  if (what === 'save') await model.save(source, { dtype: values.dtype, maxShardSize: values['max-shard-size'] });
  const ended = performance.now();
  let modelBytes = 0;
  for (const { size } of model.parameters.values()) modelBytes += 4 * size;
  await engine.close();
  const seconds = Number(((what === 'save' ? ended - made : made - began) / 1000).toFixed(1));
  const result = {
    what,
    modelMB: megabytes(modelBytes),
    beforeMB: megabytes(what === 'save' ? held : started),
    peakMB: megabytes(peak()),
    seconds,
  };
  // What the process needed beyond itself and the model.
  result.beyondModelMB = result.peakMB - megabytes(started) - result.modelMB;
  console.log(JSON.stringify(result));
}

/** Serves a folder's files, in pieces, with or without ranges. */
async function serve(folder, ranges) {
  const server = createServer(async (request, response) => {
    const path = join(folder, basename(request.url));
    const size = (await stat(path).catch(() => undefined))?.size;
    if (size === undefined) return response.writeHead(404).end();
    const start = ranges ? Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0) : 0;
    response.writeHead(start > 0 ? 206 : 200, { 'content-length': size - start });
    const file = createReadStream(path, { start });
    response.on('close', () => file.destroy());
    file.pipe(response);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { url: `http://127.0.0.1:${server.address().port}/model`, close: () => server.closeAllConnections() ?? server.close() };
}

async function main() {
  const folder = await mkdtemp(join(tmpdir(), 'ferroformer-memory-'));
  const child = async (what, source, note) => {
    const args = [import.meta.filename ?? process.argv[1], ...process.argv.slice(2), '--work', what, '--source', source];
    const { stdout } = await promisify(execFile)(process.execPath, args, { maxBuffer: 1 << 24 });
    console.log(`${note.padEnd(24)} ${stdout.trim()}`);
  };
  try {
    const model = join(folder, 'model');
    await child('save', model, 'save');
    console.log(`files: ${(await readdir(model)).join(' ')}`);
    await rm(join(model, 'complete.json')); // as a folder made elsewhere: nothing to verify first
    await child('load', model, 'load, folder');
    for (const ranges of [true, false]) {
      const server = await serve(model, ranges);
      await child('load', server.url, `load, server${ranges ? '' : ' without ranges'}`);
      server.close();
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

await (values.work === undefined ? main() : work(values.work, values.source));
