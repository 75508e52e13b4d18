import { describe, expect, it, vi } from 'vitest';
import type { Platform } from '../platform';
import { planThreads, readEngineOptions, warn } from './options';
import type { EngineOptions } from './types';

const platform = (cores: number, obstacle?: string) =>
  ({ hardwareThreads: () => cores, sharingObstacle: () => obstacle }) as unknown as Platform;

describe('engine options', () => {
  it.each<[Record<string, unknown>, string, string]>([
    [{ threads: 0 }, 'INVALID_OPTION', '"threads" must be an integer from 1 to 64, got 0'],
    [{ threads: 1.5 }, 'INVALID_OPTION', 'got 1.5'],
    [{ threads: Number.NaN }, 'INVALID_OPTION', 'got NaN'],
    [{ threads: '2' }, 'INVALID_OPTION', 'got "2"'],
    [{ threads: 65 }, 'INVALID_OPTION', 'got 65'],
    [{ simd: 'avx' }, 'INVALID_OPTION', '"simd" must be one of "auto", "portable", "relaxed", "auto256", got "avx"'],
    [{ worker: 0 }, 'INVALID_OPTION', '"worker" must be true or false, got 0'],
    [{ maxMemoryBytes: -1 }, 'INVALID_OPTION', 'got -1'],
    [{ maxMemoryBytes: Number.POSITIVE_INFINITY }, 'INVALID_OPTION', 'got Infinity'],
    [{ onWarning: 'yes' }, 'INVALID_OPTION', '"onWarning" must be a function, got "yes"'],
    [{ thread: 2 }, 'UNKNOWN_OPTION', 'got "thread" (the nearest is "threads")'],
  ])('%j is refused', (options, code, text) => {
    expect(() => readEngineOptions(options as EngineOptions)).toThrow(
      expect.objectContaining({ code, message: expect.stringContaining(text) }),
    );
  });

  it('takes every valid option', () => {
    const options: EngineOptions = { threads: 64, simd: 'portable', worker: false, maxMemoryBytes: 1e7, onWarning: () => {} };
    expect(readEngineOptions(options)).toEqual(options);
    expect(readEngineOptions({ threads: undefined })).toEqual({});
    expect(readEngineOptions({ max_memory_bytes: 1e7 } as EngineOptions)).toEqual({ maxMemoryBytes: 1e7 });
  });
});

describe('the number of threads', () => {
  it('is the number of cores, at most 8, unless given', () => {
    expect(planThreads({}, platform(2)).threads).toBe(2);
    expect(planThreads({}, platform(64)).threads).toBe(8);
    expect(planThreads({}, platform(0)).threads).toBe(1);
    expect(planThreads({ threads: 12 }, platform(2))).toEqual({ threads: 12, reasons: [], warn: false });
  });

  it('is 1 with the reason and a warning where memory cannot be shared', () => {
    expect(planThreads({ threads: 4 }, platform(4, 'not isolated'))).toEqual({ threads: 1, reasons: ['not isolated'], warn: true });
    expect(planThreads({ threads: 1 }, platform(4, 'not isolated')).reasons).toEqual([]);
  });

  it('is 1 in the calling thread, with a warning only when more were asked for', () => {
    expect(planThreads({ worker: false }, platform(4))).toMatchObject({ threads: 1, warn: false });
    expect(planThreads({ worker: false, threads: 4 }, platform(4))).toMatchObject({ threads: 1, warn: true });
  });
});

describe('warnings', () => {
  it('go to onWarning, or once per code to the console', () => {
    const onWarning = vi.fn();
    const onConsole = vi.spyOn(console, 'warn').mockImplementation(() => {});
    const warning = { code: 'SINGLE_THREAD', message: 'running on one thread: x' } as const;
    warn(warning, onWarning);
    expect(onWarning.mock.calls).toEqual([[warning]]);
    expect(onConsole).not.toHaveBeenCalled();
    warn(warning, undefined);
    warn(warning, undefined);
    expect(onConsole.mock.calls).toEqual([['ferroformer: running on one thread: x']]);
    onConsole.mockRestore();
  });
});
