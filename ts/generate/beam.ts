// Beam search: the numBeams best beginnings of a text are carried on together. Decides, from the best continuations that the engine reports, which live on and which have
// ended, as transformers' does (generation/utils.py, _beam_search), in f32 where it uses f32.
import { FerroError, throwIfAborted } from '../errors';
import { exp, ln } from '../math';
import type { GenerationModel } from './generate';
import type { BeamOptions, Sampling } from './options';
import type { RuleData } from './rules';
import { type FinishReason, type GeneratedPiece, type GeneratedSequence, Sequence } from './sequence';
import { type GenerationSession, MOST_KEPT } from './session';

/** A beginning that goes on. */
interface Beam {
  readonly ids: readonly number[];
  readonly logProbs: readonly number[];
  /** Sum of its log-probabilities. */
  readonly score: number;
  /** The row of the engine that it continues. */
  readonly parent: number;
}

/** One that has ended, with its score under the length penalty. */
interface Finished extends Beam {
  readonly finishReason: FinishReason;
}

const f32 = Math.fround;
/** What transformers takes for minus infinity. */
const NEVER = -1e9;

/** Searches for each prompt in turn. Pieces come once a search has ended. */
export async function* beamSearch(
  model: GenerationModel,
  prompts: readonly Int32Array[],
  sampling: Sampling,
  rules: RuleData,
): AsyncGenerator<GeneratedPiece, GeneratedSequence[], void> {
  const results: GeneratedSequence[] = [];
  const { numBeams } = sampling.beams as BeamOptions;
  // As many as can end in one step, and the beams that must go on beside them.
  const needed = rules.endIds.length + numBeams;
  if (Math.min(needed, model.sessions.drawable) > MOST_KEPT)
    throw new FerroError('INVALID_OPTION', `generate: end ids and beams must be at most ${MOST_KEPT} together, got ${needed}`);
  for (const [i, prompt] of prompts.entries()) {
    if (prompt.length + sampling.maxNewTokens - 1 > model.blockSize)
      throw new FerroError(
        'INVALID_OPTION',
        `generate: prompt and new tokens must fit in ${model.blockSize} tokens in a beam search, got ${prompt.length} and ${sampling.maxNewTokens}`,
      );
    const session = await model.sessions.take(numBeams);
    let found: Finished[];
    try {
      session.adoptVariant();
      const source = model.sources?.[i];
      if (source !== undefined) await session.readSources(new Array(numBeams).fill(source), sampling.signal);
      found = await new Search(model, session, prompt, sampling, rules).run();
    } finally {
      await model.sessions.giveBack(session);
    }
    for (const { ids, logProbs, score, finishReason } of found.slice(0, sampling.numReturnSequences)) {
      const sequence = new Sequence(prompt, results.length, sampling, model.tokenizer, model.eosIds);
      for (const [i, id] of ids.entries()) {
        if (sequence.finishReason !== undefined && i > 0) break;
        throwIfAborted(sampling.signal, 'generate');
        yield sequence.write(id, logProbs[i], []);
      }
      const result = sequence.result();
      results.push({ ...result, finishReason: result.finishReason === 'stop' ? 'stop' : finishReason, seed: sampling.seed, score });
    }
  }
  return results;
}

/** The search for one prompt. */
class Search {
  readonly #beams: BeamOptions;
  /** Continuations that are looked at: enough that numBeams are left when the best ones end. */
  readonly #keep: number;
  #running: Beam[];
  #finished: Finished[] = [];

  constructor(
    readonly model: GenerationModel,
    readonly session: GenerationSession,
    readonly prompt: Int32Array,
    readonly sampling: Sampling,
    readonly rules: RuleData,
  ) {
    this.#beams = sampling.beams as BeamOptions;
    const { numBeams } = this.#beams;
    this.#keep = Math.max(2, 1 + rules.endIds.length) * numBeams;
    // All beams begin alike: only the first counts.
    this.#running = Array.from({ length: numBeams }, (_, b) => ({ ids: [], logProbs: [], score: b === 0 ? 0 : NEVER, parent: b }));
  }

