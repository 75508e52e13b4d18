#!/usr/bin/env node
// Decoding and prefill of GPT-2's shape (124 M parameters, random weights, batch 1), against what this machine can read and beside transformers:
//   node scripts/bench-decode.mjs [--threads 2] [--simd auto256] [--rounds 12] [--tokens 16] [--context 512] [--torch PYTHON] [--json]
// In every round each side has one short turn: a read pass over 512 MB by the same engine and threads, tokens in f32 and with int8 blocks, transformers. Prefill and the
// forward part of training run afterwards, in turns too. Told is the best turn of each (other programs only ever make a turn slower) and the median beside it.
// A share is (bytes of the weights that a token reads ÷ time) ÷ (bytes per second of the read pass).
import { parseArgs } from 'node:util';
import { assign, compile, Engine, Extent, GPT, input, q8Bytes, sum, sumLast, Variable } from '../dist/index.node.js';
import { Side } from './bench/side.mjs';
import { median } from './bench/statistics.mjs';
import { positiveInteger } from './lib/flags.mjs';

const { values: flags } = parseArgs({
  options: {
    threads: { type: 'string', default: '2' },
    simd: { type: 'string', default: 'auto' },
    rounds: { type: 'string', default: '12' },
    tokens: { type: 'string', default: '16' },
    context: { type: 'string', default: '512' },
    torch: { type: 'string' },
    json: { type: 'boolean', default: false },
  },
});
const [threads, rounds, tokens, context] = ['threads', 'rounds', 'tokens', 'context'].map((name) => positiveInteger(name, flags[name]));

const SHAPE = { preset: 'gpt2', vocabSize: 50257, seed: 1 };
const READ = { rows: 1 << 17, columns: 1 << 10 }; // 512 MiB
const LEAST_TURNS = 5;

/** Milliseconds of `work`. */
async function timed(work) {
  const started = performance.now();
  await work();
  return performance.now() - started;
}

/** Turns of one side. */
class Turns {
  all = [];
  add(value) {
    this.all.push(value);
  }
  get best() {
    return Math.min(...this.all);
  }
  get median() {
    return median(this.all);
  }
}

/** A pass over 512 MiB that adds up rows. */
async function readPass(host) {
  const from = new Variable({
    name: 'bench.read',
    shape: [READ.rows, READ.columns],
    trainable: false,
    init: { kind: 'constant', value: 0.5 },
  });
  const to = new Variable({ name: 'bench.sums', shape: [READ.rows, 1], trainable: false });
  await host.allocate([from, to], { seed: 1 });
  const handle = await host.load(compile({ name: 'read', outputs: {}, effects: [assign(to, sumLast(from))] }));
  return {
    turn: () => timed(() => host.run({ handle, outputs: [] })),
    close: async () => {
      await host.unload(handle);
      await host.release([from, to]);
    },
  };
}

/** Bytes of the weights that one token reads: everything but the position table, of which it reads a row. */
function weightBytes(model) {
  let bytes = 0;
  for (const [name, { variable, shape, size }] of model.parameters) {
    if (name.includes('.wpe.')) continue;
    bytes += variable.dtype === 'q8' ? q8Bytes(...shape) : 4 * size;
  }
  return bytes;
}

/** Tokens after a prompt of one: as many passes over the weights as tokens. */
const decodeTurn = async (model) => (await timed(() => model.generate([1], { maxNewTokens: tokens, seed: 1 }))) / tokens;

/** A program over a bound module with one input of `context` tokens: milliseconds of a run, and its operations. */
async function contextProgram(model, name, build) {
  const { bound } = model;
  const { program, variables, extents } = build(bound);
  await bound.allocate(variables);
  const handle = await bound.load(program);
  const inputs = Object.fromEntries(
    program.inputs.map((port) => [port.name, Int32Array.from({ length: context }, (_, i) => (i * 7919) % SHAPE.vocabSize)]),
  );
  const turn = () => timed(() => bound.host.run({ handle, inputs, extents, outputs: [] }));
  await turn();
  return {
    name,
    flops: program.plan.flops,
    turns: new Turns(),
    turn,
    close: async () => {
      await bound.unload(handle);
      await bound.release(variables);
    },
  };
}

/** Logits of the last of `context` tokens; keys and values go to a cache. */
const prefill = (model, name) =>
  contextProgram(model, name, (bound) => {
    const cache = bound.module.makeCache(1);
    const place = { position: new Extent('position', context), keysUsed: new Extent('keysUsed', context) };
    const logits = bound.trace(false, () => bound.module.forwardCached(input('ids', [1, context], 'i32'), cache, place));
    return {
      program: compile({ name, outputs: { logits } }),
      variables: cache.layers.flatMap(({ keys, values }) => [keys, values]),
      extents: { position: 0, keysUsed: context },
    };
  });

