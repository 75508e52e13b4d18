// The progress line: step, loss, tokens per second, time left. A terminal sees one line rewritten; a file or a pipe gets a line now and then.

import { formatCount, formatSeconds } from './format';
import type { Output } from './output';

/** What is known after a step. */
export interface ProgressStep {
  step: number;
  loss: number;
  tokensPerSecond: number;
  evalLoss?: number;
}

const REWRITE_MS = 100; // a terminal needs no more than ten lines a second
const LINE_MS = 10_000; // a log file neither

/** Prints the progress of one run of `maxSteps` steps. */
export class Progress {
  readonly #output: Output;
  readonly #maxSteps: number;
  readonly #now: () => number;
  #firstStep = -1;
  #startedAt = 0;
  #printedAt = Number.NEGATIVE_INFINITY;
  #onScreen = false;

  constructor(
    output: Output,
    maxSteps: number,
    now: () => number = () => performance.now(),
    /** What the speed counts. */
    readonly unit: 'tokens' | 'examples' = 'tokens',
  ) {
    this.#output = output;
    this.#maxSteps = maxSteps;
    this.#now = now;
  }

  /** Tells about a step; prints when it is time, and always for the first step, the last one and an evaluation. */
  update(state: ProgressStep): void {
    const now = this.#now();
    const first = this.#firstStep < 0;
    if (first) [this.#firstStep, this.#startedAt] = [state.step, now];
    const due = now - this.#printedAt >= (this.#output.live ? REWRITE_MS : LINE_MS);
    if (!due && !first && state.step !== this.#maxSteps && state.evalLoss === undefined) return;
    this.#printedAt = now;
    const line = this.line(state, now);
    if (!this.#output.live) {
      this.#output.note(line);
      return;
    }
    this.#output.raw(`\r\x1b[2K${line.slice(0, Math.max(20, this.#output.columns - 1))}`);
    this.#onScreen = true;
  }

  /** The line for a state. */
  line({ step, loss, tokensPerSecond, evalLoss }: ProgressStep, now: number = this.#now()): string {
    const done = step - this.#firstStep; // steps timed: the first one includes compiling
    const left = done > 0 ? ((now - this.#startedAt) / 1000 / done) * (this.#maxSteps - step) : Number.NaN;
    const width = String(this.#maxSteps).length;
    const evaluation = evalLoss === undefined ? '' : `  eval loss ${evalLoss.toFixed(4)}`;
    return `step ${String(step).padStart(width)}/${this.#maxSteps}  loss ${loss.toFixed(4)}${evaluation}  ${formatCount(tokensPerSecond)} ${this.unit}/s  ETA ${formatSeconds(left)}`;
  }

  /** Prints a note without disturbing the line. */
  note(text: string): void {
    this.end();
    this.#output.note(text);
  }

  /** Leaves the line on the screen and goes to the next. */
  end(): void {
    if (this.#onScreen) this.#output.raw('\n');
    this.#onScreen = false;
  }
}
