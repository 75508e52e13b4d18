// The engine as its callers hold it: checks arguments, numbers variables and programs, sends calls, and makes sure that every call settles
// whatever becomes of the engine. What a program computes is not its business.
import { transfer } from 'comlink';
import { platform } from '#platform';
import { FerroError, show, throwIfAborted } from '../../errors';
import type { Program, Variable } from '../../graph';
import type { EngineApi, Numbers, WireNumbers, WireVariable } from '../protocol';
import { nameOutputs, ownBuffers, prepareCall, prepareSequence } from './calls';
import { type Connection, type ConnectionRequest, SharingRefused } from './connection';
import { describeEngine, kernelHash } from './info';
import { openInThread } from './inThread';
import { planThreads, readEngineOptions, warn } from './options';
import { PendingCalls } from './pending';
import { ProgramHandle, wireProgram } from './programs';
import { planSimd } from './simd';
import { receiveValues } from './stream';
import { TileChoices } from './tiles';
import type { EngineBytes, EngineInfo, EngineOptions, InstructionProfile, Outputs, RunCall, SequenceOptions, SequenceRun } from './types';
import {
  checkedData,
  checkedPart,
  checkedRange,
  claimRegion,
  decoded,
  type ElementRange,
  encoded,
  findRegion,
  type RegionRef,
  requireRegion,
  type WriteOptions,
  wireBindings,
  wireVariable,
} from './variables';
import { openWorkers } from './workers';

/**
 * An engine: the kernels with their memory and threads, in a worker of its own. Calls queue in the order in which they are made.
 * Every call rejects with ENGINE_CLOSED after `close()`, and with ENGINE_DIED (the cause kept) once a worker, a thread or a kernel has failed.
 */
export class EngineHost {
  readonly info: EngineInfo;
  readonly #connection: Connection;
  readonly #pending: PendingCalls;
  #end: { makeError: (op: string) => FerroError; terminated: Promise<void> } | undefined;
  #lastId = 0;
  #lastChange = 0;
  #lastToken = 0;

  private constructor(info: EngineInfo, connection: Connection) {
    this.info = info;
    this.#connection = connection;
    this.#pending = new PendingCalls((busy) => connection.setBusy(busy));
    connection.onDeath = (cause) =>
      this.#finish((op) => new FerroError('ENGINE_DIED', `${op}: the engine has ended, because ${cause.message}`, { cause }));
  }

  /**
   * Starts an engine.
   * @throws FerroError INVALID_OPTION, UNKNOWN_OPTION, UNSUPPORTED_RUNTIME, OUT_OF_MEMORY, ABORTED; ENGINE_START_FAILED when a worker's
   * script or the kernels cannot be loaded (at the latest after 30 seconds).
   */
  static async start(given: EngineOptions = {}): Promise<EngineHost> {
    const options = readEngineOptions(given);
    throwIfAborted(options.signal, 'Engine.start');
    const plan = planThreads(options, platform);
    const simd = planSimd(options, platform);
    const module = await platform.loadModule(simd.build, options, simd.vectorBits === 256).catch((error: unknown) => {
      throw new FerroError('ENGINE_START_FAILED', `Engine.start: the kernels must load, got ${(error as Error).message}`, { cause: error });
    });
    const { workerUrl, threadWorkerUrl, maxMemoryBytes, signal } = options;
    const open = options.worker === false ? openInThread : openWorkers;
    const tiles = TileChoices.of(module, kernelHash(options, simd.build), simd.vectorBits);
    const machine = { platform, module, threads: plan.threads, tile: tiles.choice };
    const request: ConnectionRequest = { ...machine, workerUrl, threadWorkerUrl, maxMemoryBytes, signal };
    const connection = await open(request).catch((error: unknown) => {
      if (!(error instanceof SharingRefused)) throw error;
      plan.reasons.push(error.message);
      plan.threads = 1;
      plan.warn = true;
      return open({ ...request, threads: 1 });
    });
    if (connection.report.tile?.settled) tiles.choice = connection.report.tile;
    const host = new EngineHost(describeEngine(options, simd, plan, connection.report, platform), connection);
    try {
      if (simd.warning !== undefined) warn(simd.warning, options.onWarning);
      if (plan.warn) warn({ code: 'SINGLE_THREAD', message: `running on one thread: ${plan.reasons.join('; ')}` }, options.onWarning);
    } catch (error) {
      await host.close(); // the caller's function threw, so the caller gets no engine to close
      throw error;
    }
    return host;
  }

