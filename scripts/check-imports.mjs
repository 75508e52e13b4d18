// Part of `npm run lint`: the rules of docs/architecture.md that no other tool checks. Rooms import only the rooms below them; comlink and the built kernels
// belong to the engine; Node's modules stay in files made for Node; arithmetic whose bits differ between JavaScript engines stays out of ts/; crates depend
// on crates below them. Prints every breach; exit code 1 where there is one.
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve, sep } from 'node:path';
import typescript from 'typescript';
import { ROOT } from './lib/run.mjs';

const BASE = ['errors', 'json', 'math', 'options', 'stream', 'version'];
const BELOW_TRAIN = ['text', 'graph', 'nn', 'models', 'engine', 'bind', 'optim', 'data', 'tokenizers', 'io', 'metrics', 'adapters'];

/** Room → the rooms it may import besides itself. A room is a folder of ts/ or a single file there. */
export const ROOMS = {
  errors: [],
  version: [],
  json: [],
  options: ['errors'],
  stream: ['errors'],
  math: ['errors'],
  graph: ['errors', 'math'],
  nn: ['errors', 'math', 'options', 'graph'],
  models: ['errors', 'math', 'options', 'graph', 'nn'],
  engine: [...BASE, 'graph', 'wasm'],
  bind: [...BASE, 'graph', 'nn', 'engine'],
  optim: ['errors', 'math', 'options', 'graph'],
  text: ['errors', 'wasm'],
  metrics: ['errors', 'math', 'options', 'version'],
  tokenizers: [...BASE, 'text'],
  data: [...BASE, 'tokenizers'],
  io: [...BASE, 'graph', 'nn', 'models', 'text', 'tokenizers'],
  adapters: [...BASE, 'graph', 'nn', 'engine', 'bind', 'io'],
  train: [...BASE, ...BELOW_TRAIN],
  generate: [...BASE, ...BELOW_TRAIN],
  api: [...BASE, ...BELOW_TRAIN, 'train', 'generate'],
  index: [...BASE, ...BELOW_TRAIN, 'train', 'generate', 'api'],
  'index.node': ['index'],
  'index.browser': ['index'],
  cli: [...BASE, ...BELOW_TRAIN, 'train', 'generate', 'api', 'index', 'index.node'],
};

const OWNERS = { '#platform': ['engine'], '#text-source': ['text'], '#realm': ['engine'] };
const PACKAGES = { comlink: ['engine'], commander: ['cli'], yaml: ['cli'], uplot: ['cli'], '@huggingface': ['tokenizers'] };
const NODE_FILES = /^ts\/cli\/|^ts\/index\.node\.ts$|\/node[A-Z]?[^/]*\.ts$|\.node\.ts$/;
const UNSTEADY = new Set(
  'pow exp log log2 log10 log1p expm1 sin cos tan asin acos atan atan2 sinh cosh tanh asinh acosh atanh cbrt hypot random'.split(' '),
);
const SHOWS_NUMBERS_ONLY = /^ts\/cli\//; // what the command line computes goes to people, never to an engine
const CLOCKLESS = /^ts\/(math|graph|nn|models|optim|data|tokenizers)\//;

/** Crate → the crates of this workspace it may depend on. */
const CRATES = { simd: [], text: [], kernels: ['simd'], engine: ['kernels', 'simd'], wasm: ['engine', 'kernels', 'simd'] };

const posix = (path) => path.split(sep).join('/');
const roomOf = (file) => /^ts\/([^/]+?)(?:\.ts)?(?:\/|$)/.exec(file)?.[1];

