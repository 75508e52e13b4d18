// What a built .wasm file must be before it is kept. Nothing is done to it: the compiler has optimised already, and the order of
// loads in the kernels' loops, which an optimiser behind it (wasm-opt) may change, decides their speed. Function names stay in (5 kB
// compressed): they make the stack of a trap readable.

import { setFlagsFromString } from 'node:v8';
import { gzipSync } from 'node:zlib';
import { functionsWithVectorParameters } from '../lib/wasm-module.mjs';

const MAX_GZIP_BYTES = 150_000;

// Node 20 knows relaxed SIMD, but only behind this flag; later versions refuse it.
if (process.versions.node.startsWith('20.')) setFlagsFromString('--experimental-wasm-relaxed-simd');

/** Throws if a module of the engine's kernels is not valid here, is too large, lacks the shared memory, passes vectors by value, or tells where it was built. */
export function checkBinary(name, bytes, forbiddenPaths) {
  const result = checkAny(name, bytes, forbiddenPaths);
  const memory = importedMemories(bytes);
  if (memory.length !== 1) throw new Error(`${name}: must import one memory, imports ${memory.length}`);
  const vectors = functionsWithVectorParameters(bytes);
  if (vectors.length > 0) {
    throw new Error(`${name}: no function may have a v128 parameter (docs/kernels.md says why and what helps), has ${vectors.join(', ')}`);
  }
  return result;
}

/** The same for the text kernels, which have a memory of their own. */
export function checkTextBinary(name, bytes, forbiddenPaths) {
  const result = checkAny(name, bytes, forbiddenPaths);
  if (importedMemories(bytes).length !== 0) throw new Error(`${name}: must import no memory`);
  return result;
}

const importedMemories = (bytes) => WebAssembly.Module.imports(new WebAssembly.Module(bytes)).filter((entry) => entry.kind === 'memory');

function checkAny(name, bytes, forbiddenPaths) {
  if (!WebAssembly.validate(bytes)) throw new Error(`${name}: this Node (${process.version}) cannot validate the module`);
  for (const path of [...forbiddenPaths, '/root/', '/home/', '/usr/lib/rustlib', '/usr/src/', '.cargo/registry']) {
    if (bytes.includes(path)) throw new Error(`${name}: must not name a path of the building machine, has ${path}`);
  }
  const gzipBytes = gzipSync(bytes, { level: 9 }).length;
  if (gzipBytes > MAX_GZIP_BYTES) throw new Error(`${name}: must have at most ${MAX_GZIP_BYTES} bytes compressed, has ${gzipBytes}`);
  return { gzipBytes };
}
