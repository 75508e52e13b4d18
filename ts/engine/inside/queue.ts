// The engine's calls one after the other, in the order in which they came, and the two things that happen between slices of work: the
// event loop turns at least every SLICE_MS, and an abort is heard.
import { FerroError } from '../../errors';
import { ABORT_SLOTS, SLICE_MS } from '../protocol';

/** What a running call may ask of the queue. */
export interface Turn {
  /** Milliseconds until the event loop must turn; at least 1. */
  remainingMs(): number;
  /** Lets the event loop turn if its time has come. @throws FerroError ENGINE_CLOSED when the queue was stopped meanwhile */
  breathe(): Promise<void>;
  /** @throws FerroError ABORTED when the call has been aborted */
  throwIfAborted(): void;
}

interface Waiting {
  op: string;
  token: number;
  begin(): Promise<void>;
  reject(error: Error): void;
}

/** A queue of calls; one runs at a time. */
export class CallQueue {
  /** The outside's control buffer, where there is one (see ABORT_SLOTS). */
  control: Int32Array | undefined;
  readonly #yieldToEventLoop: () => Promise<void>;
  readonly #waiting: Waiting[] = [];
  #running: Waiting | undefined;
  #runningAborted = false;
  #stopped = false;
  #lastTurn = 0;

  constructor(yieldToEventLoop: () => Promise<void>) {
    this.#yieldToEventLoop = yieldToEventLoop;
  }

  /** Runs `work` when its turn comes. `token` names it for `abort`; 0 for a call that cannot be aborted. */
  add<T>(op: string, token: number, work: (turn: Turn) => Promise<T> | T): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const begin = async () => {
        try {
          const turn = this.#turn();
          turn.throwIfAborted();
          resolve(await work(turn));
        } catch (error) {
          reject(error);
        }
      };
      this.#waiting.push({ op, token, begin, reject });
      if (this.#running === undefined) void this.#pump();
    });
  }

  /** Aborts a call: at once when it still waits, else at its next slice. A call that has ended is not affected. */
  abort(token: number): void {
    if (this.#running?.token === token) {
      this.#runningAborted = true;
      return;
    }
    const at = this.#waiting.findIndex((waiting) => waiting.token === token);
    if (at >= 0) {
      const [{ op, reject }] = this.#waiting.splice(at, 1);
      reject(aborted(op));
    }
  }

  /** Ends the running call at its next slice, atomic or not, and drops the others: nobody waits for their answers any more. */
  stop(): void {
    this.#stopped = true;
    for (const { op, reject } of this.#waiting.splice(0)) reject(closed(op));
  }

  async #pump(): Promise<void> {
    this.#lastTurn = performance.now();
    for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) {
      this.#running = next;
      this.#runningAborted = false;
      await next.begin();
    }
    this.#running = undefined;
  }

  #turn(): Turn {
    return {
      remainingMs: () => Math.max(1, this.#lastTurn + SLICE_MS - performance.now()),
      breathe: async () => {
        if (performance.now() - this.#lastTurn < SLICE_MS) return;
        await this.#yieldToEventLoop();
        this.#lastTurn = performance.now();
        if (this.#stopped) throw closed(this.#running?.op ?? '');
      },
      throwIfAborted: () => {
        if (this.#isAborted()) throw aborted(this.#running?.op ?? '');
      },
    };
  }

  #isAborted(): boolean {
    const token = this.#running?.token ?? 0;
    if (token === 0) return false;
    return this.#runningAborted || (this.control !== undefined && Atomics.load(this.control, token % ABORT_SLOTS) === token);
  }
}

function closed(op: string): FerroError {
  return new FerroError('ENGINE_CLOSED', `${op}: the engine must be open, but it was closed`);
}

function aborted(op: string): FerroError {
  return new FerroError('ABORTED', `${op}: aborted by its signal`);
}
