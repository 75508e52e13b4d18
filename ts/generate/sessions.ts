// The sessions of one model: those not in use are kept for the next generation, one for single texts and one for batches.
import type { BoundModule } from '../bind';
import { type GenerationModule, GenerationSession } from './session';

/** Gives sessions and takes them back. */
export class GenerationSessions {
  #single: GenerationSession | undefined;
  #batch: GenerationSession | undefined;
  #closed = false;

  constructor(
    readonly bound: BoundModule<GenerationModule>,
    readonly drawable: number,
  ) {}

  /** A session of `rows` rows that nobody else uses, until `giveBack`. @throws MODEL_CLOSED, OUT_OF_MEMORY */
  async take(rows: number): Promise<GenerationSession> {
    this.bound.assertOpen('generate');
    const kept = rows === 1 ? this.#single : this.#batch;
    if (kept !== undefined && kept.rows === rows) {
      this.#keep(rows, undefined);
      return kept;
    }
    if (kept !== undefined) {
      this.#keep(rows, undefined); // of another size: its memory is freed before more is asked for
      await kept.close();
    }
    return GenerationSession.open(this.bound, this.drawable, rows);
  }

  /** Takes a session back; one is kept, until `close`. */
  async giveBack(session: GenerationSession): Promise<void> {
    const kept = session.rows === 1 ? this.#single : this.#batch;
    if (kept === undefined && !this.bound.closed && !this.#closed) this.#keep(session.rows, session);
    else await session.close();
  }

  /** Frees those that are kept, and each of the others when it is given back. */
  async close(): Promise<void> {
    this.#closed = true;
    const kept = [this.#single, this.#batch];
    this.#single = undefined;
    this.#batch = undefined;
    for (const session of kept) await session?.close();
  }

  /** Runs `work` with a session of its own. */
  async *use<T, R>(rows: number, work: (session: GenerationSession) => AsyncGenerator<T, R, void>): AsyncGenerator<T, R, void> {
    const session = await this.take(rows);
    try {
      return yield* work(session);
    } finally {
      await this.giveBack(session);
    }
  }

  #keep(rows: number, session: GenerationSession | undefined): void {
    if (rows === 1) this.#single = session;
    else this.#batch = session;
  }
}
