// run.json: everything a run was made from, and the comparison when it is resumed. The values are numbers and names, never paths.
import type { Dataset } from '../data';
import { FerroError, show } from '../errors';
import type { Loss } from '../nn';
import { snakeCase } from '../options';
import { VERSION } from '../version';
import type { Settings, TrainerValues } from './settings';
import type { Trainable } from './trainable';

/** Version of run.json. */
export const RUN_VERSION = 1;

/** A warning of the library: told once per code. */
export interface Warning {
  code: string;
  message: string;
}

/** Options of the optimizer, kept as given by the table. */
const OPTIMIZER = ['optim', 'adamBeta1', 'adamBeta2', 'adamEpsilon', 'momentum', 'nesterov', 'weightDecay', 'maxGradNorm'] as const;

/** run.json (snake_case). */
export interface RunConfig {
  [key: string]: unknown;
  version: number;
  ferroformer: string;
  /** ISO 8601. */
  created: string;
  model: Readonly<Record<string, unknown>>;
  /** Hash of the tokenizer. */
  tokenizer: string | null;
  /** What must be the same when the run is resumed. */
  training: Record<string, unknown>;
  /** What may change: how long, how often, and what changes no bit. */
  intervals: Record<string, unknown>;
  data: { train_hash: string | null; train_length: number; eval_hash: string | null; eval_length: number };
  engine: { build: string; vector_bits: number; fused: boolean; kernel_hash: string; threads: number; runtime: string };
}

/** The record of a run. */
export async function describeRun(
  model: Trainable,
  settings: Settings,
  values: TrainerValues,
  data: { train: Dataset; eval: Dataset | undefined },
): Promise<RunConfig> {
  const { host } = model.bound;
  const { schedule, bestBy } = settings;
  const hash = async (dataset: Dataset | undefined) => (dataset === undefined ? null : ((await dataset.hash?.()) ?? null));
  return {
    version: RUN_VERSION,
    ferroformer: VERSION,
    created: new Date().toISOString(),
    model: model.description,
    tokenizer: model.tokenizerHash,
    training: {
      seed: settings.seed,
      batch_size: settings.batchSize,
      gradient_accumulation_steps: settings.gradientAccumulationSteps,
      lr_scheduler_type: schedule.lrSchedulerType,
      learning_rate: schedule.learningRate,
      min_learning_rate: schedule.minLearningRate,
      warmup_steps: schedule.warmupSteps,
      num_decay_steps: schedule.numDecaySteps,
      ...Object.fromEntries(OPTIMIZER.map((name) => [snakeCase(name), values[name]])),
      ...(values.labelSmoothing > 0 ? { label_smoothing: values.labelSmoothing } : {}),
      // Undefined, and so not written, where everything is trained at one rate: runs begun before these options can be resumed.
      freeze: values.freeze,
      trainable_tokens: values.trainableTokens === undefined ? undefined : Array.from(values.trainableTokens),
      layerwise_learning_rate_decay: values.layerwiseLearningRateDecay,
      loss: (values.loss as Loss | undefined)?.description,
      // The best value so far is one of this score's.
      ...(bestBy.name === 'eval_loss' ? {} : { metric_for_best_model: bestBy.name, greater_is_better: bestBy.greaterIsBetter }),
    },
    intervals: {
      max_steps: settings.maxSteps,
      gradient_checkpointing: settings.gradientCheckpointing,
      eval_steps: settings.evalSteps,
      save_steps: settings.saveSteps,
      save_total_limit: settings.saveTotalLimit,
      logging_steps: settings.loggingSteps,
      early_stopping_patience: settings.earlyStoppingPatience,
      early_stopping_threshold: settings.earlyStoppingThreshold,
    },
    data: {
      train_hash: await hash(data.train),
      train_length: data.train.length,
      eval_hash: await hash(data.eval),
      eval_length: data.eval?.length ?? 0,
    },
    engine: {
      build: host.info.build,
      vector_bits: host.info.vectorBits,
      fused: host.info.fused,
      kernel_hash: host.info.kernelHash,
      threads: host.info.threads,
      runtime: host.info.runtime,
    },
  };
}

/**
 * Refuses to resume a run with another configuration; another build of the kernels is a warning (later bits then differ).
 * @throws CHECKPOINT_MISMATCH naming every value that differs
 */
export function checkSameRun(
  stored: Record<string, unknown>,
  now: Record<string, unknown>,
  onWarning: ((warning: Warning) => void) | undefined,
): void {
  if (stored.version !== RUN_VERSION) {
    throw new FerroError('CHECKPOINT_MISMATCH', `resume: run.json must be of version ${RUN_VERSION}, got ${show(stored.version)}`);
  }
  const differences: string[] = [];
  for (const part of ['model', 'tokenizer', 'training', 'data']) compare(part, stored[part], now[part], differences);
  if (differences.length > 0) {
    throw new FerroError('CHECKPOINT_MISMATCH', `resume: the configuration must be that of the run, got ${differences.join('; ')}`);
  }
  const [before, after] = [stored.engine, now.engine] as Record<string, unknown>[];
  const changed = ['build', 'fused', 'kernel_hash'].filter((key) => before?.[key] !== after?.[key]);
  if (changed.length === 0) return;
  const message = `resume: the run goes on with other kernels (${changed.map((key) => `${key} ${show(before?.[key])} → ${show(after?.[key])}`).join(', ')}), so later bits differ from an uninterrupted run`;
  (onWarning ?? ((warning) => console.warn(`ferroformer: ${warning.message}`)))({ code: 'DIFFERENT_KERNELS', message });
}

function compare(path: string, stored: unknown, now: unknown, differences: string[]): void {
  const isRecord = (value: unknown): value is Record<string, unknown> =>
    typeof value === 'object' && value !== null && !Array.isArray(value);
  if (isRecord(stored) && isRecord(now)) {
    for (const key of new Set([...Object.keys(stored), ...Object.keys(now)])) compare(`${path}.${key}`, stored[key], now[key], differences);
  } else if (JSON.stringify(stored) !== JSON.stringify(now)) {
    differences.push(`${path} ${JSON.stringify(stored)} in the run and ${JSON.stringify(now)} now`);
  }
}
