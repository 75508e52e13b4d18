// The Trainer's options with every default resolved against the model and the data: how many steps, which schedule, which intervals.
// What each option means is in the option table (ts/options); nothing here runs.
import { FerroError, show } from '../errors';
import { OPTIMIZER_FILE, TRAINER_STATE_FILE } from '../io';
import { Schedule } from '../optim';
import { type OptionValues, readOptions, snakeCase, TRAINER_OPTIONS } from '../options';
import { type BestBy, bestBy } from './scores';

/** The Trainer's options as read from the table, before anything depends on the model or the data. */
export type TrainerValues = OptionValues<(typeof TRAINER_OPTIONS)[number]>;

/** What the defaults depend on. */
export interface Circumstances {
  /** True when the weights came from a pretrained model: smaller learning rate, linear schedule. */
  pretrained: boolean;
  /** Windows one pass over the training data has. */
  windowsPerEpoch: number;
}

/** Everything the training loop needs to know in numbers. */
export interface Settings {
  maxSteps: number;
  stepsPerEpoch: number;
  batchSize: number;
  gradientAccumulationSteps: number;
  gradientCheckpointing: boolean;
  schedule: Schedule;
  maxGradNorm: number;
  seed: number;
  evalSteps: number;
  saveSteps: number;
  saveTotalLimit: number;
  loggingSteps: number;
  earlyStoppingPatience: number;
  earlyStoppingThreshold: number;
  /** Which number decides what is best. */
  bestBy: BestBy;
}

/** Peak learning rates of DESIGN §4. */
const FROM_SCRATCH = { learningRate: 1e-3, lrSchedulerType: 'cosine_with_min_lr' } as const;
const FROM_PRETRAINED = { learningRate: 5e-5, lrSchedulerType: 'linear' } as const;

/** Reads and checks the options of `new Trainer(model, options)`. @throws UNKNOWN_OPTION, INVALID_OPTION */
export function readTrainerOptions(options: object): TrainerValues {
  const values = readOptions('Trainer', options, TRAINER_OPTIONS) as TrainerValues;
  if (values.resume && values.overwrite)
    throw new FerroError('INVALID_OPTION', 'Trainer: "resume" and "overwrite" exclude each other, got both');
  if ((values.resume || values.overwrite) && values.outputDir === undefined) {
    throw new FerroError('INVALID_OPTION', `Trainer: "${values.resume ? 'resume' : 'overwrite'}" needs an "outputDir", got none`);
  }
  checkExtraFiles(values.extraFiles);
  return values;
}

function checkExtraFiles(files: object | undefined): void {
  for (const [name, text] of Object.entries(files ?? {})) {
    if (typeof text !== 'string')
      throw new FerroError('INVALID_OPTION', `Trainer: "extraFiles" must be texts, got ${show(text)} as ${show(name)}`);
    if (name === OPTIMIZER_FILE || name === TRAINER_STATE_FILE)
      throw new FerroError('INVALID_OPTION', `Trainer: "extraFiles" must not have a file of the state, got ${show(name)}`);
  }
}

/** For a run without evaluation data. @throws INVALID_OPTION for options that only an evaluation reads */
export function checkUnevaluated({ computeMetrics, metricForBestModel }: TrainerValues): void {
  const unread = computeMetrics !== undefined ? 'computeMetrics' : metricForBestModel !== 'loss' ? 'metricForBestModel' : undefined;
  if (unread === undefined) return;
  throw new FerroError('INVALID_OPTION', `Trainer: "${unread}" needs an "evalDataset", got none`);
}

/** Fills in the defaults. @throws INVALID_OPTION from the schedule's checks */
export function resolveSettings(values: TrainerValues, circumstances: Circumstances): Settings {
  const defaults = circumstances.pretrained ? FROM_PRETRAINED : FROM_SCRATCH;
  const windowsPerStep = values.batchSize * values.gradientAccumulationSteps;
  const stepsPerEpoch = circumstances.windowsPerEpoch / windowsPerStep;
  const maxSteps = values.maxSteps ?? Math.max(1, Math.ceil((values.numTrainEpochs ?? 1) * stepsPerEpoch));
  const tenth = Math.max(1, Math.floor(maxSteps / 10));
  const schedule = new Schedule({
    lrSchedulerType: values.lrSchedulerType ?? defaults.lrSchedulerType,
    learningRate: values.learningRate ?? defaults.learningRate,
    maxSteps,
    warmupSteps: values.warmupSteps,
    minLearningRate: values.minLearningRate,
    numDecaySteps: values.numDecaySteps,
  });
  return {
    maxSteps,
    stepsPerEpoch,
    batchSize: values.batchSize,
    gradientAccumulationSteps: values.gradientAccumulationSteps,
    gradientCheckpointing: values.gradientCheckpointing,
    schedule,
    maxGradNorm: values.maxGradNorm,
    seed: values.seed,
    evalSteps: values.evalSteps ?? tenth,
    saveSteps: values.saveSteps,
    saveTotalLimit: values.saveTotalLimit,
    loggingSteps: values.loggingSteps,
    earlyStoppingPatience: values.earlyStoppingPatience,
    earlyStoppingThreshold: values.earlyStoppingThreshold,
    bestBy: bestBy(values.metricForBestModel, values.greaterIsBetter),
  };
}

/** Fields of run.json's `training` that a resumed run keeps unless they are given again. */
const SCHEDULE = ['lrSchedulerType', 'learningRate', 'warmupSteps', 'minLearningRate', 'numDecaySteps'] as const;
/** What is trained, and how fast where. */
const CHOICE = ['freeze', 'trainableTokens', 'layerwiseLearningRateDecay'] as const;

/**
 * The options of a resumed run: what was not given is what the run was started with, so a changed maxSteps moves no default of the schedule.
 * @param training run.json's part of that name, as read
 * @throws INVALID_OPTION where one of them is not what the option table asks for
 */
export function inheritTraining(values: TrainerValues, training: unknown): TrainerValues {
  const part = (typeof training === 'object' && training !== null ? training : {}) as Record<string, unknown>;
  const names = [...SCHEDULE, ...CHOICE] as const;
  const given = names.filter((name) => part[snakeCase(name)] !== undefined).map((name) => [name, part[snakeCase(name)]]);
  const stored = readOptions('resume: run.json', Object.fromEntries(given), names, { defaults: false });
  const type = values.lrSchedulerType ?? stored.lrSchedulerType;
  const warms = type !== 'constant';
  const toMinimum = type === 'cosine_with_min_lr' || type === 'warmup_stable_decay';
  return {
    ...values,
    lrSchedulerType: type,
    learningRate: values.learningRate ?? stored.learningRate,
    warmupSteps: values.warmupSteps ?? (warms ? stored.warmupSteps : undefined),
    minLearningRate: values.minLearningRate ?? (toMinimum ? stored.minLearningRate : undefined),
    numDecaySteps: values.numDecaySteps ?? (type === 'warmup_stable_decay' ? stored.numDecaySteps : undefined),
    freeze: values.freeze ?? stored.freeze,
    trainableTokens: values.trainableTokens ?? stored.trainableTokens,
    layerwiseLearningRateDecay: values.layerwiseLearningRateDecay ?? stored.layerwiseLearningRateDecay,
  };
}
