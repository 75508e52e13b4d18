// The options of generate(), checked and resolved: which tokens may be drawn, how many, from which seed.
import { FerroError, show } from '../errors';
import { GENERATE_OPTIONS, type OptionValues, readOptions } from '../options';

/** What a user may give to `generate`; every one is in the option table with its default. */
export type GenerateOptions = Partial<OptionValues<(typeof GENERATE_OPTIONS)[number]>>;

/** The most log-probabilities of other tokens that may be asked for, as OpenAI's interface has it. */
export const MOST_TOP_LOG_PROBS = 20;

/** How beams are kept. */
export interface BeamOptions {
  numBeams: number;
  /** The sum of log-probabilities is divided by the number of new tokens to this power. */
  lengthPenalty: number;
  /** true: ends as soon as numBeams texts have ended; false: when none that goes on looks better; 'never': when none can become better. */
  earlyStopping: boolean | 'never';
}

/** The same, resolved. */
export interface Sampling {
  maxNewTokens: number;
  minNewTokens: number;
  /** 0 = greedy. */
  temperature: number;
  /** 0 = off. */
  topK: number;
  /** 1 = off. */
  topP: number;
  /** 0 = off. */
  minP: number;
  /** 1 = off. */
  repetitionPenalty: number;
  /** 0 = off. */
  presencePenalty: number;
  /** 0 = off. */
  frequencyPenalty: number;
  badWords: readonly (string | readonly number[])[];
  /** By token id. */
  logitBias: ReadonlyMap<number, number>;
  /** Sequences of each prompt. */
  numReturnSequences: number;
  /** Present when numBeams is above 1. */
  beams: BeamOptions | undefined;
  /** Of sequence 0; sequence i has seed + i. */
  seed: number;
  useCache: boolean;
  stopStrings: readonly string[];
  stopTokenIds: readonly number[];
  /** Log-probabilities of how many of the likeliest tokens are told. */
  topLogProbs: number;
  skipSpecialTokens: boolean;
  signal: AbortSignal | undefined;
}

/** Reads generate()'s options. Without a seed one is drawn; the result reports it. @throws UNKNOWN_OPTION, INVALID_OPTION */
export function readSampling(options: GenerateOptions | undefined, vocabSize: number): Sampling {
  const values = readOptions('generate', options, GENERATE_OPTIONS) as OptionValues<(typeof GENERATE_OPTIONS)[number]>;
  const given = readOptions('generate', options, GENERATE_OPTIONS, { defaults: false }) as GenerateOptions;
  const stopStrings = (values.stopStrings ?? []) as readonly string[];
  const stopTokenIds = Array.from((values.stopTokenIds ?? []) as ArrayLike<number>);
  for (const id of stopTokenIds) checkTokenId('stopTokenIds', id, vocabSize);
  const { numBeams, numReturnSequences } = values;
  if (numBeams > 1) checkBeams(given, numBeams, numReturnSequences);
  if (values.minNewTokens > values.maxNewTokens)
    throw new FerroError(
      'INVALID_OPTION',
      `generate: "minNewTokens" must be at most maxNewTokens ${values.maxNewTokens}, got ${values.minNewTokens}`,
    );
  return {
    maxNewTokens: values.maxNewTokens,
    minNewTokens: values.minNewTokens,
    temperature: values.doSample ? values.temperature : 0,
    topK: values.topK,
    topP: values.topP,
    minP: values.minP,
    repetitionPenalty: values.repetitionPenalty,
    presencePenalty: values.presencePenalty,
    frequencyPenalty: values.frequencyPenalty,
    badWords: values.badWords ?? [],
    logitBias: readBias(values.logitBias, vocabSize),
    numReturnSequences,
    beams:
      numBeams > 1 ? { numBeams, lengthPenalty: values.lengthPenalty, earlyStopping: readEarlyStopping(values.earlyStopping) } : undefined,
    seed: given.seed ?? (numBeams > 1 ? 0 : drawSeed()), // beam search draws nothing
    useCache: values.useCache,
    stopStrings,
    stopTokenIds,
    topLogProbs: values.topLogProbs,
    skipSpecialTokens: values.skipSpecialTokens,
    signal: values.signal as AbortSignal | undefined,
  };
}

/** @throws INVALID_OPTION unless the id is one of the vocabulary's */
export function checkTokenId(name: string, id: number, vocabSize: number): void {
  if (Number.isInteger(id) && id >= 0 && id < vocabSize) return;
  throw new FerroError('TOKEN_OUT_OF_RANGE', `generate: ids of "${name}" must be integers from 0 to ${vocabSize - 1}, got ${id}`);
}

/** Beam search draws nothing, so options of a draw given beside it are a mistake. */
function checkBeams(given: GenerateOptions, numBeams: number, numReturnSequences: number): void {
  if (numReturnSequences > numBeams)
    throw new FerroError(
      'INVALID_OPTION',
      `generate: "numReturnSequences" must be at most numBeams ${numBeams}, got ${numReturnSequences}`,
    );
  for (const name of ['temperature', 'topK', 'topP', 'minP', 'topLogProbs'] as const) {
    if (given[name] !== undefined)
      throw new FerroError('INVALID_OPTION', `generate: "${name}" must not be given with numBeams above 1, got ${given[name]}`);
  }
  for (const [name, value] of [
    ['doSample', true],
    ['useCache', false],
  ] as const) {
    if (given[name] === value)
      throw new FerroError('INVALID_OPTION', `generate: "${name}" must be ${!value} with numBeams above 1, got ${value}`);
  }
}

function readEarlyStopping(value: boolean | string): boolean | 'never' {
  return value === 'never' ? 'never' : value === true || value === 'true';
}

/** { id: bias } or, from the command line, ['id:bias']. */
function readBias(given: object | undefined, vocabSize: number): ReadonlyMap<number, number> {
  const bias = new Map<number, number>();
  const entries =
    given instanceof Map ? [...given] : Array.isArray(given) ? given.map((text: string) => text.split(':')) : Object.entries(given ?? {});
  for (const [key, value] of entries as [unknown, unknown][]) {
    const id = Number(key);
    checkTokenId('logitBias', String(key).trim() === '' ? Number.NaN : id, vocabSize);
    const number = typeof value === 'string' && value.trim() !== '' ? Number(value) : value;
    if (typeof number !== 'number' || !(number < 1e4))
      throw new FerroError(
        'INVALID_OPTION',
        `generate: "logitBias" must hold numbers below 10000 (−Infinity excludes), got ${show(value)} for ${id}`,
      );
    bias.set(id, number);
  }
  return bias;
}

/** A seed nobody chose: 32 random bits. */
function drawSeed(): number {
  return crypto.getRandomValues(new Uint32Array(1))[0];
}
