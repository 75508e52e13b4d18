// Scores of what a model writes: prompts in, greedy texts out, compared with the right ones by the field's metrics. The same for every model that generates; the metrics are
// ts/metrics'.
import { FerroError, show, throwIfAborted } from '../errors';
import type { FinishReason, GenerateOptions } from '../generate';
import { type References, TEXT_METRICS, type TextMetric, type TextScores, textScores } from '../metrics';
import { checkNames, namesOf } from '../options';

/** What writes a text for each prompt `P` (a text, token ids): a GPT, a Transformer. */
export interface TextGenerator<P = string> {
  generate(
    prompts: readonly P[],
    options?: GenerateOptions,
  ): PromiseLike<{ sequences: readonly { text: string; finishReason: FinishReason }[] }>;
}

/** One prompt (the source of a sequence-to-sequence model) and the texts that would be right. */
export interface TextExample<P = string> {
  prompt: P;
  references: string | readonly string[];
}

/** Options of `evaluateTexts`. */
export interface EvaluateTextsOptions {
  /** Default: exact_match, f1, bleu, chrf, rouge. */
  metrics?: readonly TextMetric[];
  /** Prompts that are given to the model at once. Default 32. */
  batchSize?: number;
  /** Options of `generate`; greedy where neither temperature, doSample nor numBeams is given. */
  generation?: Omit<GenerateOptions, 'numReturnSequences' | 'signal'>;
  signal?: AbortSignal;
  /** Called after each batch with the number of texts written. */
  onProgress?: (done: number, all: number) => void;
}

const OPTIONS = namesOf<EvaluateTextsOptions>({ metrics: true, batchSize: true, generation: true, signal: true, onProgress: true });

/** A text that was written. */
export interface TextPrediction<P = string> {
  prompt: P;
  prediction: string;
  references: readonly string[];
  finishReason: FinishReason;
}

/** What `evaluateTexts` gives. */
export interface TextEvaluation<P = string> {
  scores: TextScores;
  predictions: TextPrediction<P>[];
  /** Texts that did not end by themselves: they are scored as far as they got. */
  unfinished: number;
}

const DEFAULT_METRICS: readonly TextMetric[] = ['exact_match', 'f1', 'bleu', 'chrf', 'rouge'];

/**
 * Lets a model write and scores the texts.
 * @throws EMPTY_DATA without examples, INVALID_OPTION for an unknown metric, UNKNOWN_OPTION, and what `generate` throws
 */
export async function evaluateTexts<P = string>(
  model: TextGenerator<NoInfer<P>>,
  examples: readonly TextExample<P>[],
  options: EvaluateTextsOptions = {},
): Promise<TextEvaluation<P>> {
  checkNames('evaluateTexts', options, OPTIONS);
  const { metrics = DEFAULT_METRICS, batchSize = 32, generation = {}, signal, onProgress } = options;
  checkMetrics(metrics);
  if (!Number.isSafeInteger(batchSize) || batchSize < 1)
    throw new FerroError('INVALID_OPTION', `evaluateTexts: "batchSize" must be a positive integer, got ${show(batchSize)}`);
  if (examples.length === 0) throw new FerroError('EMPTY_DATA', 'evaluateTexts: there must be examples, got none');
  const drawn = (['temperature', 'doSample', 'numBeams'] as const).some((name) => generation[name] !== undefined);
  const sampling: GenerateOptions = { ...(drawn ? {} : { doSample: false }), ...generation, numReturnSequences: 1, signal };
  const predictions: TextPrediction<P>[] = [];
  for (let at = 0; at < examples.length; at += batchSize) {
    throwIfAborted(signal, 'evaluateTexts');
    const batch = examples.slice(at, at + batchSize);
    const { sequences } = await model.generate(
      batch.map(({ prompt }) => prompt),
      sampling,
    );
    batch.forEach(({ prompt, references }, i) => {
      const { text, finishReason } = sequences[i];
      predictions.push({ prompt, prediction: text, references: typeof references === 'string' ? [references] : references, finishReason });
    });
    onProgress?.(predictions.length, examples.length);
  }
  const right: References = predictions.map(({ references }) => references);
  return {
    scores: textScores(
      metrics,
      predictions.map(({ prediction }) => prediction),
      right,
    ),
    predictions,
    unfinished: predictions.filter(({ finishReason }) => finishReason === 'length').length,
  };
}

function checkMetrics(metrics: readonly string[]): void {
  const unknown = metrics.find((name) => !(TEXT_METRICS as readonly string[]).includes(name));
  if (unknown === undefined) return;
  const known = TEXT_METRICS.map((name) => JSON.stringify(name)).join(', ');
  throw new FerroError('INVALID_OPTION', `evaluateTexts: metrics must be among ${known}, got ${show(unknown)}`);
}
