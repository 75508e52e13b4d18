// What is done to a built .wasm file: custom sections (names, producers) are dropped, nothing else. No optimiser runs over it: the
// compiler has optimised already, and the order of loads in the kernels' loops, which such passes change, decides their speed.

import { gzipSync } from 'node:zlib';

const MAX_GZIP_BYTES = 150_000;
const CUSTOM_SECTION = 0;

/** An unsigned LEB128 number at an offset: [value, offset after it]. */
function readUnsigned(bytes, offset) {
  let value = 0;
  for (let shift = 0; ; shift += 7) {
    const byte = bytes[offset++];
    value += (byte & 0x7f) * 2 ** shift;
    if (byte < 0x80) return [value, offset];
  }
}

/** The module without its custom sections. */
export function stripCustomSections(bytes) {
  const kept = [bytes.subarray(0, 8)]; // magic and version
  for (let at = 8; at < bytes.length; ) {
    const [size, start] = readUnsigned(bytes, at + 1);
    if (bytes[at] !== CUSTOM_SECTION) kept.push(bytes.subarray(at, start + size));
    at = start + size;
  }
  return Buffer.concat(kept);
}

/** Throws if a module is not valid here, is too large, lacks the shared memory, or tells where it was built. */
export function checkBinary(name, bytes, forbiddenPaths) {
  if (!WebAssembly.validate(bytes)) throw new Error(`${name}: this Node (${process.version}) cannot validate the module`);
  const memory = WebAssembly.Module.imports(new WebAssembly.Module(bytes)).filter((entry) => entry.kind === 'memory');
  if (memory.length !== 1) throw new Error(`${name}: must import one memory, imports ${memory.length}`);
  for (const path of [...forbiddenPaths, '/root/', '/home/', '/usr/lib/rustlib', '/usr/src/', '.cargo/registry']) {
    if (bytes.includes(path)) throw new Error(`${name}: must not name a path of the building machine, has ${path}`);
  }
  const gzipBytes = gzipSync(bytes, { level: 9 }).length;
  if (gzipBytes > MAX_GZIP_BYTES) throw new Error(`${name}: must have at most ${MAX_GZIP_BYTES} bytes compressed, has ${gzipBytes}`);
  return { gzipBytes };
}
