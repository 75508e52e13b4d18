// The engine itself: a plain object that answers the calls of protocol.ts, in a worker (worker.ts exposes it) or in the caller's own thread.
import { transfer } from 'comlink';
import { FerroError } from '../../errors';
import type { EngineApi, EngineReport, EngineSetup, ThreadOrder, ThreadReply, ValueSink, WireNumbers, WireVariable } from '../protocol';
import { Executor } from './executor';
import { endsEngine, explainFailure } from './failures';
import { Kernels } from './kernels';
import { createMemory } from './memory';
import { ProgramStore } from './programs';
import { CallQueue, type Turn } from './queue';
import { RegionStore } from './regions';
import { chooseTile } from './selfTest';

/** What a started engine is made of. */
interface Parts {
  kernels: Kernels;
  regions: RegionStore;
  programs: ProgramStore;
  executor: Executor;
}

/** An engine that has not started. */
export interface Engine {
  readonly api: EngineApi;
  /** Stops what runs and lets go of the memory (in-thread mode; a worker is ended instead). */
  dispose(): void;
}

/** Makes an engine; `api.start` brings it to life. */
export function createEngineApi(yieldToEventLoop: () => Promise<void>): Engine {
  const core = new Core(yieldToEventLoop);
  const api: EngineApi = {
    start: (setup) => core.start(setup),
    bytes: () =>
      core.call('bytes', 0, ({ kernels, regions, programs }) => ({
        live: kernels.liveBytes(),
        arena: kernels.arenaBytes(),
        regions: regions.variableBytes,
        programs: programs.bytes,
        programsLoaded: kernels.programsLoaded(),
      })),
    allocate: (variables, seed, token) => core.call('allocate', token, (parts, turn) => allocate(parts, variables, seed, turn)),
    release: (ids) => core.call('release', 0, (parts) => release(parts, ids)),
    write: (id, data, start) => core.call('write', 0, ({ regions }) => regions.write(id, data, start)),
    read: (id, start, end) => core.call('read', 0, ({ regions }) => sent(regions.read(id, start, end))),
    load: (program) => core.call('load', 0, ({ programs }) => programs.add(program)),
    unload: (id) => core.call('unload', 0, ({ programs }) => programs.remove(id)),
    run: (calls, token) =>
      core.call('run', token, async ({ executor }, turn) => {
        const results = await executor.run(calls, turn);
        return transfer(
          results,
          results.flat().map((value) => value.buffer as ArrayBuffer),
        );
      }),
    runSequence: (sequence, sink: ValueSink) =>
      core.call('runSequence', sequence.token, ({ executor }, turn) => executor.runSequence(sequence, sink, turn)),
    setProfiling: (on) => core.call('setProfiling', 0, ({ kernels }) => kernels.profileEnable(on)),
    profile: () => core.call('profile', 0, ({ kernels }) => kernels.profile()),
    barrierUs: (rounds) => core.call('barrierUs', 0, ({ kernels }) => kernels.barrierUs(rounds)),
    abort: async (token) => core.abort(token),
  };
  return { api, dispose: () => core.dispose() };
}

/** The parts of a started engine, its queue, and its end. */
class Core {
  readonly #queue: CallQueue;
  readonly #yieldToEventLoop: () => Promise<void>;
  #parts: Parts | undefined;
  #failure: Error | undefined;

  constructor(yieldToEventLoop: () => Promise<void>) {
    this.#queue = new CallQueue(yieldToEventLoop);
    this.#yieldToEventLoop = yieldToEventLoop;
  }

  async start(setup: EngineSetup): Promise<EngineReport> {
    const { module, ports, control, maxMemoryBytes } = setup;
    const { memory, maximumBytes } = createMemory();
    const memoryLimitBytes = Math.min(maximumBytes, maxMemoryBytes ?? maximumBytes);
    const kernels = new Kernels(module, memory);
    const sharingRefused = await handOver(ports, module, memory);
    if (sharingRefused !== undefined) return { fused: false, memoryLimitBytes, sharingRefused };
    kernels.engineInit(ports.length + 1, memoryLimitBytes);
    const tile = setup.tile ?? (await chooseTile(kernels, setup.selfTest, this.#yieldToEventLoop)); // before the threads begin: it measures alone
    kernels.setRegisterTile(tile.tile);
    ports.forEach((port, i) => {
      send(port, { kind: 'begin', tid: i + 1 });
    });
    if (control !== undefined) this.#queue.control = new Int32Array(control);
    const regions = new RegionStore(kernels, memoryLimitBytes);
    const programs = new ProgramStore(kernels, regions);
    this.#parts = { kernels, regions, programs, executor: new Executor(kernels, programs) };
    return { fused: kernels.maddIsFused(), memoryLimitBytes, tile };
  }

  /** Queues a call; what the kernels throw in it is explained, and remembered when it was the end. */
  call<T>(op: string, token: number, work: (parts: Parts, turn: Turn) => Promise<T> | T): Promise<T> {
    return this.#queue.add(op, token, async (turn) => {
      if (this.#failure !== undefined) throw new FerroError('ENGINE_DIED', `${op}: the kernels failed before`, { cause: this.#failure });
      if (this.#parts === undefined) throw new FerroError('ENGINE_CLOSED', `${op}: the engine must be open, but it was closed`);
      const { kernels } = this.#parts;
      try {
        return await work(this.#parts, turn);
      } catch (error) {
        const explained = explainFailure(error, op, kernels);
        if (endsEngine(error)) this.#failure = explained.cause as Error;
        throw explained;
      }
    });
  }

  abort(token: number): void {
    this.#queue.abort(token);
  }

  dispose(): void {
    this.#queue.stop();
    this.#parts = undefined;
  }
}

/** Gives every thread the module and the memory, and waits until all have joined. @returns why one could not, or undefined */
async function handOver(
  ports: readonly MessagePort[],
  module: WebAssembly.Module,
  memory: WebAssembly.Memory,
): Promise<string | undefined> {
  const answers = ports.map(
    (port) =>
      new Promise<ThreadReply>((resolve) => {
        port.onmessage = (event: MessageEvent<ThreadReply>) => resolve(event.data);
        port.start();
      }),
  );
  try {
    for (const port of ports) send(port, { kind: 'memory', module, memory });
  } catch (error) {
    return `the memory cannot be shared here (${(error as Error).message})`; // DataCloneError
  }
  for (const answer of await Promise.all(answers)) {
    if (answer.kind === 'refused') return `a thread could not join (${answer.error.message})`;
  }
  return undefined;
}

function send(port: MessagePort, order: ThreadOrder): void {
  port.postMessage(order);
}

/** All of the variables or none. */
async function allocate({ regions, programs }: Parts, variables: readonly WireVariable[], seed: number, turn: Turn): Promise<void> {
  const bytes = variables.reduce((sum, variable) => sum + variable.bytes, 0);
  programs.makeRoom(bytes, 'allocate');
  try {
    for (const variable of variables) {
      regions.create(variable, seed);
      await turn.breathe();
      turn.throwIfAborted();
    }
  } catch (error) {
    if (!endsEngine(error)) for (const { id } of variables) regions.free(id);
    throw error;
  }
}

function release({ regions, programs }: Parts, ids: readonly number[]): void {
  programs.removeUsersOf(new Set(ids));
  for (const id of ids) regions.free(id);
}

/** Our own copy may be moved instead of copied again. */
function sent<T extends WireNumbers>(value: T): T {
  return transfer(value, [value.buffer as ArrayBuffer]);
}
