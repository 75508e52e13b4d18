// `npm run docs:memory`: writes docs/memory.md, whose every number is planned by the library itself (`estimate`, no engine, nothing allocated). With
// --check it writes nothing and fails where the page is out of date. Not part of lint: it compiles some two hundred training programs (a minute).
// Runs on dist/ (`npm run build` first). scripts/measure-memory.mjs trains single rows for real.
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { estimate, FerroError } from '../dist/index.node.js';
import { ROOT } from './lib/run.mjs';

const FILE = 'docs/memory.md';
const MIB = 1024 ** 2;
/** 4 GiB less what thread stacks, scratch, compiled programs and the allocator's gaps need. */
const LIMIT = 4096 * MIB - 100 * MIB;
const TABLES = ['transformer.wte.weight', 'transformer.wpe.weight'];

const gpt = (nLayer, nHead, nEmbd, blockSize, vocabSize) => ({
  nLayer,
  nHead,
  nEmbd,
  blockSize,
  vocabSize,
  dropout: 0,
  bias: true,
  positionEmbedding: 'learned',
  positionNoise: 0,
});

const KEPT = [
  { name: 'AdamW', options: {} },
  { name: 'AdamW, gradientCheckpointing', options: { gradientCheckpointing: true } },
  { name: 'AdamW, gradientAccumulationSteps 8', options: { gradientAccumulationSteps: 8 } },
  { name: 'AdamW, both', options: { gradientCheckpointing: true, gradientAccumulationSteps: 8 } },
  { name: 'AdamW, gradientCheckpointing, both tables frozen', options: { gradientCheckpointing: true, frozen: TABLES } },
  { name: 'SGD with momentum, gradientCheckpointing', options: { gradientCheckpointing: true, optimizerSlots: 1 } },
  { name: 'SGD without momentum', options: { optimizerSlots: 0 } },
  { name: 'SGD without momentum, gradientCheckpointing', options: { gradientCheckpointing: true, optimizerSlots: 0 } },
];

/** Planned bytes, infinite where one buffer would reach 1 GiB. */
function peak(config, options) {
  try {
    return estimate(config, options).memory.peak;
  } catch (error) {
    if (error instanceof FerroError && error.code === 'OUT_OF_MEMORY') return Number.POSITIVE_INFINITY;
    throw error;
  }
}

/** The largest n from 1 on whose bytes fit, 0 if none does; bytes grow with n, nearly in a straight line. */
function largest(bytes, step = 1) {
  const fits = (n) => bytes(n) <= LIMIT;
  if (!fits(step)) return 0;
  const slope = (bytes(2 * step) - bytes(step)) / step;
  let n = slope > 0 && Number.isFinite(slope) ? Math.floor((LIMIT - bytes(step)) / slope / step) * step + step : step;
  while (n > step && !fits(n)) n -= step;
  while (fits(n + step)) n += step;
  return n;
}

