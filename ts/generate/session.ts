// The engine's side of generation for one model and a fixed number of rows: KV caches and what the draw remembers in persistent variables, and the few programs that
// read prompts and write tokens. It keeps no text and follows no context rule.
import type { BoundModule } from '../bind';
import type { ProgramHandle } from '../engine';
import { FerroError } from '../errors';
import {
  assign,
  beamScores,
  compile,
  copySequence,
  drawTokens,
  type Effect,
  Extent,
  type GenerationRules,
  HISTORY_TOKENS,
  IN_PROMPT,
  input,
  lastRow,
  type Node,
  permuteRows,
  reshape,
  STATE_WORDS,
  type Tensor,
  Variable,
} from '../graph';
import { type CausalCache, type CausalLM, cacheVariables, type EncoderDecoder, type Source } from '../models';
import type { CachePlace } from '../nn';
import { MOST_TOP_LOG_PROBS, type Sampling } from './options';
import { drawScalars, LIST_WORDS, type RuleData, ruleScalars } from './rules';
import { isEncoderDecoder, SourceCaches, type SourceProgram } from './sources';

/** Tokens of a prompt that are read in one program run. */
const PREFILL_TOKENS = 256;
/** Words of a row's report: id, log-probability, and pairs of the likeliest. */
export const REPORT_WORDS = 2 + 2 * MOST_TOP_LOG_PROBS;
/** Most continuations of a beam that are told. */
export const MOST_KEPT = 1024;

/** What a row begins with. */
export interface RowStart {
  /** All its tokens so far. */
  readonly ids: readonly number[];
  /** How many of them are the prompt. */
  readonly promptLength: number;
}

/** What text can be written with: a causal model, or one whose decoder looks at a source. */
export type GenerationModule = CausalLM | EncoderDecoder;

type ProgramName = 'prefill' | 'place' | 'decode' | 'uncached' | 'beams' | 'reorder' | SourceProgram;

/** Variables and programs for `rows` sequences. Sessions are reused: see `GenerationSessions`. */
export class GenerationSession {
  readonly #bound: BoundModule<GenerationModule>;
  readonly #vocab: number;
  readonly #cache: CausalCache;
  /** Where prompts are read; with one row that is the cache itself. */
  readonly #single: CausalCache;
  /** Of an encoder-decoder. */
  readonly #sources: SourceCaches | undefined;
  readonly #token: Variable;
  readonly #positions: Variable;
  readonly #rules: GenerationRules;
  readonly #programs = new Map<ProgramName, Promise<ProgramHandle>>();
  /** The variant of the module that the programs are of. */
  #variant: string;
  #written: Pick<RuleData, 'bias' | 'lists'> | undefined;