  /** True after `close()` and after the engine's death. */
  get closed(): boolean {
    return this.#end !== undefined;
  }

  /** Bytes and counts now, in queue order. */
  async bytes(): Promise<EngineBytes> {
    const inside = await this.#call('bytes', (api) => api.bytes());
    return { ...inside, workers: this.#connection.workers };
  }

  /** Whether a variable has a region in this engine. */
  owns(variable: Variable): boolean {
    return findRegion(variable, this) !== undefined;
  }

  /**
   * Makes room for variables and fills them as their `init` says: all of them or, after an error, none. Random numbers depend on `seed` (an integer
   * from 0 to 2^53 − 1) and the variable's name alone; `empty` fills all but derived ones with zeros instead. @throws FerroError OUT_OF_MEMORY before anything is allocated; WRONG_ENGINE, INVALID_OPTION …
   */
  async allocate(variables: readonly Variable[], options: { seed: number; signal?: AbortSignal; empty?: boolean }): Promise<void> {
    const op = 'allocate';
    this.#assertOpen(op);
    if (!Number.isSafeInteger(options.seed) || options.seed < 0)
      throw new FerroError('INVALID_OPTION', `${op}: seed must be an integer from 0 to 2^53 − 1, got ${show(options.seed)}`);
    const claimed: RegionRef[] = [];
    try {
      const wires = variables.map((variable): WireVariable => {
        const region = claimRegion(variable, this, ++this.#lastId, ++this.#lastChange, op);
        claimed.push(region);
        const wire = wireVariable(variable, region.id);
        return options.empty && !variable.derived ? { ...wire, init: { kind: 'constant', value: 0 } } : wire;
      });
      const buffers = wires.flatMap(({ init }) => (init.kind === 'data' ? [init.data.buffer as ArrayBuffer] : []));
      await this.#call(op, (api, token) => api.allocate(transfer(wires, buffers), options.seed, token), options.signal);
    } catch (error) {
      for (const region of claimed) region.live = false;
      throw error;
    }
  }

  /** The last of this engine's changes that may have changed one of these variables: a larger number each time one is written, by `write` or by a run that was asked for. */
  lastChange(variables: Iterable<Variable>): number {
    let last = 0;
    for (const variable of variables) last = Math.max(last, requireRegion(variable, this, 'lastChange').changedAt);
    return last;
  }

  /** Frees variables; programs bound to them can no longer be run. Variables that are not in this engine are passed over. */
  async release(variables: readonly Variable[]): Promise<void> {
    const regions = variables.flatMap((variable) => findRegion(variable, this) ?? []);
    this.#assertOpen('release');
    for (const region of regions) region.live = false;
    const ids = regions.map(({ id }) => id);
    if (ids.length > 0) await this.#call('release', (api) => api.release(ids));
  }

  /**
   * Overwrites a variable with a copy of `data`, row-major, Float32Array or Int32Array by its dtype (bf16: Float32Array, rounded, or bits in a Uint16Array): all its elements, or with `start` as many as there
   * are from that one on. `give` moves the array instead of copying it: it is then empty for the caller. @throws FerroError
   */
  async write(variable: Variable, data: WireNumbers, { start, give = false }: WriteOptions = {}): Promise<void> {
    const region = requireRegion(variable, this, 'write');
    const checked = start === undefined ? checkedData(variable, data, 'write') : checkedPart(variable, data, start, 'write');
    const whole = checked.byteLength === checked.buffer.byteLength && checked.buffer instanceof ArrayBuffer;
    const bits = encoded(variable, checked);
    const sent = bits !== checked || (give && whole) ? bits : checked.slice();
    this.#changes([region]);
    await this.#call('write', (api) => api.write(region.id, transfer(sent, [sent.buffer as ArrayBuffer]), start ?? 0));
  }

  /** A copy of a variable, row-major: all its elements, or those from `start` to `end` − 1. @throws FerroError UNBOUND_VARIABLE, WRONG_ENGINE */
  async read(variable: Variable, range: ElementRange = {}): Promise<Numbers> {
    const { id } = requireRegion(variable, this, 'read');
    const { start, end } = checkedRange(variable, range, 'read');
    return decoded(await this.#call('read', (api) => api.read(id, start, end)));
  }

  /** Loads a program; its variables must be allocated here. @throws FerroError UNBOUND_VARIABLE, WRONG_ENGINE, OUT_OF_MEMORY, BAD_PROGRAM */
  async load(program: Program): Promise<ProgramHandle> {
    this.#assertOpen('load');
    const { wire, ...regions } = wireBindings(program.bindings, this, 'load');
    const handle = new ProgramHandle(program, ++this.#lastId, this, regions);
    await this.#call('load', (api) => api.load(wireProgram(program, handle.id, wire)));
    return handle;
  }

  /** Frees a program and its buffers. A second time does nothing. */
  async unload(handle: ProgramHandle): Promise<void> {
    if (!handle.live) return;
    handle.live = false;
    await this.#call('unload', (api) => api.unload(handle.id));
  }

  /**
   * Runs programs one after the other and gives each one's outputs; one message there, one back. An abort is heard between slices and before each
   * program, but not within an `atomic` one; the programs that have ended by then have had their effect.
   * @throws FerroError for names, shapes and dtypes before anything runs; TOKEN_OUT_OF_RANGE, LABEL_OUT_OF_RANGE, NON_FINITE_LOGITS; ABORTED
   */
  async run(calls: RunCall | readonly RunCall[], options: { signal?: AbortSignal } = {}): Promise<Outputs[]> {
    const list: readonly RunCall[] = Array.isArray(calls) ? calls : [calls as RunCall];
    this.#assertOpen('run');
    const prepared = list.map((call) => prepareCall(this.#own(call, 'run'), 'run'));
    const wires = prepared.map(({ wire }) => wire);
    for (const { handle } of list) this.#changes(handle.written);
    const values = await this.#call('run', (api, token) => api.run(transfer(wires, ownBuffers(wires)), token), options.signal);
    return prepared.map((call, i) => nameOutputs(call, values[i]));
  }

  /**
   * Runs one program many times, handing out an output after each: one message there, a stream back. Ends early at a stop value.
   * @returns how many times the program ran. @throws FerroError as `run`; what `onValue` throws
   */
  async runSequence(handle: ProgramHandle, runs: readonly SequenceRun[], options: SequenceOptions): Promise<number> {
    const op = 'runSequence';
    this.#assertOpen(op);
    throwIfAborted(options.signal, op);
    const prepared = prepareSequence(this.#own({ handle }, op).handle, runs, options.inputs, options.emit, op);
    if (runs.length === 0) return 0;
    const stopValues = [...(options.stopValues ?? [])];
    const stopEvery = options.stopEvery ?? 1;
    if (!Number.isInteger(stopEvery) || stopEvery < 1)
      throw new FerroError('INVALID_OPTION', `${op}: stopEvery must be an integer from 1, got ${show(stopEvery)}`);
    this.#changes(handle.written);
    const stop = new AbortController();
    const onAbort = () => stop.abort(options.signal?.reason);
    options.signal?.addEventListener('abort', onAbort, { once: true });
    const stream = receiveValues(options.onValue, () => stop.abort());
    try {
      const work = async (api: EngineApi, token: number) => {
        const message = transfer({ ...prepared, stopValues, stopEvery, token }, ownBuffers([prepared]));
        const count = await api.runSequence(message, transfer(stream.port, [stream.port]));
        await stream.received(count);
        return count;
      };
      return await this.#call(op, work, stop.signal);
    } catch (error) {
      throw stream.failure === undefined ? error : stream.failure.thrown;
    } finally {
      options.signal?.removeEventListener('abort', onAbort);
      stream.close();
    }
  }

  /** Turns the timing of instructions on or off, and forgets what was measured. */
  async setProfiling(on: boolean): Promise<void> {
    await this.#call('setProfiling', (api) => api.setProfiling(on));
  }

  /** The instructions of the program run last since profiling was turned on, in order; empty when there was none. */
  async profile(): Promise<InstructionProfile[]> {
    const rows = await this.#call('profile', (api) => api.profile());
    return Array.from({ length: rows.length / 4 }, (_, i) => {
      const [instruction, ms, flops, idleMs] = rows.subarray(4 * i, 4 * i + 4);
      return { instruction, ms, flops, idleMs };
    });
  }

  /**
   * Microseconds that one meeting of all threads takes (one thread: what the leader alone needs), as the mean of `rounds` (1 to 1,000,000), in queue order.
   * Nothing else of the engine runs meanwhile, so 1000 rounds are plenty. @throws FerroError INVALID_OPTION
   */
  async measureBarrier(rounds = 1000): Promise<number> {
    if (!Number.isInteger(rounds) || rounds < 1 || rounds > 1e6)
      throw new FerroError('INVALID_OPTION', `measureBarrier: rounds must be an integer from 1 to 1000000, got ${show(rounds)}`);
    return this.#call('measureBarrier', (api) => api.barrierUs(rounds));
  }

  /** Ends the engine and frees its memory, now: pending calls reject with ENGINE_CLOSED. A second time does nothing. */
  close(reason = 'it was closed'): Promise<void> {
    this.#finish((op) => new FerroError('ENGINE_CLOSED', `${op}: the engine must be open, but ${reason}`));
    return this.#end!.terminated;
  }

  #changes(regions: readonly RegionRef[]): void {
    this.#lastChange += 1;
    for (const region of regions) region.changedAt = this.#lastChange;
  }

  #finish(makeError: (op: string) => FerroError): void {
    if (this.#end !== undefined) return;
    const terminated = this.#connection.terminate();
    terminated.catch(() => {}); // close() hands it on; after a death nobody may be waiting
    this.#end = { makeError, terminated };
    this.#pending.failAll(makeError);
  }

  #assertOpen(op: string): void {
    if (this.#end !== undefined) throw this.#end.makeError(op);
  }

  #own<T extends { handle: ProgramHandle }>(call: T, op: string): T {
    const { handle } = call;
    if (!(handle instanceof ProgramHandle))
      throw new FerroError('INVALID_OPTION', `${op}: handle must come from load(), got ${typeof handle}`);
    if (handle.owner !== this)
      throw new FerroError('WRONG_ENGINE', `${op}: a program runs on the engine that loaded it, got "${handle.program.name}"`);
    return call;
  }

  /** Sends a call and settles with its answer, the engine's end or the abort. */
  async #call<T>(op: string, send: (api: EngineApi, token: number) => Promise<T>, signal?: AbortSignal): Promise<T> {
    this.#assertOpen(op);
    throwIfAborted(signal, op);
    const token = signal === undefined ? 0 : ++this.#lastToken;
    const onAbort = () => this.#connection.abort(token);
    signal?.addEventListener('abort', onAbort, { once: true });
    try {
      return await this.#pending.track(op, () => this.#untilDeath(send(this.#connection.api, token)));
    } catch (error) {
      if (error instanceof FerroError && error.code === 'ABORTED' && signal?.aborted) throwIfAborted(signal, op);
      throw error;
    } finally {
      signal?.removeEventListener('abort', onAbort);
    }
  }

  /** Passes an answer on, except an error that ends the engine: that is reported, and the call is left to be rejected with all the others. */
  #untilDeath<T>(answer: Promise<T>): Promise<T> {
    return answer.catch((error: unknown) => {
      if (!(error instanceof FerroError) || error.code !== 'ENGINE_DIED') throw error;
      const cause = error.cause instanceof Error ? error.cause : error;
      this.#connection.reportDeath(new Error(error.message, { cause }), cause.message.startsWith('POISONED'));
      return new Promise<never>(() => {});
    });
  }
}
