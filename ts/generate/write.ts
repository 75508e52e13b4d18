// Writes several texts in step, each as it would be written alone: reads their contexts into the cache, lets the engine draw, and reads a context again where it is full.
import { throwIfAborted } from '../errors';
import type { Source } from '../models';
import { nextContext } from './context';
import type { Sampling } from './options';
import type { RuleData } from './rules';
import type { GeneratedPiece, Sequence } from './sequence';
import { type GenerationSession, REPORT_WORDS } from './session';
import { StepStream } from './steps';

/** What texts are written with. */
export interface Writing {
  readonly session: GenerationSession;
  /** One for each row of the session. Not yet finished. */
  readonly sequences: readonly Sequence[];
  /** One for each sequence, where the model has sources. */
  readonly sources?: readonly Source[];
  readonly sampling: Sampling;
  readonly rules: RuleData;
  readonly blockSize: number;
  /** True when nobody looks at single pieces: more is then drawn ahead of the reader. */
  readonly ahead: boolean;
}

/** Writes until every sequence has finished. */
export async function* write(writing: Writing): AsyncGenerator<GeneratedPiece, void, void> {
  const { session, sequences, sources, sampling, rules } = writing;
  const live = () => sequences.some(({ finishReason }) => finishReason === undefined);
  if (!live()) return;
  throwIfAborted(sampling.signal, 'generate');
  session.adoptVariant();
  if (sources !== undefined) await session.readSources(sources, sampling.signal);
  // Sent in this order; the engine's answers need not be waited for one by one.
  await Promise.all([session.begin(sequences, rules), sampling.useCache ? readContexts(writing) : undefined]);
  while (live()) {
    throwIfAborted(sampling.signal, 'generate');
    yield* sampling.useCache ? untilFull(writing, live) : oneUncached(writing);
    if (sampling.useCache && live()) await readContexts(writing);
  }
}

/** Without a cache: the whole context for each token of the session's only row. */
async function* oneUncached({ session, sequences: [sequence], sampling, blockSize }: Writing): AsyncGenerator<GeneratedPiece, void, void> {
  const { start } = nextContext(sequence.start, sequence.ids.length, blockSize);
  sequence.start = start;
  const context = Int32Array.from(sequence.ids.slice(start));
  yield sequence.accept(await session.uncached(context, sequence.written, sampling, sampling.seed + sequence.index));
}

/** With the cache, until a context is full. */
async function* untilFull(writing: Writing, live: () => boolean): AsyncGenerator<GeneratedPiece, void, void> {
  const { session, sequences, sampling, rules, blockSize, ahead } = writing;
  const going = sequences.filter(({ ended }) => !ended); // in the engine: one that met a stop string goes on there, unseen
  const { written } = going.find(({ finishReason }) => finishReason === undefined)!; // the same for all that are live
  const room = blockSize - Math.max(...going.map(({ cached }) => cached));
  const longest = Math.max(...sequences.map(({ cached }) => cached)) + 1;
  const seed = sampling.seed + sequences[0].index;
  const limit = Math.min(sampling.maxNewTokens - written, room);
  const steps = new StepStream(limit, ahead, (from, count, onReport, signal) =>
    session.decode(longest + from, count, written + from, sampling, seed, rules.endIds, onReport, signal),
  );
  const stop = () => void steps.stop();
  sampling.signal?.addEventListener('abort', stop, { once: true });
  try {
    for (let step = 0; step < limit && live(); step++) {
      throwIfAborted(sampling.signal, 'generate');
      const report = await steps.next();
      const pieces: GeneratedPiece[] = [];
      sequences.forEach((sequence, row) => {
        if (sequence.ended) return;
        sequence.cached += 1;
        if (sequence.finishReason === undefined)
          pieces.push(sequence.accept(report.subarray(row * REPORT_WORDS, (row + 1) * REPORT_WORDS)));
      });
      for (const piece of pieces) {
        throwIfAborted(sampling.signal, 'generate');
        yield piece;
      }
    }
  } catch (error) {
    throwIfAborted(sampling.signal, 'generate');
    throw error;
  } finally {
    sampling.signal?.removeEventListener('abort', stop);
    await steps.stop();
  }
}

/** Sees to it that all of each context but its last token is in the cache. */
async function readContexts({ session, sequences, sources, sampling, blockSize }: Writing): Promise<void> {
  const waiting = new Map<string, { tokens: Int32Array; from: number; rows: number[]; source?: Source }>();
  for (const sequence of sequences) {
    if (sequence.ended) continue;
    if (sequence.finishReason !== undefined) {
      sequence.cached = 0; // what it goes on with is read by nobody
      continue;
    }
    const { start, length } = nextContext(sequence.start, sequence.ids.length, blockSize);
    if (start !== sequence.start) [sequence.start, sequence.cached] = [start, 0];
    const from = sequence.cached;
    if (from === length - 1) continue;
    const tokens = Int32Array.from(sequence.ids.slice(start + from, start + length - 1));
    const row = sequences.indexOf(sequence);
    const source = sources?.[row];
    const key = `${source === undefined ? 0 : sources!.indexOf(source)} ${tokens.join()}`;
    const same = waiting.get(key) ?? { tokens, from, rows: [], source };
    same.rows.push(row);
    waiting.set(key, same);
    sequence.cached = length - 1;
  }
  for (const { tokens, from, rows, source } of waiting.values())
    await session.prefill(tokens, from, rows, 'decode', sampling.signal, source);
  // A row that has ended stays where it is.
  await session.setPositions(Int32Array.from(sequences, ({ cached }) => Math.min(cached, blockSize - 1)));
}