  private constructor(
    bound: BoundModule<GenerationModule>,
    drawable: number,
    readonly rows: number,
  ) {
    this.#bound = bound;
    this.#variant = bound.variantKey;
    this.#vocab = drawable;
    const { module } = bound;
    this.#sources = isEncoderDecoder(module) ? new SourceCaches(bound, module, rows, (name) => this.#program(name)) : undefined;
    this.#cache = this.#sources?.cache ?? module.makeCache(rows);
    this.#single = this.#sources?.single ?? (rows === 1 ? this.#cache : module.makeCache(1));
    const ints = (name: string, ...shape: number[]) =>
      new Variable({ name: `generate.${name}`, shape, dtype: 'i32', trainable: false, init: { kind: 'zeros' } });
    this.#token = ints('token', rows, 1);
    this.#positions = ints('positions', rows);
    this.#rules = {
      bias: new Variable({ name: 'generate.bias', shape: [drawable], trainable: false, init: { kind: 'zeros' } }),
      lists: ints('lists', LIST_WORDS),
      counts: ints('counts', rows, drawable),
      state: ints('state', rows, STATE_WORDS),
    };
  }

  /** Allocates the variables. Only ids below `drawable` are ever drawn (a vocabulary may be padded). @throws OUT_OF_MEMORY, MODEL_CLOSED */
  static async open(bound: BoundModule<GenerationModule>, drawable: number, rows: number): Promise<GenerationSession> {
    const session = new GenerationSession(bound, drawable, rows);
    await bound.allocate(session.#variables);
    return session;
  }

  get #variables(): Variable[] {
    const caches = this.rows === 1 ? [this.#cache] : [this.#cache, this.#single];
    return [...(this.#sources?.variables ?? caches.flatMap(cacheVariables)), this.#token, this.#positions, ...Object.values(this.#rules)];
  }

  /** Says that a text begins: it is written by the variant that the module is now. What was compiled for another one is freed. */
  adoptVariant(): void {
    if (this.#variant === this.#bound.variantKey) return;
    this.#variant = this.#bound.variantKey;
    this.#unload().catch(() => {}); // the engine has ended: told by whatever runs next
  }

  /** Begins a generation: rules, each row's last token, and what rows remember of their tokens. */
  async begin(starts: readonly RowStart[], data: RuleData): Promise<void> {
    const { host } = this.#bound;
    const { bias, lists, counts, state } = this.#rules;
    const writes = [
      host.write(
        this.#token,
        Int32Array.from(starts, ({ ids }) => ids[ids.length - 1]),
      ),
    ];
    if (!equal(this.#written?.bias, data.bias)) writes.push(host.write(bias, data.bias));
    if (!equal(this.#written?.lists, data.lists)) writes.push(host.write(lists, data.lists));
    this.#written = data;
    if (data.counting) writes.push(host.write(counts, this.#counts(starts)));
    writes.push(host.write(state, rowStates(starts)));
    await Promise.all(writes);
  }

  #counts(starts: readonly RowStart[]): Int32Array {
    const counts = new Int32Array(starts.length * this.#vocab);
    starts.forEach(({ ids, promptLength }, row) => {
      ids.forEach((id, i) => {
        if (id >= this.#vocab) return;
        const at = row * this.#vocab + id;
        counts[at] = i < promptLength ? counts[at] | IN_PROMPT : counts[at] + 1;
      });
    });
    return counts;
  }

  /** Has an encoder-decoder read the sources of all rows; nothing else is read or written before. */
  async readSources(sources: readonly Source[], signal: AbortSignal | undefined): Promise<void> {
    await this.#sources?.readAll(sources, signal);
  }

  /**
   * Reads tokens into the cache from position `from` on, for one row; for rows of a batch from 0 on, and the same for all of them.
   * @param next what will run afterwards: compiled while the engine reads
   * @param source of these rows, where the model has sources
   */
  async prefill(
    tokens: Int32Array,
    from: number,
    rows: readonly number[],
    next: 'decode' | 'beams',
    signal: AbortSignal | undefined,
    source?: Source,
  ): Promise<void> {
    if (tokens.length > 0) {
      if (source !== undefined) await this.#sources?.readAlone(source, signal);
      const handle = await this.#program('prefill');
      const calls = [];
      for (let at = 0; at < tokens.length; at += PREFILL_TOKENS) {
        const inputIds = tokens.slice(at, at + PREFILL_TOKENS);
        const position = from + at;
        const keysUsed = position + inputIds.length;
        const all: Record<string, number> = { time: inputIds.length, position, keysUsed, ...this.#sources?.extentsOf(source) };
        // With a single block nothing attends: what is pruned takes its extent along.
        const extents = Object.fromEntries(handle.program.extents.map(({ name }) => [name, all[name]]));
        calls.push({ handle, inputs: { inputIds }, extents });
      }
      const reading = this.#bound.host.run(calls, { signal });
      this.#program(next).catch(() => {}); // told to whoever runs it
      await reading;
    }
    if (this.rows === 1) return;
    const handle = await this.#program('place');
    const calls = rows.map((row) => ({ handle, extents: { row, rowsUsed: tokens.length } }));
    await this.#bound.host.run(calls, { signal });
  }

  /** Says where each row's next token goes (batches only). */
  async setPositions(positions: Int32Array): Promise<void> {
    if (this.rows > 1) await this.#bound.host.write(this.#positions, positions);
  }

  /**
   * Writes `count` tokens of each row, one message for all; each report is i32 [rows, REPORT_WORDS]. Ends early when all rows have drawn an end id.
   * @param length tokens of the longest row's context at the first of these steps, its last token included
   * @param draw number of the first token
   */
  async decode(
    length: number,
    count: number,
    draw: number,
    sampling: Sampling,
    seed: number,
    endIds: readonly number[],
    onReport: (report: Int32Array) => void,
    signal: AbortSignal,
  ): Promise<void> {
    const handle = await this.#program('decode');
    const { blockSize } = this.#bound.module.config;
    const common = drawScalars(sampling, seed);
    const runs = Array.from({ length: count }, (_, i) => {
      const keysUsed = Math.min(length + i, blockSize);
      const extents: Record<string, number> = this.rows === 1 ? { position: keysUsed - 1, keysUsed } : { keysUsed };
      Object.assign(extents, this.#sources?.extentsOf());
      return { extents, scalars: { ...common, draw: draw + i } };
    });
    await this.#bound.host.runSequence(handle, runs, {
      emit: 'report',
      stopValues: endIds,
      stopEvery: REPORT_WORDS,
      signal,
      onValue: (value) => onReport(value as Int32Array),
    });
  }

  /** Reads a whole context without the cache and draws the token after it (one row). */
  async uncached(context: Int32Array, draw: number, sampling: Sampling, seed: number): Promise<Int32Array> {
    const handle = await this.#program('uncached');
    const scalars = { ...drawScalars(sampling, seed), draw };
    const whole = this.#sources?.whole;
    const inputs = { inputIds: context, ...whole?.inputs };
    const call = { handle, inputs, extents: { time: context.length, ...whole?.extents }, scalars };
    const [{ report }] = await this.#bound.host.run(call, { signal: sampling.signal });
    return report as Int32Array;
  }

  /**
   * One step of a beam search over all rows: beam b goes on from beam parents[b] with tokens[b].
   * @param length tokens of the context, these included
   * @returns i32 [rows, keep, 2], see `beamScores`
   */
  async beams(
    beams: { tokens: Int32Array; parents: Int32Array; scores: Float32Array },
    length: number,
    draw: number,
    keep: number,
    sampling: Sampling,
    counting: boolean,
  ): Promise<Int32Array> {
    const { tokens, parents, scores } = beams;
    const calls = [];
    if (parents.some((parent, b) => parent !== b)) {
      const extents = { time: length - 1, remembered: 1, counted: counting ? 1 : 0 };
      calls.push({ handle: await this.#program('reorder'), inputs: { parents }, extents });
    }
    const extents = { position: length - 1, keysUsed: length, keep, ...this.#sources?.extentsOf() };
    calls.push({ handle: await this.#program('beams'), inputs: { tokens, scores }, extents, scalars: { ...ruleScalars(sampling), draw } });
    const outputs = await this.#bound.host.run(calls, { signal: sampling.signal });
    return outputs[outputs.length - 1].report as Int32Array;
  }

  /** Frees variables and programs (closing the model does it too). */
  async close(): Promise<void> {
    await this.#unload();
    await this.#bound.release(this.#variables);
  }

  async #unload(): Promise<void> {
    const programs = [...this.#programs.values()];
    this.#programs.clear();
    for (const program of programs) {
      const handle = await program.catch(() => undefined);
      if (handle !== undefined) await this.#bound.unload(handle);
    }
  }

  #program(name: ProgramName): Promise<ProgramHandle> {
    if (this.#variant !== this.#bound.variantKey)
      // Caches of one model, steps of another: no model would have written that text.
      return Promise.reject(new FerroError('BUSY', 'generate: the adapter must stay the same while a text is written, got another'));
    const known = this.#programs.get(name);
    if (known !== undefined) return known;
    const built = this.#load(name);
    this.#programs.set(name, built);
    built.catch(() => {
      if (this.#programs.get(name) === built) this.#programs.delete(name);
    });
    return built;
  }

  async #load(name: ProgramName): Promise<ProgramHandle> {
    const { outputs = {}, effects } = this.#bound.trace(false, () => this.#build(name));
    return this.#bound.load(compile({ name: `generate ${name}`, outputs, effects }));
  }

  #build(name: ProgramName): { outputs?: Record<string, Tensor>; effects: Effect[] } {
    const { module } = this.#bound;
    const { blockSize, vocabSize } = module.config;
    const extent = (extentName: string, max = blockSize) => new Extent(extentName, max);
    const inStep = () => ({ position: extent('position'), keysUsed: extent('keysUsed') });
    switch (name) {
      case 'prefill': {
        const ids = input('inputIds', [1, extent('time', Math.min(PREFILL_TOKENS, blockSize))], 'i32');
        return { effects: cacheWrites(this.#forwardCached(ids, this.#single, inStep())) };
      }
      case 'place': {
        const options = { row: extent('row', this.rows - 1), rowsUsed: extent('rowsUsed') };
        const [from, to] = [this.#single, this.#cache].map(cacheVariables);
        return { effects: to.map((variable, i) => assign(variable, copySequence(variable, from[i], options))) };
      }
      case 'decode': {
        const place = this.rows === 1 ? inStep() : { positions: this.#positions.tensor, keysUsed: extent('keysUsed') };
        const logits = this.#forwardCached(this.#token.tensor, this.#cache, place);
        return this.#draw(reshape(logits, [this.rows, vocabSize]), this.rows === 1 ? undefined : this.#positions);
      }
      case 'uncached': {
        const ids = input('inputIds', [1, extent('time')], 'i32');
        const logits = isEncoderDecoder(module) ? this.#sources!.forwardLast(ids) : module.head(lastRow(module.hidden(ids)));
        return this.#draw(reshape(logits, [1, vocabSize]), undefined);
      }
      case 'beams': {
        const [tokens, scores] = [input('tokens', [this.rows], 'i32'), input('scores', [this.rows])];
        const logits = this.#forwardCached(reshape(tokens, [this.rows, 1]), this.#cache, inStep());
        const options = { rules: this.#rules, keep: extent('keep', MOST_KEPT), vocabSize: this.#vocab };
        return { outputs: { report: beamScores(reshape(logits, [this.rows, vocabSize]), tokens, scores, options) }, effects: [] };
      }
      case 'reorder': {
        const parents = input('parents', [this.rows], 'i32');
        const moved = (variable: Variable, time: Extent) => assign(variable, permuteRows(variable, parents, time));
        const [time, remembered, counted] = [extent('time'), extent('remembered', 1), extent('counted', 1)];
        const { state, counts } = this.#rules;
        const caches = cacheVariables(this.#cache).map((variable) => moved(variable, time));
        return { effects: [...caches, moved(state, remembered), moved(counts, counted)] };
      }
      case 'readSource':
      case 'placeSource':
        return this.#sources!.build(name);
    }
  }

  #forwardCached(ids: Tensor, cache: CausalCache, place: CachePlace): Tensor {
    const { module } = this.#bound;
    return isEncoderDecoder(module) ? this.#sources!.forwardCached(ids, cache, place) : module.forwardCached(ids, cache, place);
  }

  #draw(logits: Tensor, positions: Variable | undefined): { outputs: Record<string, Tensor>; effects: Effect[] } {
    const options = { rules: this.#rules, positions, topLogProbs: MOST_TOP_LOG_PROBS, vocabSize: this.#vocab };
    const { next, report } = drawTokens(logits, options);
    return { outputs: { report }, effects: [assign(this.#token, reshape(next, [this.rows, 1]))] };
  }
}

/** What a forward pass leaves in the cache, without what it computes beyond that: no logits, no last block. */
function cacheWrites(result: Tensor): Effect[] {
  const effects = new Map<Variable, Effect>();
  const seen = new Set<Node>();
  const visit = (tensor: Tensor): void => {
    const { node } = tensor;
    if (seen.has(node)) return;
    seen.add(node);
    if (node.op.name === 'write_rows') {
      const { variable } = node.attrs as { variable: Variable };
      effects.set(variable, assign(variable, node.outputs[0]));
    }
    node.inputs.forEach(visit);
  };
  visit(result);
  return [...effects.values()];
}

/** Nobody has ended; the last tokens of each row. */
function rowStates(starts: readonly RowStart[]): Int32Array {
  const states = new Int32Array(starts.length * STATE_WORDS);
  starts.forEach(({ ids }, row) => {
    const last = ids.slice(-HISTORY_TOKENS);
    states.fill(-1, (row + 1) * STATE_WORDS - HISTORY_TOKENS, (row + 1) * STATE_WORDS);
    states.set(last, (row + 1) * STATE_WORDS - last.length);
  });
  return states;
}

function equal(a: Float32Array | Int32Array | undefined, b: Float32Array | Int32Array): boolean {
  return a !== undefined && a.length === b.length && a.every((value, i) => value === b[i]);
}
