// Training steps of ours and of PyTorch from the same weights and batches, in rounds: every side takes its turn in each round, the first one another each
// time, so that what else the machine does slows all alike. Sides stay loaded between their turns; where memory does not hold them all, each is started
// for its turn. The losses of all sides must agree.
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { busyShare } from './machine.mjs';
import { Side } from './side.mjs';
import { makeSides } from './sides.mjs';
import { SIZES, stepsOf } from './sizes.mjs';
import { bestRatio, median, roundRatios, worstDifference } from './statistics.mjs';
import { writeWorkload } from './workload.mjs';

/** Losses of two sides at the same step may differ by this much. */
export const LOSS_TOLERANCE = 1e-3;
const BYTES_PER_PARAMETER = 24; // weights, gradient, two moments, what comes and goes
const SHARE_OF_MEMORY = 0.8;

/** A side's process and what it has given: rounds of milliseconds, and the losses of each start of it. */
class Contestant {
  rounds = [];
  losses = [];
  ready;
  reason;
  #side;

  constructor(description, fresh, warmUp) {
    this.description = description;
    this.fresh = fresh;
    this.warmUp = warmUp;
  }

  get name() {
    return this.description.name;
  }

  async #start() {
    const { side, ready } = await Side.start(this.description.command);
    this.#side = side;
    this.ready ??= ready;
    this.losses.push((await side.steps(this.warmUp)).losses);
  }

  /** Starts and warms up. A side that cannot run here (a missing feature, no compiler for torch.compile) says why and is left out. */
  async open() {
    try {
      await this.#start();
    } catch (error) {
      this.reason = error.message;
      await this.close();
    }
    if (this.fresh) await this.close();
  }

  /** Its turn in a round. */
  async turn(steps) {
    if (this.fresh) await this.#start();
    const { ms, losses } = await this.#side.steps(steps);
    this.rounds.push(ms);
    this.losses.at(-1).push(...losses);
    if (this.fresh) await this.close();
  }

  async close() {
    await this.#side?.stop();
    this.#side = undefined;
  }
}

async function availableBytes() {
  const text = await readFile('/proc/meminfo', 'utf8').catch(() => '');
  const kilobytes = /^MemAvailable:\s*(\d+)/m.exec(text)?.[1];
  return kilobytes === undefined ? Number.POSITIVE_INFINITY : Number(kilobytes) * 1024;
}

const parametersOf = ({ layers, width, context, vocabulary }) => (vocabulary + context) * width + layers * 12 * width * width;

function result(contestant, reference) {
  const { command: _command, ...description } = contestant.description;
  if (contestant.reason !== undefined) return { ...description, available: false, reason: contestant.reason };
  const times = contestant.rounds.flat();
  return {
    ...description,
    available: true,
    info: contestant.ready,
    medianMs: median(times),
    minMs: Math.min(...times),
    ratio: median(roundRatios(contestant.rounds, reference.rounds)),
    bestRatio: bestRatio(contestant.rounds, reference.rounds),
    roundRatios: roundRatios(contestant.rounds, reference.rounds),
    worstLossDifference: worstDifference(contestant.losses, reference.losses),
    rounds: contestant.rounds,
    losses: contestant.losses,
  };
}

/**
 * One size on one number of threads.
 * @returns {Promise<{ size: string, threads: number, busy: number, agree: boolean, sides: object[] }>} `busy`: how much of the processor others used before
 *   it began; `ratio`: PyTorch eager's time over this side's, the median over
 *   rounds (above 1: faster than PyTorch eager)
 */
export async function compareSize({ size, threads, torch, modes, nodes, rounds, steps, fresh, tell }) {
  const shape = { ...SIZES[size], ...(rounds === undefined ? {} : { rounds }), ...(steps === undefined ? {} : { steps }) };
  const temporary = await mkdtemp(join(tmpdir(), 'ferro-bench-'));
  const contestants = [];
  const busy = await busyShare();
  try {
    const folder = await writeWorkload(temporary, shape, stepsOf(shape));
    const sides = makeSides({ torch, modes, nodes, folder, threads });
    const needed = sides.length * BYTES_PER_PARAMETER * parametersOf(shape);
    const startEach = fresh || needed > SHARE_OF_MEMORY * (await availableBytes());
    for (const description of sides) {
      const contestant = new Contestant(description, startEach, shape.warmUp);
      contestants.push(contestant);
      await contestant.open();
      tell(
        `${size}, threads ${threads}: ${contestant.name} ${contestant.reason === undefined ? 'is warm' : `left out: ${contestant.reason}`}`,
      );
    }
    const taking = contestants.filter(({ reason }) => reason === undefined);
    const reference = contestants[0];
    if (reference.reason !== undefined) throw new Error(`torch_step.py: ${reference.reason}`);
    for (let round = 0; round < shape.rounds; round++) {
      const first = round % taking.length;
      for (const contestant of [...taking.slice(first), ...taking.slice(0, first)]) await contestant.turn(shape.steps);
      const told = taking.map(({ name, rounds: all }) => `${name} ${median(all.at(-1)).toFixed(1)}`);
      tell(`${size}, threads ${threads}, round ${round + 1}/${shape.rounds}, ms: ${told.join(' · ')}`);
    }
    const results = contestants.map((contestant) => result(contestant, reference));
    const agree = results.every(
      ({ available, mode, worstLossDifference }) => !available || mode === 'bf16' || worstLossDifference <= LOSS_TOLERANCE,
    );
    return { size, threads, shape, busy, startedForEachTurn: startEach, agree, sides: results };
  } finally {
    for (const contestant of contestants) await contestant.close();
    await rm(temporary, { recursive: true, force: true });
  }
}
