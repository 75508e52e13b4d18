// The text kernels in a browser: fetched, and compiled while they arrive where the server says what they are.
import type { CompileText } from './source';

export const compileText: CompileText = async ({ textWasmUrl, textWasmModule }) => {
  if (textWasmModule !== undefined) return textWasmModule;
  const url = textWasmUrl ?? new URL('./text.wasm', import.meta.url);
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${String(url)}: HTTP status ${response.status}`);
  const wasm = response.headers.get('content-type')?.startsWith('application/wasm') ?? false;
  return wasm ? WebAssembly.compileStreaming(response) : WebAssembly.compile(await response.arrayBuffer());
};
