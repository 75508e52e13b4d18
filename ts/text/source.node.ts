// The text kernels in Node: read from the file system.
import { readFile } from 'node:fs/promises';
import type { CompileText } from './source';

/** The bytes beside the bundled file, or, when the sources run as they are (tests), in ts/wasm. */
async function packaged(): Promise<Uint8Array<ArrayBuffer>> {
  const beside = await readFile(new URL('./text.wasm', import.meta.url)).catch(() => null);
  return new Uint8Array(beside ?? (await readFile(new URL('../wasm/text.wasm', import.meta.url))));
}

async function download(url: URL): Promise<Uint8Array<ArrayBuffer>> {
  if (url.protocol === 'file:') return new Uint8Array(await readFile(url));
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url.href}: HTTP status ${response.status}`);
  return new Uint8Array(await response.arrayBuffer());
}

export const compileText: CompileText = async ({ textWasmUrl, textWasmModule }) => {
  if (textWasmModule !== undefined) return textWasmModule;
  const bytes = textWasmUrl === undefined ? await packaged() : await download(new URL(textWasmUrl, `file://${process.cwd()}/`));
  return WebAssembly.compile(bytes);
};
