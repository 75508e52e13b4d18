// The store on pretended kernels that only count bytes: eviction and failed allocations can be forced there. The real ones are in engine.test.ts.
import { describe, expect, it } from 'vitest';
import type { WireProgram } from '../protocol';
import type { Kernels } from './kernels';
import { MAX_LOADED, ProgramStore } from './programs';
import { RegionStore } from './regions';

class CountingKernels {
  readonly regions = new Map<number, number>();
  readonly programs = new Set<number>();
  loads = 0;
  /** The allocation of this number fails, counted from now. */
  failAt = Number.POSITIVE_INFINITY;
  #next = 1;

  regionAlloc(bytes: number): number {
    if (--this.failAt < 0) throw new Error('OUT_OF_MEMORY: region_alloc: the memory cannot grow');
    this.regions.set(this.#next, bytes);
    return this.#next++;
  }
  regionFree(region: number): void {
    if (!this.regions.delete(region)) throw new Error(`BAD_PROGRAM: region_free: got ${region}`);
  }
  regionFill(): void {}
  write(): void {}
  programLoad(): number {
    this.loads++;
    this.programs.add(this.#next);
    return this.#next++;
  }
  programFree(program: number): void {
    if (!this.programs.delete(program)) throw new Error(`BAD_PROGRAM: program_free: got ${program}`);
  }
  arenaBytes(): number {
    return 0;
  }
  liveBytes(): number {
    return [...this.regions.values()].reduce((sum, bytes) => sum + bytes, 0);
  }
}

function setUp(limitBytes = 1e9) {
  const kernels = new CountingKernels();
  const regions = new RegionStore(kernels as unknown as Kernels, limitBytes);
  return { kernels, regions, programs: new ProgramStore(kernels as unknown as Kernels, regions) };
}

const program = (id: number, sizeBytes: number, variables: number[] = []): WireProgram => ({
  id,
  name: `p${id}`,
  words: new Uint32Array(),
  bindings: [...variables.map((variable) => ({ variable })), { sizeBytes }, { sizeBytes: 4, data: Float32Array.of(id) }],
  arenaBytes: 0,
});

describe('the program store', () => {
  it(`holds at most ${MAX_LOADED}, evicts the least recently used and loads it again when it is used`, () => {
    const { kernels, programs } = setUp();
    for (let id = 0; id < MAX_LOADED; id++) programs.add(program(id, 100));
    programs.use(0, 'run');
    programs.add(program(1000, 100)); // evicts 1, not 0
    expect(kernels.programs.size).toBe(MAX_LOADED);
    const loads = kernels.loads;
    programs.use(0, 'run');
    expect(kernels.loads).toBe(loads);
    const again = programs.use(1, 'run');
    expect(kernels.loads).toBe(loads + 1);
    expect(kernels.programs.has(again.program)).toBe(true);
    expect(programs.bytes).toBe(MAX_LOADED * 104);
    expect(kernels.liveBytes()).toBe(programs.bytes);
  });

  it('evicts others when bytes run out, and refuses only what does not fit alone', () => {
    const { kernels, programs } = setUp(1000);
    programs.add(program(1, 400));
    programs.add(program(2, 400));
    programs.add(program(3, 500));
    expect(kernels.programs.size).toBe(2); // 1 went, 2 stayed
    const loads = kernels.loads;
    programs.use(2, 'run');
    expect(kernels.loads).toBe(loads);
    expect(() => programs.add(program(4, 2000))).toThrow(
      expect.objectContaining({ code: 'OUT_OF_MEMORY', message: 'load: needs 2004 bytes more, but 0 of 1000 bytes are in use' }),
    );
    expect(() => programs.use(4, 'run')).toThrow(expect.objectContaining({ code: 'INVALID_OPTION' }));
    programs.use(3, 'run'); // evicted meanwhile, and back
    expect(kernels.programs.size).toBe(1);
  });

  it('a failure at any allocation leaves nothing behind', () => {
    for (let k = 0; k < 2; k++) {
      const { kernels, programs } = setUp();
      programs.add(program(1, 100));
      const before = kernels.liveBytes();
      kernels.failAt = k;
      expect(() => programs.add(program(2, 100))).toThrow(/OUT_OF_MEMORY/);
      kernels.failAt = Number.POSITIVE_INFINITY;
      expect(kernels.liveBytes()).toBe(before);
      expect(programs.bytes).toBe(before);
      programs.add(program(2, 100));
      expect(kernels.programs.size).toBe(2);
    }
  });

  it('frees what it held of a program that is removed or whose variable is released', () => {
    const { kernels, regions, programs } = setUp();
    regions.create({ id: 50, name: 'w', bytes: 40, dtype: 'f32', init: { kind: 'constant', value: 0 } }, 1);
    programs.add(program(1, 100, [50]));
    programs.add(program(2, 100));
    programs.add(program(3, 100));
    programs.remove(2);
    programs.remove(2);
    programs.removeUsersOf(new Set([50]));
    regions.free(50);
    expect(kernels.programs.size).toBe(1);
    expect(kernels.liveBytes()).toBe(104);
    expect(() => programs.use(1, 'run')).toThrow(expect.objectContaining({ code: 'INVALID_OPTION' }));
  });

  it('a program bound to a variable that is not there is refused', () => {
    const { kernels, programs } = setUp();
    expect(() => programs.add(program(1, 100, [77]))).toThrow(expect.objectContaining({ code: 'UNBOUND_VARIABLE' }));
    expect(kernels.liveBytes()).toBe(0);
  });
});
