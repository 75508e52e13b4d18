// One instance of the kernels with the pools of the differential run in its memory. Node alone, one thread, no engine around it.
import { createKernels } from '../../ts/wasm/kernels.js';
import { POOL_ELEMENTS, POOLS } from './programs.mjs';

const RESULT_NAN = 0x7fc00000;

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

/** The same words with every NaN made one NaN: which one comes out is left open by WebAssembly. @returns how many differed before */
export function unifyNaN(a, b) {
  let differing = 0;
  for (let i = 0; i < a.length; i++) {
    const [isNaNA, isNaNB] = [(a[i] & 0x7fffffff) > 0x7f800000, (b[i] & 0x7fffffff) > 0x7f800000];
    if (isNaNA && isNaNB && a[i] !== b[i]) differing++;
    if (isNaNA) a[i] = RESULT_NAN;
    if (isNaNB) b[i] = RESULT_NAN;
  }
  return differing;
}
