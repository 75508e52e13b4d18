// Lowers the fullest stage of a program: where one instruction is the last to read a large buffer and another of the same stage makes one, the second
// waits for the first. A gradient of weights then frees an activation before the next gradient needs room. Costs a barrier, and only at the peak.
import type { Instruction } from './ir';
import { resolve } from './ir';
import { type Life, type Peak, peakOf, planLives } from './plan';
import { schedule, successors } from './schedule';

/** Smaller buffers are not worth a barrier. */
const WORTH_BYTES = 4 * 2 ** 20;
/** What is tried at most. Each round lowers the peak, or is the last. */
const MAX_ROUNDS = 256;

/** Stages for instructions, as `schedule` gives them, with the peak spread. */
export function spreadPeak(instructions: readonly Instruction[], options: { readonly inPlace: boolean }): number[] {
  const next = successors(instructions);
  const measure = (): State => {
    const stages = schedule(instructions, next);
    const lives = planLives(instructions, stages, options);
    return { stages, lives, peak: peakOf(lives) };
  };
  let state = measure();
  for (let round = 0; round < MAX_ROUNDS && state.peak.bytes >= 2 * WORTH_BYTES; round++) {
    const lower = waits(instructions, state).reduce<State | undefined>((found, [first, second]) => {
      if (found !== undefined) return found;
      next[first].add(second);
      const tried = measure();
      if (tried.peak.bytes < state.peak.bytes) return tried;
      next[first].delete(second);
      return undefined;
    }, undefined);
    if (lower === undefined) break;
    state = lower;
  }
  return state.stages;
}

interface State {
  readonly stages: number[];
  readonly lives: readonly Life[];
  readonly peak: Peak;
}

/** Pairs of the fullest stage [what frees memory, what needs it], the most bytes first. Within a stage neither depends on the other. */
function waits(instructions: readonly Instruction[], { stages, lives, peak }: State): (readonly [number, number])[] {
  const large = lives.filter(({ bytes }) => bytes >= WORTH_BYTES);
  const dying = large.filter(({ start, end, last }) => start < peak.stage && end === peak.stage && last.size === 1);
  const born = large.filter(({ start, end }) => start === peak.stage && end > peak.stage);
  const makers = born.map((life) => ({
    life,
    at: instructions.findIndex(
      (instruction, at) =>
        stages[at] === peak.stage && [...instruction.present()].some(({ view }) => life.buffers.includes(resolve(view).buffer)),
    ),
  }));
  return dying
    .flatMap((freed) => {
      const [first] = freed.last;
      return makers.flatMap(({ life, at }) =>
        at === first ? [] : [{ pair: [first, at] as const, gain: Math.min(freed.bytes, life.bytes) }],
      );
    })
    .sort((a, b) => b.gain - a.gain || a.pair[0] - b.pair[0] || a.pair[1] - b.pair[1])
    .map(({ pair }) => pair);
}
