// README's table of speed, made from a record of `npm run bench -- --torch … --record NAME`. The table names its record; what stands between the markers
// in README.md must be what the record gives (`npm run docs` writes it, `npm run lint` checks it).
//   node scripts/bench/table.mjs bench/record/FILE.json     gives README's section another record
import { readFile, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ROOT } from '../lib/run.mjs';

const BEGIN = /<!-- speed: (\S+) -->\n/;
const END = '<!-- end of speed -->';
const COLUMNS = ['default', 'auto256', 'relaxed', 'portable'];
const TITLES = {
  default: 'default settings',
  auto256: '256-bit vectors (`auto256`)',
  relaxed: '128-bit (`relaxed`)',
  portable: '`portable`',
};

/** Where others used more of the processor than this, a record shows that things work, not how fast they are. */
const BUSY = 0.15;

const milliseconds = (ms) => (ms < 100 ? ms.toFixed(1) : ms.toFixed(0));

function cell(side) {
  if (side === undefined) return '';
  if (!side.available) return 'not available';
  return `${milliseconds(side.medianMs)} ms, **${side.ratio.toFixed(2)}×**`;
}

/** The Markdown table of a training-step record: a row for each size, number of threads and Node. */
export function stepsTable(record) {
  const used = COLUMNS.filter((variant) => record.runs.some(({ sides }) => sides.some((side) => side.variant === variant)));
  const others = [...new Set(record.runs.flatMap(({ sides }) => sides.filter(({ kind }) => kind === 'torch').map(({ mode }) => mode)))];
  const header = ['step', 'threads', 'Node', ...others.map((mode) => `PyTorch ${mode}`), ...used.map((variant) => TITLES[variant])];
  const rows = record.runs.flatMap(({ size, threads, sides }) => {
    const nodes = [...new Set(sides.filter(({ kind }) => kind === 'ours').map(({ node }) => node))];
    const torch = others.map((mode) => {
      const side = sides.find((s) => s.mode === mode);
      if (side === undefined) return '';
      return side.available ? `${milliseconds(side.medianMs)} ms` : 'not available';
    });
    return nodes.map((node) => {
      const own = (variant) => cell(sides.find((side) => side.node === node && side.variant === variant));
      return [size, threads, node.slice(1), ...torch, ...used.map(own)];
    });
  });
  return [header, header.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}

const cacheText = (caches) =>
  caches === undefined
    ? ''
    : `, caches ${Object.entries(caches)
        .map(([level, size]) => `${level} ${size}`)
        .join(' ')}`;

const BUSY_NOTE = ' The machine was busy with other work: these numbers are not fit for comparison.';

/** The section between README's markers. */
export function speedSection(record, file) {
  const { machine } = record;
  const torch = record.runs.flatMap(({ sides }) => sides).find(({ kind, available }) => kind === 'torch' && available)?.info.torch;
  const worst = record.runs.flatMap(({ sides }) =>
    sides.filter((side) => side.kind === 'ours' && side.available).map((side) => side.worstLossDifference),
  );
  const rounds = record.runs.map(({ shape }) => shape.rounds);
  return `<!-- speed: ${file} -->
One training step (copy of the batch, forward, backward, clipping, AdamW, loss read back) next to PyTorch ${torch} on the same processor, from the same weights and batches, in ${Math.min(...rounds)} or more
interleaved rounds: medians, and in bold PyTorch eager's time divided by ours (above 1: faster than PyTorch). Losses of every step agree to ${Math.max(...worst).toExponential(1)}.
${machine.cpu}, ${machine.cores} cores (${machine.vectors.join(', ')}${cacheText(machine.caches)}), ${machine.os}; commit ${record.commit}${record.dirty ? ' with changes' : ''}, ${record.date.slice(0, 10)};
[all numbers](${file}), made by \`${record.command}\`.${record.runs.some(({ busy }) => busy > BUSY) ? BUSY_NOTE : ''}

${stepsTable(record)}

S: 4 layers, 4 heads, width 128, context 64, 12 rows, 65 tokens · M: 6/6/384, 256, 16 rows, 65 · L: 12/12/768, 64, 4 rows, 50,257. Default settings: \`Engine.start()\`. Not measured: Apple silicon, more cores, Firefox, Safari.
${END}`;
}

/** README with its section made from a record. */
export function withSection(readme, section) {
  const begin = BEGIN.exec(readme);
  const end = readme.indexOf(END);
  if (begin === null || end < begin.index)
    throw new Error('README.md must have the markers <!-- speed: FILE --> and <!-- end of speed -->');
  return readme.slice(0, begin.index) + section + readme.slice(end + END.length);
}

/** The record that README names. */
export const recordOf = (readme) => BEGIN.exec(readme)?.[1];

/** README as it should be, from the record it names or from another. */
export async function renderReadme(readme, file = recordOf(readme)) {
  if (file === undefined) throw new Error('README.md must name its record: <!-- speed: bench/record/FILE.json -->');
  return withSection(readme, speedSection(JSON.parse(await readFile(join(ROOT, file), 'utf8')), file));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [file] = process.argv.slice(2);
  if (file === undefined) {
    console.error('usage: node scripts/bench/table.mjs bench/record/FILE.json');
    process.exit(2);
  }
  const path = join(ROOT, 'README.md');
  await writeFile(path, await renderReadme(await readFile(path, 'utf8'), `bench/record/${basename(file)}`));
  console.log('wrote README.md');
}
