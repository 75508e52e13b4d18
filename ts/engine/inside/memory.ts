// Makes the engine's memory. It is shared even for one thread, since the build imports a shared one.
import { FerroError } from '../../errors';

const PAGE_BYTES = 65536;

/** At least what the builds declare (4 MiB and a page of wasm-bindgen); the kernels grow it as they allocate. */
const INITIAL_PAGES = 80;

/** Some systems (iOS) refuse to reserve a large maximum, so smaller ones are tried. */
const MAXIMUM_PAGES = [65536, 32768, 16384, 8192];

/** A memory, and how far it can grow. */
export interface EngineMemory {
  memory: WebAssembly.Memory;
  maximumBytes: number;
}

/** Reserves the largest maximum that the system grants, from 4 GiB down to 512 MiB. @throws FerroError OUT_OF_MEMORY */
export function createMemory(construct: (descriptor: WebAssembly.MemoryDescriptor) => WebAssembly.Memory = newMemory): EngineMemory {
  let refusal: unknown;
  for (const maximum of MAXIMUM_PAGES) {
    try {
      return { memory: construct({ initial: INITIAL_PAGES, maximum, shared: true }), maximumBytes: maximum * PAGE_BYTES };
    } catch (error) {
      refusal = error;
    }
  }
  const least = MAXIMUM_PAGES[MAXIMUM_PAGES.length - 1] * PAGE_BYTES;
  throw new FerroError('OUT_OF_MEMORY', `Engine.start: the system must let a memory grow to ${least} bytes, got a refusal`, {
    cause: refusal,
  });
}

function newMemory(descriptor: WebAssembly.MemoryDescriptor): WebAssembly.Memory {
  return new WebAssembly.Memory(descriptor);
}
