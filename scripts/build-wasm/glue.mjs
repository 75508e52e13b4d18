// Turns wasm-bindgen's glue into kernels.js and text.js: one function that returns a fresh set of exports. The glue keeps one instance per
// JavaScript module; as a function, several engines can live in one thread. The loader for URLs is cut out: modules come compiled.

const HEADER = `// Made by scripts/build-wasm.mjs from wasm-bindgen's output. Do not edit.\n`;

/** The glue as an exported function of this name. */
export function makeGlue(glue, name) {
  const exports = [...glue.matchAll(/^export (?:function|class) (\w+)/gm)].map((match) => match[1]);
  if (exports.length === 0 || !glue.includes('export { initSync, __wbg_init as default };')) {
    throw new Error('the glue has another form than build-wasm/glue.mjs knows (a new wasm-bindgen?)');
  }
  let body = glue.replace(/^\/\* @ts-self-types.*\n/, '');
  for (const loader of ['__wbg_load', '__wbg_init_once', '__wbg_init']) body = cutFunction(body, loader);
  body = body
    .replace(/^let __wbg_init_promise;\n/m, '')
    .replace('export { initSync, __wbg_init as default };', `return { initSync, ${exports.join(', ')} };`)
    .replaceAll(/^export (function|class) /gm, '$1 ')
    .replace(/memory: memory \|\| new WebAssembly\.Memory\([^)]*\),/, 'memory,');
  for (const leftover of ['export ', 'import.meta', 'fetch(', '__wbg_init', 'new WebAssembly.Memory']) {
    if (body.includes(leftover)) throw new Error(`the glue must not keep "${leftover}"`);
  }
  return `${HEADER}export function ${name}() {\n${body.trim()}\n}\n`;
}

/** Removes a top-level (async) function: from its line to the next line that is a closing brace alone. */
function cutFunction(text, name) {
  const start = text.search(new RegExp(`^(async )?function ${name}\\(`, 'm'));
  const end = start < 0 ? -1 : text.indexOf('\n}\n', start);
  if (end < 0) throw new Error(`the glue has no function ${name}`);
  return text.slice(0, start) + text.slice(end + 3);
}

/** The types of what `createKernels()\` returns. */
export function makeTypes(types) {
  const functions = types.match(/^(\/\*\*\n(?: \*.*\n)* \*\/\n)?export function (?!initSync)\w+\(.*\): .*;$/gm);
  if (functions === null) throw new Error('the types have another form than build-wasm/glue.mjs knows');
  const members = functions.map((text) => text.replace('export function ', '').replaceAll(/^/gm, '  '));
  return `${HEADER}
/** The exports of one instance of the kernels (docs/architecture.md, section 4). */
export interface Kernels {
  /** Instantiates the module over a shared memory. Comes first. \`thread_stack_size\` is a multiple of 65536, for threads other than the first. */
  initSync(options: { module: WebAssembly.Module; memory: WebAssembly.Memory; thread_stack_size?: number }): unknown;
${members.join('\n')}
}

/** A fresh set of exports with state of its own. */
export function createKernels(): Kernels;
`;
}

/** The types of the text kernels: their classes and functions, as what `createText()` returns. */
export function makeTextTypes(types) {
  const end = types.indexOf('export type InitInput');
  if (end < 0) throw new Error('the types have another form than build-wasm/glue.mjs knows');
  const declared = types
    .slice(0, end)
    .replace(/^\/\* (tslint|eslint).*\n/gm, '')
    .trim();
  const classes = [...declared.matchAll(/^export class (\w+)/gm)].map(([, name]) => `  ${name}: typeof ${name};`);
  const functions = declared.match(/^export function \w+\(.*\): .*;$/gm) ?? [];
  const members = [...classes, ...functions.map((text) => text.replace('export function ', '  '))];
  const declarations = declared.replaceAll(/^(\/\*\*\n(?: \*.*\n)* \*\/\n)?export function \w+\(.*\): .*;\n?/gm, '').trim();
  return `${HEADER}
${declarations}

/** The exports of one instance of the text kernels. */
export interface TextExports {
  /** Instantiates the module. Comes first. */
  initSync(options: { module: WebAssembly.Module }): unknown;
${members.join('\n')}
}

/** A fresh set of exports with state of its own. */
export function createText(): TextExports;
`;
}
