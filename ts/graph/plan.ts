// The memory plan: how long each arena buffer lives (in stages), which ones may share memory because a result is made in place, and an address for each.
import { type Buffer, type Instruction, isWhole, resolve, touches } from './ir';
import { ALIGNMENT_BYTES, BANK_LIMIT_BYTES } from './program';
import { inPlacePairs } from './results';

/** Where buffers that share memory lie, and from which stage to which (both included) they hold something. */
export interface Placement {
  readonly buffers: readonly Buffer[];
  readonly bank: number;
  /** Where the memory begins, lead included; a multiple of 64. */
  readonly offset: number;
  /** Bytes with lead, a multiple of 64. */
  readonly bytes: number;
  readonly lead: number;
  readonly start: number;
  readonly end: number;
}

/** How long buffers that share memory hold something, in stages, both included. */
export interface Life {
  readonly buffers: Buffer[];
  bytes: number;
  lead: number;
  start: number;
  end: number;
  /** Positions of the instructions that touch it in its last stage. */
  last: Set<number>;
}

const roundUp = (bytes: number): number => Math.ceil(bytes / ALIGNMENT_BYTES) * ALIGNMENT_BYTES;

/** Plans the arena for instructions with their stages. */
export function planMemory(
  instructions: readonly Instruction[],
  stages: readonly number[],
  options: { readonly inPlace: boolean },
): Placement[] {
  return placeLives(planLives(instructions, stages, options));
}

/** What has to be placed. */
export function planLives(instructions: readonly Instruction[], stages: readonly number[], options: { readonly inPlace: boolean }): Life[] {
  const lives = livesOf(instructions, stages);
  if (options.inPlace) mergeInPlace(instructions, stages, lives);
  return [...new Set(lives.values())];
}

function livesOf(instructions: readonly Instruction[], stages: readonly number[]): Map<Buffer, Life> {
  const lives = new Map<Buffer, Life>();
  for (const [buffer, list] of touches(instructions)) {
    if (buffer.place !== 'arena') continue;
    const used = list.map((touch) => stages[touch.at]);
    const [start, end] = [Math.min(...used), Math.max(...used)];
    const last = new Set(list.filter((touch) => stages[touch.at] === end).map((touch) => touch.at));
    const lead = roundUp(buffer.lead);
    lives.set(buffer, { buffers: [buffer], bytes: roundUp(buffer.bytes) + lead, lead, start, end, last });
  }
  return lives;
}

/** Lets a result take the memory of an operand that dies with the instruction, where the kernel reads each element before it writes it. */
function mergeInPlace(instructions: readonly Instruction[], stages: readonly number[], lives: Map<Buffer, Life>): void {
  const order = instructions.map((_, at) => at).sort((a, b) => stages[a] - stages[b] || a - b);
  for (const at of order) {
    const instruction = instructions[at];
    for (const [from, to] of inPlacePairs(instruction)) {
      const [x, out] = [instruction.operand(from), instruction.operand(to)];
      if (x === undefined || out === undefined || !isWhole(x) || !isWhole(out)) continue;
      const dying = lives.get(resolve(x).buffer);
      const born = lives.get(resolve(out).buffer);
      if (dying === undefined || born === undefined || dying === born || dying.lead > 0 || born.lead > 0) continue;
      const fits = x.bytes === out.bytes && dying.end === stages[at] && dying.last.size === 1 && born.start === stages[at];
      if (!fits || !readOnlyAs(instruction, resolve(x).buffer, to)) continue;
      dying.buffers.push(...born.buffers);
      dying.bytes = Math.max(dying.bytes, born.bytes);
      dying.end = born.end;
      dying.last = born.last;
      for (const buffer of born.buffers) lives.set(buffer, dying);
      break;
    }
  }
}

/** Whether every operand of an instruction in this buffer may share memory with the result. */
function readOnlyAs(instruction: Instruction, buffer: Buffer, result: string): boolean {
  const allowed = inPlacePairs(instruction)
    .filter(([, to]) => to === result)
    .map(([from]) => from);
  for (const { entry, view } of instruction.present()) {
    if (resolve(view).buffer === buffer && !(isWhole(view) && allowed.includes(entry.name))) return false;
  }
  return true;
}

type Order = (a: Life, b: Life) => number;

const stagesOf = ({ start, end }: Life): number => end - start + 1;