  async run(): Promise<Finished[]> {
    const { prompt, sampling, session, rules } = this;
    const { maxNewTokens } = sampling;
    if (maxNewTokens === 0) return this.#running.map((beam) => ({ ...beam, score: 0, finishReason: 'length' }));
    const rows = this.#running.map((_, b) => b);
    const ids = Array.from(prompt);
    await session.begin(
      rows.map(() => ({ ids, promptLength: ids.length })),
      rules,
    );
    await session.prefill(prompt.slice(0, -1), 0, rows, 'beams', sampling.signal);
    for (let written = 0; written < maxNewTokens; written++) {
      throwIfAborted(sampling.signal, 'generate');
      const candidates = await this.#candidates(written);
      if (candidates.length < this.#beams.numBeams)
        throw new FerroError(
          'INVALID_OPTION',
          `generate: the rules must leave at least ${this.#beams.numBeams} continuations, got ${candidates.length}`,
        );
      if (this.#advance(candidates, written + 1)) break;
    }
    return this.#finished;
  }

  /** The best continuations of all beams, best first. */
  async #candidates(written: number): Promise<Beam[]> {
    const { session, prompt, sampling, rules } = this;
    const last = this.#running.map(({ ids }) => ids.at(-1) ?? prompt[prompt.length - 1]);
    const state = {
      tokens: Int32Array.from(last),
      parents: Int32Array.from(this.#running, ({ parent }) => parent),
      scores: Float32Array.from(this.#running, ({ score }) => score),
    };
    const keep = Math.min(this.#keep, this.model.sessions.drawable, MOST_KEPT);
    const report = await session.beams(state, prompt.length + written, written, keep, sampling, rules.counting);
    const floats = new Float32Array(report.buffer, report.byteOffset, report.length);
    const candidates: Beam[] = [];
    this.#running.forEach((beam, parent) => {
      for (let i = 0; i < keep; i++) {
        const at = (parent * keep + i) * 2;
        if (report[at] < 0) break;
        const score = floats[at + 1];
        candidates.push({ ids: [...beam.ids, report[at]], logProbs: [...beam.logProbs, score - beam.score], score, parent });
      }
    });
    // Stable: among equals the first beam, and in it the lowest id.
    return candidates.sort((a, b) => b.score - a.score).slice(0, this.#keep);
  }

  /** Takes over the candidates of a step with which texts have `length` new tokens. @returns true when the search has ended */
  #advance(candidates: readonly Beam[], length: number): boolean {
    const { numBeams, lengthPenalty, earlyStopping } = this.#beams;
    const { maxNewTokens } = this.sampling;
    const full = this.#finished.length === numBeams && earlyStopping === true;
    const ends = candidates.map((candidate) => this.#reason(candidate, length));
    if (!full) {
      const ended = candidates.slice(0, numBeams).flatMap((candidate, i): Finished[] => {
        const finishReason = ends[i];
        return finishReason === undefined
          ? []
          : [{ ...candidate, finishReason, score: f32(candidate.score / power(length, lengthPenalty)) }];
      });
      this.#finished = [...this.#finished, ...ended].sort((a, b) => b.score - a.score).slice(0, numBeams);
    }
    const going = candidates.filter((_, i) => ends[i] === undefined);
    if (going.length === 0) return true;
    this.#running = going.slice(0, numBeams);
    while (this.#running.length < numBeams) this.#running.push({ ...going[0], score: NEVER });
    if (this.#finished.length < numBeams) return false;
    if (earlyStopping === true) return true;
    const best = earlyStopping === 'never' && lengthPenalty > 0 ? maxNewTokens : length;
    return f32(this.#running[0].score / power(best, lengthPenalty)) <= this.#finished[numBeams - 1].score;
  }

  #reason({ ids }: Beam, length: number): FinishReason | undefined {
    const id = ids[ids.length - 1];
    if (this.model.eosIds.includes(id)) return 'eos';
    if (this.rules.endIds.includes(id) || this.#meetsStopString(ids)) return 'stop';
    return length === this.sampling.maxNewTokens ? 'length' : undefined;
  }

  #meetsStopString(ids: readonly number[]): boolean {
    const { stopStrings } = this.sampling;
    if (stopStrings.length === 0 || this.model.tokenizer === null) return false;
    const text = this.model.tokenizer.decode(ids, { skipSpecialTokens: this.sampling.skipSpecialTokens });
    return stopStrings.some((stop) => text.includes(stop));
  }
}

/** length to the power of p, the same on every JavaScript engine. */
function power(length: number, p: number): number {
  return p === 0 ? 1 : p === 1 ? length : exp(p * ln(length));
}