const table = (head, rows) => [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
const millions = (n) => `${(n / 1e6).toFixed(0)} M`;
const mib = (bytes) => (bytes / MIB).toFixed(bytes < 100 * MIB ? 1 : 0);

function layersTable() {
  const columns = [
    { name: 'B 4, T 64, V 50257', blockSize: 64, vocabSize: 50257, batchSize: 4 },
    { name: 'B 1, T 1024, V 50257', blockSize: 1024, vocabSize: 50257, batchSize: 1 },
    { name: 'B 8, T 256, V 65', blockSize: 256, vocabSize: 65, batchSize: 8 },
  ];
  const rows = KEPT.map(({ name, options }) => [
    name,
    ...columns.map(({ blockSize, vocabSize, batchSize }) => {
      const config = (nLayer) => gpt(nLayer, 16, 1024, blockSize, vocabSize);
      const nLayer = largest((n) => peak(config(n), { ...options, batchSize }));
      return `${nLayer} (${millions(estimate(config(nLayer), { batchSize: 1 }).parameters.total)})`;
    }),
  ]);
  return table(['nLayer (parameters) at nEmbd 1024, nHead 16', ...columns.map(({ name }) => name)], rows);
}

function gpt2Table() {
  const rows = KEPT.map(({ name, options }) => {
    const batch = largest((batchSize) => peak(gpt(12, 12, 768, 1024, 50257), { ...options, batchSize }));
    const context = largest((blockSize) => peak(gpt(12, 12, 768, blockSize, 50257), { ...options, batchSize: 1 }), 1024);
    return [name, batch, context];
  });
  return table(['`gpt2` (12/12/768, 124 M)', 'largest batchSize at T 1024', 'longest blockSize at B 1, in steps of 1024'], rows);
}

function presetsTable() {
  const sizes = [
    ['gpt2, B 4, T 64', gpt(12, 12, 768, 64, 50257), 4],
    ['gpt2, B 4, T 1024', gpt(12, 12, 768, 1024, 50257), 4],
    ['gpt2-medium, B 1, T 1024', gpt(24, 16, 1024, 1024, 50257), 1],
    ['gpt2-large, B 1, T 1024', gpt(36, 20, 1280, 1024, 50257), 1],
  ];
  const rows = sizes.flatMap(([name, config, batchSize]) =>
    [false, true].map((gradientCheckpointing) => {
      const { memory } = estimate(config, { batchSize, gradientCheckpointing });
      const sgd = memory.peak - memory.optimizer;
      const cell = (bytes) => `${mib(bytes)} ${bytes <= LIMIT ? 'fits' : 'does not'}`;
      return [`${name}${gradientCheckpointing ? ', gradientCheckpointing' : ''}`, mib(memory.activations), cell(memory.peak), cell(sgd)];
    }),
  );
  return table(['MiB', 'activations', 'in all with AdamW', 'in all with SGD without momentum'], rows);
}

function savingsTable() {
  const sizes = [
    ['4/4/128, B 12, T 64, V 65 (step S)', gpt(4, 4, 128, 64, 65), 12],
    ['6/6/384, B 16, T 256, V 65 (step M)', gpt(6, 6, 384, 256, 65), 16],
    ['12/12/384, B 16, T 256, V 65', gpt(12, 12, 384, 256, 65), 16],
    ['12/12/768, B 4, T 64, V 50257 (step L)', gpt(12, 12, 768, 64, 50257), 4],
    ['12/12/768, B 4, T 1024, V 50257', gpt(12, 12, 768, 1024, 50257), 4],
    ['6/6/384, B 1, T 4096, V 65', gpt(6, 6, 384, 4096, 65), 1],
  ];
  const rows = sizes.map(([name, config, batchSize]) => {
    const [kept, again] = [false, true].map((gradientCheckpointing) => estimate(config, { batchSize, gradientCheckpointing }));
    const share = again.flops.perStep / kept.flops.perStep - 1;
    return [name, mib(kept.memory.activations), mib(again.memory.activations), `${(share * 100).toFixed(0)} %`];
  });
  return table(['layers/heads/width', 'activations, MiB', 'with gradientCheckpointing', 'more arithmetic'], rows);
}

const page = () => `# Memory

What a training run needs, and the largest that fits. A 32-bit address space holds 4 GiB, and the engine refuses a run before it allocates if it would not fit
(\`OUT_OF_MEMORY\`). \`ferroformer plan\` and \`estimate(config, options)\` tell the bytes of any configuration beforehand, exactly as the engine will then hold them. Every number of
this page comes from there: \`npm run docs:memory\` writes the page, and \`scripts/measure-memory.mjs\` trains a row for real.

## What is held
* Parameters, their gradients and the optimizer's numbers, 4 bytes each: 16 bytes per trained parameter with AdamW, 12 with SGD and momentum, 8 with SGD without. A frozen parameter (\`parameter.trainable =
  false\`) costs 4.
* Activations: what forward leaves for backward, and what either works with. One arena holds them; evaluation and generation use the same.
* No buffer may reach 1 GiB. The logits exist for some rows at a time only, and attention never holds T × T numbers of a head.

How the arena is planned: every result is made in the memory of an operand that dies with it where the kernel allows that (docs/architecture.md, section 2), the values of a chain of residual gradients are one
buffer, gradients of weights go straight into their variables and are computed before the next gradient needs room, dropout's masks are drawn again. The arena is as large as what lives in the fullest stage (with gradientCheckpointing at most 15 % larger; the planner's
tests demand both). At that point, the beginning of the backward pass, it holds per block and token: the block's input and the sum after attention (C numbers each), both norms' results (C each), queries, keys and values (3C), attention's result (C), GELU's argument and
result (4C each): 16 C numbers.

## gradientCheckpointing
With \`gradientCheckpointing: true\` (\`--gradient-checkpointing\`; Trainer, \`engine.trainStep\`, \`plan\`) a block keeps its input alone, C numbers per token. The rest is computed again when backward comes to the block, all but the
product that ends it, dropout with the same masks. Losses, gradients and weights have the same bits, so a run may be resumed with or without it. A module of your own takes part where it says
\`this.checkpoint(() => …)\`, a graph of your own where it says \`checkpoint(() => …)\`.

${savingsTable()}

## Accumulating gradients
Micro-batches (\`gradientAccumulationSteps\`) divide the activations and leave parameters, gradients and optimizer as they are. From the second on each gradient is computed from zero and then added, so the largest gradient of all,
usually the token table's, is in the arena too.

## GPT-2 and larger
${presetsTable()}

## The largest that fits
Within ${(LIMIT / MIB).toFixed(0)} MiB: 4 GiB less 100 MiB for the threads' stacks, scratch, programs and gaps.

${layersTable()}

${gpt2Table()}

Trained for real (Node 20, two threads, B 4, T 64, V 50257; \`scripts/measure-memory.mjs\`): AdamW with gradientCheckpointing at 16 blocks held 3.85 GiB, as planned (the process 3.95 GiB), SGD without momentum at
31 blocks 3.83 GiB, as planned (3.95 GiB), and \`gpt2\` with AdamW 2.04 GiB, as planned (2.14 GiB).

"Both" is gradientCheckpointing with gradientAccumulationSteps 8; B counts the windows of one micro-batch. "Both tables" are the token and position embeddings; the head shares the token table, so it is frozen too.
`;

const text = page();
const path = join(ROOT, FILE);
const current = await readFile(path, 'utf8').catch(() => '');
if (current === text) console.log(`${FILE} is up to date`);
else if (process.argv.includes('--check')) {
  console.error(`${FILE} is out of date: run \`npm run docs:memory\``);
  process.exitCode = 1;
} else {
  await writeFile(path, text);
  console.log(`wrote ${FILE}`);
}