/** The loss of `context` tokens, as a training step begins. */
const forward = (model) =>
  contextProgram(model, 'forward of training', (bound) => {
    const tensor = (port) => input(port, [1, context], 'i32');
    const loss = bound.trace(true, () => sum(bound.module.loss(tensor('ids'), tensor('labels')).sum));
    return { program: compile({ name: 'forward', outputs: { loss } }), variables: [], extents: {} };
  });

async function main() {
  const torch =
    flags.torch === undefined
      ? undefined
      : await Side.start({
          program: flags.torch,
          args: ['scripts/torch_decode.py', '--threads', String(threads)],
          env: { OMP_NUM_THREADS: String(threads), MKL_NUM_THREADS: String(threads) },
        });
  const engine = await Engine.start({ threads, simd: flags.simd });
  const { build, vectorBits, registerTile, runtime } = engine.info;
  const f32 = await GPT.create(engine, { ...SHAPE, blockSize: Math.max(context, tokens + 1) });
  const int8 = await f32.quantize();
  const read = await readPass(engine.host);
  const turns = { read: new Turns(), f32: new Turns(), int8: new Turns(), generate: new Turns(), loop: new Turns() };
  for (const model of [f32, int8]) await decodeTurn(model); // compiles the programs
  for (let round = 0; round < rounds; round++) {
    for (let i = 0; i < 4; i++) turns.read.add(await read.turn());
    turns.f32.add(await decodeTurn(f32));
    turns.int8.add(await decodeTurn(int8));
    if (torch !== undefined) {
      const { generate_ms: generate, loop_ms: loop } = await torch.side.steps(tokens);
      turns.generate.add(generate);
      turns.loop.add(loop);
    }
  }
  await read.close();
  await torch?.side.stop();

  const programs = [await forward(f32), await prefill(f32, 'prefill f32'), await prefill(int8, 'prefill int8')];
  for (let round = 0; round < Math.max(LEAST_TURNS, rounds >> 1); round++)
    for (const program of programs) program.turns.add(await program.turn());

  const bandwidth = (READ.rows * READ.columns * 4) / turns.read.best / 1e6;
  const decode = Object.entries({ f32, int8 }).map(([name, model]) => {
    const { best, median } = turns[name];
    const bytes = weightBytes(model);
    const gigabytes = bytes / best / 1e6;
    return {
      name,
      bytes,
      best_ms: best,
      median_ms: median,
      tokens_per_second: 1000 / best,
      gb_per_second: gigabytes,
      share: gigabytes / bandwidth,
    };
  });
  const rates = programs.map(({ name, flops, turns: { best, median } }) => ({
    name,
    best_ms: best,
    median_ms: median,
    gflops: flops / best / 1e6,
  }));
  const peers =
    torch === undefined
      ? undefined
      : { ...torch.ready, generate_tokens_per_second: 1000 / turns.generate.best, loop_tokens_per_second: 1000 / turns.loop.best };
  const result = {
    runtime,
    build,
    vector_bits: vectorBits,
    register_tile: registerTile,
    threads,
    read_gb_per_second: bandwidth,
    decode,
    context,
    prefill: rates,
    transformers: peers,
  };
  for (const program of programs) await program.close();
  await engine.close();
  process.stdout.write(flags.json ? `${JSON.stringify(result, null, 2)}\n` : `${textOf(result)}\n`);
}

function textOf({
  runtime,
  build,
  vector_bits: bits,
  register_tile: tile,
  threads: count,
  read_gb_per_second: bandwidth,
  decode,
  prefill: rates,
  transformers: peers,
}) {
  const lines = [`${runtime}, ${build}, ${bits} bits, tile ${tile}, ${count} threads; reads ${bandwidth.toFixed(1)} GB/s`];
  for (const { name, bytes, best_ms: best, median_ms: median, tokens_per_second: rate, gb_per_second: speed, share } of decode) {
    lines.push(
      `decode ${name}: ${rate.toFixed(1)} tokens/s (${best.toFixed(2)} ms, median ${median.toFixed(2)}), ${(bytes / 1e6).toFixed(0)} MB a token, ${speed.toFixed(1)} GB/s, ${(100 * share).toFixed(0)} % of the read pass`,
    );
  }
  if (peers !== undefined) {
    const { generate_tokens_per_second: generate, loop_tokens_per_second: loop, transformers: version, torch } = peers;
    lines.push(
      `transformers ${version} on PyTorch ${torch}: generate ${generate.toFixed(1)} tokens/s, bare loop ${loop.toFixed(1)}; ours f32 ${(decode[0].tokens_per_second / Math.max(generate, loop)).toFixed(2)} times, int8 ${(decode[1].tokens_per_second / Math.max(generate, loop)).toFixed(2)} times`,
    );
  }
  const base = rates[0].gflops;
  for (const { name, best_ms: best, gflops } of rates)
    lines.push(
      `${name}, ${context} tokens: ${gflops.toFixed(1)} GFLOP/s (${best.toFixed(0)} ms), ${(gflops / base).toFixed(2)} of the forward's rate`,
    );
  return lines.join('\n');
}

await main();
