// One instance of the kernels with the pools of the differential run in its memory. Node alone, one thread, no engine around it.
import { createKernels } from '../../ts/wasm/kernels.js';
import { POOL_ELEMENTS, POOLS } from './programs.mjs';

const NAN_32 = 0x7fc00000;
const NAN_64 = 0x7ff80000;

export class Machine {
  #memory = new WebAssembly.Memory({ initial: 80, maximum: 65536, shared: true });
  #regions;
  kernels = createKernels();

  constructor(module) {
    this.kernels.initSync({ module, memory: this.#memory, thread_stack_size: 1 << 20 });
    this.kernels.engine_init(1);
    this.#regions = Uint32Array.from(POOL_ELEMENTS, (elements) => this.kernels.region_alloc(elements * 4));
  }

  /** The 32-bit words of a pool, as a view for one use. */
  #pool(binding) {
    return new Uint32Array(this.#memory.buffer, this.kernels.region_ptr(this.#regions[binding]) >>> 0, POOL_ELEMENTS[binding]);
  }

  /** Runs a program on these pools. @returns the first `used` words of the results and, where a kernel found a fault, that fault */
  run({ words, pools, scalars, tile, used }) {
    pools.forEach((values, binding) => {
      this.#pool(binding).set(values);
      this.kernels.region_touch(this.#regions[binding]);
    });
    this.kernels.set_register_tile(tile);
    const program = this.kernels.program_load(words, this.#regions);
    let fault = '';
    try {
      this.kernels.run_begin(program, new Uint32Array(0), scalars);
      while (this.kernels.run_slice(1000) !== 0);
    } catch (error) {
      if (!String(error.message).startsWith('KERNEL_FAULT')) throw error;
      fault = this.kernels.fault().join();
    }
    this.kernels.program_free(program);
    return { results: this.#pool(POOLS.result).slice(0, used), fault };
  }
}

/**
 * The same words with every NaN made one NaN: which one comes out WebAssembly leaves open.
 * @param doubles [first, end) of the words that are f64, low word first; all others are f32 (or integers, none of which looks like a NaN here)
 * @returns how many differed before
 */
export function unifyNaN(a, b, doubles = []) {
  let differing = 0;
  let at = 0;
  for (const [from, end] of [...doubles, [a.length, a.length]]) {
    for (; at < from; at++) {
      const [first, second] = [a[at], b[at]];
      if ((first & 0x7fffffff) > 0x7f800000) a[at] = NAN_32;
      if ((second & 0x7fffffff) > 0x7f800000) b[at] = NAN_32;
      if (first !== second && a[at] === b[at]) differing++;
    }
    for (; at < end; at += 2) {
      const before = a[at] !== b[at] || a[at + 1] !== b[at + 1];
      for (const words of [a, b]) {
        if (!Number.isNaN(new Float64Array(words.slice(at, at + 2).buffer)[0])) continue;
        words[at] = 0;
        words[at + 1] = NAN_64;
      }
      if (before && a[at] === b[at] && a[at + 1] === b[at + 1]) differing++;
    }
  }
  return differing;
}
