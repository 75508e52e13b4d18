// Starts an engine in workers and watches them. The outside starts all of them itself, the threads too, because a thread's death is heard
// only here: the engine's own event loop stands still while it waits at a barrier. The memory never comes here; the engine's worker makes it
// and hands it to the threads over ports that the outside only passes on.
import { transfer as withTransfer, wrap } from 'comlink';
import { FerroError, fromPlainError, throwIfAborted } from '../../errors';
import type { WorkerHandle } from '../platform';
import { ABORT_SLOTS, type EngineApi, type EngineReport, type JoinMessage, PROTOCOL_VERSION, type WorkerNote } from '../protocol';
import { installErrorTransfer } from '../transfer';
import { type Connection, type ConnectionRequest, SharingRefused } from './connection';
import { DeathWatch } from './death';

/** A worker that has not said 'ready' by then will not: its script did not load or is not ours. */
const START_TIMEOUT_MS = 30_000;

/** How long choosing a register tile may take: longer only on a busy machine, whose compiler threads come late. */
const SELF_TEST = { usualMs: 150, mostMs: 300 };

/** A worker and the promise of its first word. */
interface Starting {
  handle: WorkerHandle;
  ready: Promise<void>;
}

/** Starts the engine's worker and `threads - 1` threads. @throws FerroError ENGINE_START_FAILED, ABORTED; SharingRefused */
export async function openWorkers(request: ConnectionRequest): Promise<Connection> {
  installErrorTransfer();
  const crew = new Crew(request);
  try {
    await crew.start();
    return crew;
  } catch (error) {
    await crew.terminate();
    if (error instanceof SharingRefused) throw error;
    if (error instanceof FerroError && error.code !== 'ENGINE_DIED') throw error;
    throw new FerroError('ENGINE_START_FAILED', `Engine.start: ${(error as Error).message}`, { cause: error });
  }
}

/** The engine's worker and its threads. */
class Crew implements Connection {
  api!: EngineApi;
  report!: EngineReport;
  onDeath: (cause: Error) => void = () => {};
  readonly #request: ConnectionRequest;
  readonly #watch: DeathWatch;
  readonly #handles: WorkerHandle[] = [];
  readonly #control: Int32Array | undefined;
  #terminated: Promise<void> | undefined;

  constructor(request: ConnectionRequest) {
    this.#request = request;
    this.#watch = new DeathWatch((cause) => this.onDeath(cause));
    if (request.platform.sharingObstacle() === undefined)
      this.#control = new Int32Array(new SharedArrayBuffer(ABORT_SLOTS * Int32Array.BYTES_PER_ELEMENT));
  }

  get workers(): number {
    return this.#handles.length;
  }

  /** Ends with the engine initialised, or throws: whichever of success, a death, the timeout and the abort comes first. */
  async start(): Promise<void> {
    const { signal } = this.#request;
    throwIfAborted(signal, 'Engine.start');
    let stop: () => void = () => {};
    const failed = new Promise<never>((_, reject) => {
      this.onDeath = reject;
      const timeout = setTimeout(
        () => reject(new Error(`the workers must be ready within ${START_TIMEOUT_MS / 1000} s, got no answer`)),
        START_TIMEOUT_MS,
      );
      const onAbort = () => reject(new FerroError('ABORTED', 'Engine.start: aborted by its signal', { cause: signal?.reason }));
      signal?.addEventListener('abort', onAbort);
      stop = () => {
        clearTimeout(timeout);
        signal?.removeEventListener('abort', onAbort);
      };
    });
    const begun = this.#begin();
    begun.catch(() => {}); // when the other one wins the race, nobody else hears of this one
    try {
      this.report = await Promise.race([begun, failed]);
    } finally {
      stop();
      this.onDeath = () => {};
    }
    if (this.report.sharingRefused !== undefined) throw new SharingRefused(this.report.sharingRefused);
    this.setBusy(false);
  }

  async #begin(): Promise<EngineReport> {
    const { module, threads, workerUrl, threadWorkerUrl, maxMemoryBytes, tile } = this.#request;
    const engine = this.#spawn('worker', 'engine worker', workerUrl);
    this.api = wrap<EngineApi>(engine.handle.endpoint) as unknown as EngineApi;
    const crew = Array.from({ length: threads - 1 }, (_, i) => this.#spawn('thread', `thread ${i + 1}`, threadWorkerUrl));
    await Promise.all([engine, ...crew].map(({ ready }) => ready));
    const ports = crew.map(({ handle }) => {
      const { port1, port2 } = new MessageChannel();
      const join: JoinMessage = { kind: 'join', port: port2 };
      handle.post(join, [port2]);
      return port1;
    });
    const control = this.#control?.buffer as SharedArrayBuffer | undefined;
    return this.api.start(withTransfer({ module, ports, control, maxMemoryBytes, tile, selfTest: SELF_TEST }, ports));
  }

  #spawn(kind: 'worker' | 'thread', name: string, url: string | URL | undefined): Starting {
    const handle = this.#request.platform.spawn(kind, name, url);
    this.#handles.push(handle);
    const ready = new Promise<void>((resolve, reject) => {
      const onNote = (note: WorkerNote) => {
        if (note.kind === 'died') {
          const cause = fromPlainError(note.error);
          this.#watch.report(new Error(`${name} failed: ${cause.message}`, { cause }), note.secondary);
        } else if (note.protocol === PROTOCOL_VERSION) {
          resolve();
        } else {
          reject(
            new Error(
              `${name} must speak protocol ${PROTOCOL_VERSION}, got ${note.protocol}: files of two versions of this package are mixed`,
            ),
          );
        }
      };
      handle.listen(onNote, (cause) => this.#watch.report(cause));
    });
    ready.catch(() => {}); // also when an earlier failure ended the start
    return { handle, ready };
  }

  reportDeath(cause: Error, secondary: boolean): void {
    this.#watch.report(cause, secondary);
  }

  abort(token: number): void {
    if (this.#control !== undefined) Atomics.store(this.#control, token % ABORT_SLOTS, token);
    this.api.abort(token).catch(() => {}); // the word may have been overwritten by a later abort, so the message always goes too
  }

  setBusy(busy: boolean): void {
    if (this.#terminated !== undefined) return; // ending keeps the process alive until it is done
    // Keeping the engine's worker alive is enough: its threads live as long as it does.
    this.#handles[0].setRef(busy);
    for (const handle of this.#handles.slice(1)) handle.setRef(false);
  }

  terminate(): Promise<void> {
    this.#watch.stop();
    this.#terminated ??= Promise.all(this.#handles.map((handle) => handle.terminate())).then(() => {});
    return this.#terminated;
  }
}
