// The memory's users: variables by the outside's numbers, and the buffers of programs. Every allocation is checked against the limit first.
import { FerroError } from '../../errors';
import { fnv1a64, seedWords } from '../../math';
import type { WireInit, WireNumbers, WireVariable } from '../protocol';
import type { Kernels, RandomKey } from './kernels';

/** A variable's place. */
interface Region {
  region: number;
  bytes: number;
  dtype: string;
}

/** All regions of one engine. */
export class RegionStore {
  readonly limitBytes: number;
  readonly #kernels: Kernels;
  readonly #variables = new Map<number, Region>();
  #variableBytes = 0;

  constructor(kernels: Kernels, limitBytes: number) {
    this.#kernels = kernels;
    this.limitBytes = limitBytes;
  }

  /** Bytes of all variables. */
  get variableBytes(): number {
    return this.#variableBytes;
  }

  /** Whether `bytes` more would still be within the limit. */
  hasRoom(bytes: number): boolean {
    return this.#kernels.liveBytes() + bytes <= this.limitBytes;
  }

  /** @throws FerroError OUT_OF_MEMORY with the bytes needed, in use and allowed */
  requireRoom(bytes: number, op: string): void {
    if (this.hasRoom(bytes)) return;
    const used = this.#kernels.liveBytes();
    throw new FerroError('OUT_OF_MEMORY', `${op}: needs ${bytes} bytes more, but ${used} of ${this.limitBytes} bytes are in use`);
  }

  /** A region of at least `bytes`; an empty tensor has one too. */
  alloc(bytes: number): number {
    return this.#kernels.regionAlloc(Math.max(4, bytes));
  }

  /** The kernels' region of a variable. */
  get(id: number, op: string): Region {
    const found = this.#variables.get(id);
    if (found === undefined) throw new FerroError('UNBOUND_VARIABLE', `${op}: the variable must have a region, got number ${id}`);
    return found;
  }

  /** Makes room for a variable and fills it. */
  create(variable: WireVariable, seed: number): void {
    const { id, name, bytes, dtype, init } = variable;
    const region = this.alloc(bytes);
    this.#variables.set(id, { region, bytes, dtype });
    this.#variableBytes += bytes;
    this.#fill(region, bytes, dtype, init, [...seedWords(seed), ...fnv1a64(name)]);
  }

  /** Frees a variable. One that is not there is passed over. */
  free(id: number): void {
    const found = this.#variables.get(id);
    if (found === undefined) return;
    this.#variables.delete(id);
    this.#variableBytes -= found.bytes;
    this.#kernels.regionFree(found.region);
  }

  /** Copies `data` into a variable from element `start` on; the outside has checked that it fits. */
  write(id: number, data: WireNumbers, start = 0): void {
    this.#kernels.write(this.get(id, 'write').region, data, start);
  }

  /** A copy of a variable's elements `start` … `end` − 1. */
  read(id: number, start: number, end: number): WireNumbers {
    const { region, dtype } = this.get(id, 'read');
    return this.#kernels.read(region, end - start, dtype, start);
  }

  #fill(region: number, bytes: number, dtype: string, init: WireInit, key: RandomKey): void {
    switch (init.kind) {
      case 'constant':
        // The kernels fill with f32; an integer's bits are another pattern.
        if (dtype === 'i32' && init.value !== 0) this.#kernels.write(region, new Int32Array(bytes / 4).fill(init.value));
        else this.#kernels.regionFill(region, init.value);
        break;
      case 'normal':
        this.#kernels.regionFillNormal(region, init.mean, init.std, key);
        break;
      case 'uniform':
        this.#kernels.regionFillUniform(region, init.low, init.high, key);
        break;
      case 'sinusoidal':
        this.#kernels.regionFillSinusoidal(region, init.rows, init.cols, init.noise, key);
        break;
      case 'rotary':
        this.#kernels.regionFillRotary(region, init.rows, init.cols, init.base, init.scaling);
        break;
      case 'data':
        this.#kernels.write(region, init.data);
        break;
    }
  }
}
