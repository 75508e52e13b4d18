// The options of generate(), checked and resolved: which tokens may be drawn, how many, from which seed.
import { FerroError } from '../errors';
import { GENERATE_OPTIONS, type OptionValues, readOptions } from '../options';

/** What a user may give to `generate`; every one is in the option table with its default. */
export type GenerateOptions = Partial<OptionValues<(typeof GENERATE_OPTIONS)[number]>>;

/** The same, resolved. */
export interface Sampling {
  maxNewTokens: number;
  /** 0 = greedy. */
  temperature: number;
  /** 0 = off. */
  topK: number;
  /** 1 = off. */
  topP: number;
  seed: number;
  useCache: boolean;
  stopStrings: readonly string[];
  signal: AbortSignal | undefined;
}

/** Reads generate()'s options. Without a seed one is drawn; the result reports it. @throws UNKNOWN_OPTION, INVALID_OPTION */
export function readSampling(options: GenerateOptions | undefined): Sampling {
  const values = readOptions('generate', options, GENERATE_OPTIONS) as OptionValues<(typeof GENERATE_OPTIONS)[number]>;
  const given = readOptions('generate', options, GENERATE_OPTIONS, { defaults: false }) as GenerateOptions;
  const stopStrings = (values.stopStrings ?? []) as readonly string[];
  if (stopStrings.some((text) => text === ''))
    throw new FerroError('INVALID_OPTION', 'generate: "stopStrings" must hold no empty text, got one');
  return {
    maxNewTokens: values.maxNewTokens,
    temperature: values.doSample ? values.temperature : 0,
    topK: values.topK,
    topP: values.topP,
    seed: given.seed ?? drawSeed(),
    useCache: values.useCache,
    stopStrings,
    signal: values.signal as AbortSignal | undefined,
  };
}

/** A seed nobody chose: 32 random bits. */
function drawSeed(): number {
  return crypto.getRandomValues(new Uint32Array(1))[0];
}
