// Orders instructions into stages: what does not depend on each other shares a stage; between stages all threads meet.
import { FerroError } from '../errors';
import { type Buffer, type Instruction, overlaps, type Touch, touches } from './ir';

/** Which instructions must come after each one. */
export function successors(
  instructions: readonly Instruction[],
  map: ReadonlyMap<Buffer, readonly Touch[]> = touches(instructions),
): Set<number>[] {
  const next: Set<number>[] = instructions.map(() => new Set());
  for (const list of map.values()) {
    if (!list.some((touch) => touch.writes)) continue;
    for (let later = 1; later < list.length; later++) {
      const b = list[later];
      for (let earlier = 0; earlier < later; earlier++) {
        const a = list[earlier];
        if (a.at !== b.at && (a.writes || b.writes) && overlaps(a, b)) next[a.at].add(b.at);
      }
    }
  }
  return next;
}

/** The earliest stage of each instruction, or undefined when they wait for each other in a circle. */
export function earliestStages(next: readonly ReadonlySet<number>[]): number[] | undefined {
  const waiting = next.map(() => 0);
  for (const set of next) for (const at of set) waiting[at]++;
  const stages = next.map(() => 0);
  const ready = waiting.flatMap((count, at) => (count === 0 ? [at] : []));
  for (let i = 0; i < ready.length; i++) {
    for (const at of next[ready[i]]) {
      stages[at] = Math.max(stages[at], stages[ready[i]] + 1);
      if (--waiting[at] === 0) ready.push(at);
    }
  }
  return ready.length === next.length ? stages : undefined;
}

/**
 * A stage for each instruction: the earliest. Only what reads nothing from the arena (fills, for example) and what recomputes a checkpoint wait until
 * they are needed: what they make would otherwise lie in memory from early on, and a checkpoint would have saved nothing.
 */
export function schedule(instructions: readonly Instruction[], next: readonly ReadonlySet<number>[] = successors(instructions)): number[] {
  const stages = earliestStages(next);
  if (stages === undefined) {
    throw new FerroError(
      'INVALID_OPTION',
      'compile: a value must not need both the old and the new content of a variable it writes, got a circle of instructions',
    );
  }
  const order = instructions.map((_, at) => at).sort((a, b) => stages[b] - stages[a] || b - a);
  for (const at of order) {
    if (next[at].size === 0 || !(instructions[at].recomputed || isSource(instructions[at]))) continue;
    let soonest = Number.POSITIVE_INFINITY;
    for (const later of next[at]) soonest = Math.min(soonest, stages[later]);
    stages[at] = soonest - 1;
  }
  // Stages emptied by postponed instructions are left out.
  const used = [...new Set(stages)].sort((a, b) => a - b);
  const numbers = new Map(used.map((stage, index) => [stage, index]));
  return stages.map((stage) => numbers.get(stage) as number);
}

/** Whether an instruction reads only bindings and writes only the arena: postponing it shortens lives and lengthens none. */
function isSource(instruction: Instruction): boolean {
  for (const { entry, view } of instruction.present()) {
    const inArena = view.storage.place === 'arena' && (view.storage as Buffer).redirect === undefined;
    if (inArena !== (entry.access === 'write')) return false;
  }
  return true;
}
