// Writing text: prompts in, pieces out, until enough tokens or an end. What happens to a text is in sequence.ts, the loop in write.ts, beam search in beam.ts, the
// engine's side in session.ts.
import { FerroError } from '../errors';
import type { Source } from '../models';
import { beamSearch } from './beam';
import type { Sampling } from './options';
import type { PromptReader } from './prompts';
import { type RuleData, ruleData } from './rules';
import { type GeneratedPiece, type GeneratedSequence, Sequence } from './sequence';
import type { GenerationSessions } from './sessions';
import { write } from './write';

/** The whole: the first sequence, and all of them. */
export interface GeneratedText extends GeneratedSequence {
  /** Prompt by prompt, numReturnSequences of each. */
  sequences: GeneratedSequence[];
}

/** What a generation needs to know of a model. */
export interface GenerationModel extends PromptReader {
  sessions: GenerationSessions;
  blockSize: number;
  /** Ids that end a text. */
  eosIds: readonly number[];
  /** What an encoder-decoder reads, one source for each prompt (of its decoder). */
  sources?: readonly Source[];
}

/** Texts that are written in step: more go one group after the other. */
const MOST_ROWS = 32;

/** The rules of a generation, checked before anything runs. @throws INVALID_OPTION, TOKEN_OUT_OF_RANGE */
export function generationRules(model: GenerationModel, sampling: Sampling): RuleData {
  return ruleData(sampling, model.tokenizer, model.eosIds, model.sessions.drawable);
}

/**
 * Writes up to maxNewTokens tokens for every prompt, numReturnSequences times.
 * @param ahead true when nobody looks at single pieces: more tokens are then drawn ahead
 */
export async function* generate(
  model: GenerationModel,
  prompts: readonly Int32Array[],
  sampling: Sampling,
  rules: RuleData,
  ahead: boolean,
): AsyncGenerator<GeneratedPiece, GeneratedText, void> {
  if (sampling.beams !== undefined) return whole(yield* beamSearch(model, prompts, sampling, rules));
  const { numReturnSequences } = sampling;
  const count = prompts.length * numReturnSequences;
  if (!Number.isSafeInteger(sampling.seed + (count - 1)))
    throw new FerroError('INVALID_OPTION', `generate: "seed" must leave room for ${count} sequences below 2^53, got ${sampling.seed}`);
  const sequences = Array.from(
    { length: count },
    (_, i) => new Sequence(prompts[Math.floor(i / numReturnSequences)], i, sampling, model.tokenizer, model.eosIds),
  );
  // Without a cache every text is written alone.
  const most = sampling.useCache ? MOST_ROWS : 1;
  for (let at = 0; at < count; at += most) {
    const group = sequences.slice(at, at + most);
    const sources =
      model.sources === undefined ? undefined : group.map(({ index }) => model.sources![Math.floor(index / numReturnSequences)]);
    const common = { sequences: group, sources, sampling, rules, blockSize: model.blockSize, ahead };
    yield* model.sessions.use(group.length, (session) => write({ ...common, session }));
  }
  return whole(sequences.map((sequence) => sequence.result()));
}

/** The result of a call. */
export function whole(sequences: GeneratedSequence[]): GeneratedText {
  return { ...sequences[0], sequences };
}