function filesUnder(folder, ending) {
  return readdirSync(join(ROOT, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(ending))
    .map((entry) => posix(relative(ROOT, join(entry.parentPath, entry.name))));
}

/** What is wrong with importing `target` in `file`, or undefined. Paths are relative to the repository. */
export function importBreach(file, target) {
  const room = roomOf(file);
  if (!(room in ROOMS)) return `"${room}" is no room of docs/architecture.md`;
  if (target.startsWith('node:')) return NODE_FILES.test(file) ? undefined : `${target} is for files made for Node`;
  if (target.startsWith('#')) return OWNERS[target]?.includes(room) ? undefined : `${target} may not be imported by ${room}`;
  if (!target.startsWith('.')) {
    const name = target.split('/')[0];
    return PACKAGES[name]?.includes(room) ? undefined : `${target} may not be imported by ${room}`;
  }
  const to = roomOf(posix(relative(ROOT, resolve(ROOT, dirname(file), target))));
  return to === room || ROOMS[room].includes(to) ? undefined : `${room} may not import ${to}`;
}

/** Every breach in one TypeScript source, as `file:line: what`. */
export function sourceBreaches(file, text) {
  const source = typescript.createSourceFile(file, text, typescript.ScriptTarget.Latest, true);
  const breaches = [];
  const report = (node, what) => {
    if (what) breaches.push(`${file}:${source.getLineAndCharacterOfPosition(node.getStart(source)).line + 1}: ${what}`);
  };
  const visit = (node) => {
    const specifier = typescript.isImportTypeNode(node) ? node.argument.literal : node.moduleSpecifier;
    const dynamic =
      typescript.isCallExpression(node) && node.expression.kind === typescript.SyntaxKind.ImportKeyword ? node.arguments[0] : undefined;
    for (const name of [specifier, dynamic]) if (name && typescript.isStringLiteralLike(name)) report(node, importBreach(file, name.text));
    if (!SHOWS_NUMBERS_ONLY.test(file)) report(node, arithmeticBreach(node, source));
    if (CLOCKLESS.test(file) && typescript.isIdentifier(node) && node.text === 'Date')
      report(node, 'Date has no place in code whose numbers reach an engine');
    typescript.forEachChild(node, visit);
  };
  visit(source);
  return breaches;
}

function arithmeticBreach(node, source) {
  if (typescript.isPropertyAccessExpression(node) && node.expression.getText(source) === 'Math' && UNSTEADY.has(node.name.text)) {
    return `Math.${node.name.text} differs between JavaScript engines: use ts/math`;
  }
  const power = [typescript.SyntaxKind.AsteriskAsteriskToken, typescript.SyntaxKind.AsteriskAsteriskEqualsToken];
  if (typescript.isBinaryExpression(node) && power.includes(node.operatorToken.kind)) {
    const literal = typescript.isNumericLiteral(node.left) && /^-?\d+$/.test(node.right.getText(source));
    return literal ? undefined : '** differs between JavaScript engines: use ts/math';
  }
  return undefined;
}

/** Breaches of the crates' direction: dependencies in Cargo.toml, and core::arch outside crates/simd (waiting and notifying aside). */
function crateBreaches() {
  const breaches = [];
  for (const name of readdirSync(join(ROOT, 'crates'))) {
    if (!(name in CRATES)) {
      breaches.push(`crates/${name}: no crate of docs/architecture.md`);
      continue;
    }
    const manifest = readFileSync(join(ROOT, 'crates', name, 'Cargo.toml'), 'utf8');
    for (const [, dependency] of manifest.matchAll(/\bpath = "\.\.\/(\w+)"/g)) {
      if (!CRATES[name].includes(dependency)) breaches.push(`crates/${name}/Cargo.toml: ${name} may not depend on ${dependency}`);
    }
    if (name === 'simd') continue;
    for (const file of filesUnder(`crates/${name}`, '.rs')) {
      readFileSync(join(ROOT, file), 'utf8')
        .split('\n')
        .forEach((line, i) => {
          if (
            /^(?!\s*\/\/).*\b(core|std)::arch\b/.test(line) &&
            !line.includes('memory_atomic') &&
            !/arch::wasm32::unreachable/.test(line)
          ) {
            breaches.push(`${file}:${i + 1}: core::arch belongs to crates/simd`);
          }
        });
    }
  }
  return breaches;
}

function main() {
  const sources = filesUnder('ts', '.ts').filter((file) => !/\.test\.ts$|\/testing\/|^ts\/wasm\/|\.d\.ts$/.test(file));
  const breaches = [...sources.flatMap((file) => sourceBreaches(file, readFileSync(join(ROOT, file), 'utf8'))), ...crateBreaches()];
  for (const breach of breaches) console.error(breach);
  console.log(`check-imports: ${sources.length} files, ${breaches.length} breaches`);
  return breaches.length > 0 ? 1 : 0;
}

if (process.argv[1] && resolve(process.argv[1]) === resolve(import.meta.filename ?? new URL(import.meta.url).pathname))
  process.exitCode = main();