/**
 * Orders in which buffers may be placed; each is tried until one needs no more than any plan must. Largest first does where all activations wait for
 * backward. Where they are recomputed, long and short lives mix, and which order leaves the fewest holes depends on the sizes: the fullest stage first and
 * then, outwards from it, the longest lives (which then lie side by side at the bottom), or the largest; or by bytes times stages.
 */
function ordersFor({ stage }: Peak): readonly Order[] {
  const distance = ({ start, end }: Life): number => Math.max(0, start - stage, stage - end);
  const area = (life: Life): number => life.bytes * stagesOf(life);
  const elsewhere = (life: Life): number => Number(distance(life) > 0);
  return [
    (a, b) => b.bytes - a.bytes,
    (a, b) => distance(a) - distance(b) || stagesOf(b) - stagesOf(a) || b.bytes - a.bytes,
    (a, b) => elsewhere(a) - elsewhere(b) || b.bytes - a.bytes || stagesOf(b) - stagesOf(a),
    (a, b) => area(b) - area(a),
    (a, b) => elsewhere(a) - elsewhere(b) || area(b) - area(a),
  ];
}

/** The smallest arena that one of the orders gives. */
function placeLives(lives: readonly Life[]): Placement[] {
  const peak = peakOf(lives);
  let best: { readonly bytes: number; readonly placements: Placement[] } | undefined;
  for (const order of ordersFor(peak)) {
    const sorted = [...lives].sort((a, b) => order(a, b) || a.start - b.start || a.buffers[0].id - b.buffers[0].id);
    const placed = placeInOrder(sorted);
    if (best === undefined || placed.bytes < best.bytes) best = placed;
    if (best.bytes <= peak.bytes) break;
  }
  return best === undefined ? [] : best.placements;
}

/** The stage in which most lives. */
export interface Peak {
  readonly stage: number;
  readonly bytes: number;
}

/** The fullest stage: no plan can do with fewer bytes than live there. */
export function peakOf(lives: readonly Life[]): Peak {
  const changes = new Array<number>(lives.reduce((last, { end }) => Math.max(last, end), 0) + 2).fill(0);
  for (const { start, end, bytes } of lives) {
    changes[start] += bytes;
    changes[end + 1] -= bytes;
  }
  let peak: Peak = { stage: 0, bytes: 0 };
  let now = 0;
  changes.forEach((change, stage) => {
    now += change;
    if (now > peak.bytes) peak = { stage, bytes: now };
  });
  return peak;
}

/** One after the other, each into the tightest gap between buffers that live at the same time; a new bank when no bank has room below its limit. */
function placeInOrder(ordered: readonly Life[]): { readonly bytes: number; readonly placements: Placement[] } {
  const banks: { bytes: number; placed: Placement[] }[] = [];
  const placements = ordered.map((life) => {
    let best: { bank: number; offset: number; growth: number; slack: number } | undefined;
    banks.forEach((bank, index) => {
      const { offset, slack } = tightestGap(
        bank.placed.filter((other) => other.start <= life.end && life.start <= other.end),
        life.bytes,
      );
      const growth = Math.max(0, offset + life.bytes - bank.bytes);
      const better = best === undefined || growth < best.growth || (growth === best.growth && slack < best.slack);
      if (offset + life.bytes <= BANK_LIMIT_BYTES && better) best = { bank: index, offset, growth, slack };
    });
    if (best === undefined) {
      banks.push({ bytes: 0, placed: [] });
      best = { bank: banks.length - 1, offset: 0, growth: life.bytes, slack: 0 };
    }
    const { buffers, bytes, lead, start, end } = life;
    const placement = { buffers, bank: best.bank, offset: best.offset, bytes, lead, start, end };
    const bank = banks[best.bank];
    bank.bytes = Math.max(bank.bytes, placement.offset + bytes);
    bank.placed.push(placement);
    bank.placed.sort((a, b) => a.offset - b.offset);
    return placement;
  });
  return { bytes: banks.reduce((sum, { bytes }) => sum + bytes, 0), placements };
}

/** The smallest hole of at least `bytes` between placements sorted by offset, else the end of the last. */
function tightestGap(placed: readonly Placement[], bytes: number): { offset: number; slack: number } {
  let best = { offset: 0, slack: Number.POSITIVE_INFINITY };
  let free = 0;
  for (const { offset, bytes: size } of placed) {
    const slack = offset - free - bytes;
    if (slack >= 0 && slack < best.slack) best = { offset: free, slack };
    free = Math.max(free, offset + size);
  }
  return best.slack === Number.POSITIVE_INFINITY ? { offset: free, slack: Number.POSITIVE_INFINITY } : best;
}
