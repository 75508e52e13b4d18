// Steps run ahead of their reader, in windows: one message asks for many steps, each step's report comes as it is made, and no more are asked for than a bounded
// number beyond what was read. What a step is, and when text ends, is decided elsewhere.

/** Most steps of a window. */
const MOST_STEPS = 64;
/** Someone who looks at each token may stop at any: for them a window is about this long. */
const WINDOW_MS = 100;
/** Steps of their first window. */
const FIRST_STEPS = 4;

/** Runs `count` steps from number `from` on, telling each one's report. */
export type RunWindow = (from: number, count: number, onReport: (report: Int32Array) => void, signal: AbortSignal) => Promise<unknown>;

/** Up to `limit` steps, read one at a time. */
export class StepStream {
  readonly #limit: number;
  readonly #run: RunWindow;
  readonly #ahead: boolean;
  readonly #stop = new AbortController();
  readonly #calls = new Set<Promise<void>>();
  /** By number of the step: two windows come over two ports, and nothing keeps these in order. */
  readonly #arrived = new Map<number, Int32Array>();
  #size: number;
  #asked = 0;
  #read = 0;
  #failure: { error: unknown } | undefined;
  #wake = () => {};

  /** @param ahead nobody looks at single tokens: windows are long from the start */
  constructor(limit: number, ahead: boolean, run: RunWindow) {
    this.#limit = limit;
    this.#run = run;
    this.#ahead = ahead;
    this.#size = ahead ? MOST_STEPS : FIRST_STEPS;
  }

  /** The next report. At most `limit` calls. @throws what a step threw */
  async next(): Promise<Int32Array> {
    this.#ask();
    const step = this.#read;
    for (let report = this.#arrived.get(step); ; report = this.#arrived.get(step)) {
      if (report !== undefined) {
        this.#arrived.delete(step);
        this.#read += 1;
        return report;
      }
      if (this.#failure !== undefined) throw this.#failure.error;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  /** Ends what runs within a step, and waits for that. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await Promise.all(this.#calls);
  }

  /** Asks for windows until there is one beyond the one being read. */
  #ask(): void {
    while (this.#asked < this.#limit && this.#asked - this.#read <= this.#size / 2) {
      const count = Math.min(this.#size, this.#limit - this.#asked);
      const from = this.#asked;
      this.#asked += count;
      const call = this.#window(from, count).finally(() => this.#calls.delete(call));
      this.#calls.add(call);
    }
  }

  async #window(from: number, count: number): Promise<void> {
    let first = 0;
    let last = 0;
    let steps = 0;
    try {
      const onReport = (report: Int32Array) => {
        last = performance.now();
        if (steps === 0) first = last;
        this.#arrived.set(from + steps++, report);
        this.#wake();
      };
      await this.#run(from, count, onReport, this.#stop.signal);
    } catch (error) {
      this.#failure ??= { error };
    }
    if (!this.#ahead && steps > 1) {
      const fitting = Math.floor((WINDOW_MS * (steps - 1)) / Math.max(last - first, 0.01));
      this.#size = Math.max(1, Math.min(2 * this.#size, fitting, MOST_STEPS));
    }
    this.#wake();
  }
}
