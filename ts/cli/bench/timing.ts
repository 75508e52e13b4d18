// How `bench` times a program: warm until the JavaScript engine has optimised it, then many short bursts; the fastest tells what the machine can do, the
// median how it was treated meanwhile. Variables live in the engine and a burst is one message, so that neither copies nor messages weigh.

import { type EngineHost, type Program, Variable } from '../../index';

/** Seconds of one run. */
export interface Timing {
  min: number;
  median: number;
}

/** How long to measure. */
export interface Pace {
  /** Least milliseconds of warming up. */
  warmMs: number;
  /** Most milliseconds of warming up, where times keep falling. */
  warmLimitMs: number;
  burstMs: number;
  bursts: number;
}

/** For single kernels: bursts short enough to fall between the turns of other programs. */
export const PACE: Pace = { warmMs: 60, warmLimitMs: 1000, burstMs: 6, bursts: 30 };
/** Just to see everything run. */
export const QUICK: Pace = { warmMs: 0, warmLimitMs: 0, burstMs: 0.1, bursts: 1 };
/** A burst this much faster than all before it says that optimising is still going on. */
const STILL_FALLING = 0.9;

/**
 * Times `run(times)`, which does its work `times` times.
 * @returns seconds of one time
 */
export async function timeRuns(run: (times: number) => Promise<unknown>, pace: Pace = PACE): Promise<Timing> {
  const once = async (times: number): Promise<number> => {
    const started = performance.now();
    await run(times);
    return (performance.now() - started) / 1000 / times;
  };
  const begin = performance.now();
  let best = Number.POSITIVE_INFINITY;
  for (let times = 1; ; ) {
    const seconds = await once(times);
    const falling = seconds < best * STILL_FALLING;
    best = Math.min(best, seconds);
    const elapsed = performance.now() - begin;
    if (elapsed > pace.warmLimitMs || (elapsed > pace.warmMs && !falling)) break;
    times = timesFor(pace.burstMs, best);
  }
  const times = timesFor(pace.burstMs, best);
  const bursts: number[] = [];
  for (let i = 0; i < pace.bursts; i++) bursts.push(await once(times));
  bursts.sort((a, b) => a - b);
  return { min: bursts[0], median: bursts[bursts.length >> 1] };
}

/** How many runs of `seconds` fill a burst. */
function timesFor(burstMs: number, seconds: number): number {
  return Math.min(5000, Math.max(1, Math.round(burstMs / 1000 / seconds)));
}

const INITS = { normal: { kind: 'normal', mean: 0, std: 1 }, zeros: { kind: 'zeros' }, halves: { kind: 'constant', value: 0.5 } } as const;

/** A variable of a benchmark, full of normal numbers, zeros or halves. */
export function benchVariable(name: string, shape: readonly number[], values: keyof typeof INITS = 'normal'): Variable {
  return new Variable({ name: `bench.${name}`, shape: [...shape], trainable: false, init: INITS[values] });
}

/**
 * Times a program on its own variables, which are allocated for it and released afterwards.
 * @param make gives the program and the variables it uses
 * @param scalars values for all its scalars (default 1)
 */
export async function timeProgram(
  host: EngineHost,
  { program, variables, scalars = {} }: { program: Program; variables: readonly Variable[]; scalars?: Record<string, number> },
  pace?: Pace,
): Promise<Timing> {
  const values = Object.fromEntries(program.scalars.map((name) => [name, scalars[name] ?? 1]));
  await host.allocate(variables, { seed: 1 });
  try {
    const handle = await host.load(program);
    try {
      return await timeRuns((times) => host.run(Array.from({ length: times }, () => ({ handle, scalars: values, outputs: [] }))), pace);
    } finally {
      await host.unload(handle);
    }
  } finally {
    await host.release(variables);
  }
}
