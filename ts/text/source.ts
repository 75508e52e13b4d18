// What differs between Node and browsers when the text kernels are loaded. source.node.ts and source.browser.ts implement it; package.json's imports
// entry "#text-source" chooses.

/** Where the text kernels come from when not from beside the package's own files. */
export interface TextSource {
  /** The address of text.wasm. */
  textWasmUrl?: string | URL;
  /** The compiled module. */
  textWasmModule?: WebAssembly.Module;
}

/** Compiles the text kernels. */
export type CompileText = (source: TextSource) => Promise<WebAssembly.Module>;
