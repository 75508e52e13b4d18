// The training loop as users hold it: steps pulled one by one, evaluation, checkpoints, early stopping, resume. The arithmetic of one step is in
// step.ts, the order of the data in ts/data, the run directory behind runStore.ts.
import { type Dataset, evalBatches, examplesPerEpoch, TextDataset } from '../data';
import { FerroError, show, throwIfAborted } from '../errors';
import type { FileData, ReadableFolder, TrainerState } from '../io';
import { writeFolder } from '../io/node';
import { createOptimizer } from '../optim';
import { Stream } from '../stream';
import { BatchFeed } from './batchFeed';
import { checkData } from './checkData';
import { type Evaluation, Evaluator } from './evaluate';
import { matchParameters } from './freeze';
import type { LogEntry } from './log';
import { checkSameRun, describeRun, type RunConfig, type Warning } from './runConfig';
import { RunDirectory } from './runDirectory';
import { type ComputeMetrics, deciding, improves, logged } from './scores';
import { checkUnevaluated, inheritTraining, readTrainerOptions, resolveSettings, type Settings, type TrainerValues } from './settings';
import { type StepResult, TrainStep } from './step';
import { asTrainable, type Trainable, type TrainableLike, type TrainedModel } from './trainable';
import { checkState, freshState, readStateFiles, stateFiles, toJson } from './trainerState';
import type { TrainerOptions, TrainingResult, TrainingStep } from './trainerTypes';

/** Trains a model on a data set. Nothing is allocated and no file is touched before the first step. */
export class Trainer {
  readonly #model: TrainedModel;
  #values: TrainerValues;
  readonly #train: Dataset;
  readonly #eval: Dataset | undefined;
  readonly #blockSize: number;
  #settings: Settings;
  #state: TrainerState;
  #feed: BatchFeed;
  #step: TrainStep | undefined;
  #evaluator: Evaluator | undefined;
  #run: RunDirectory | undefined;
  #running = false;
  #prepare: Promise<void> | undefined;
  #closed = false;
  #lastEvalLoss: number | null = null;
  #config: RunConfig | undefined;
  #finalStep: number | undefined;

  /**
   * @param model a GPT, or a module bound with `engine.bind`
   * @throws INVALID_OPTION, UNKNOWN_OPTION, EMPTY_DATA, DATA_TOO_SHORT, VOCABULARY_MISMATCH before anything is allocated
   */
  constructor(model: TrainableLike, options: TrainerOptions) {
    const { evalDataset, ...rest } = options ?? {};
    this.#values = readTrainerOptions(evalDataset == null ? rest : { ...rest, evalDataset });
    this.#model = asTrainable(model);
    const dataset = this.#values.dataset as Dataset | undefined;
    if (dataset === undefined) throw new FerroError('INVALID_OPTION', 'Trainer: "dataset" must be given, got none');
    const splits = evalDataset === undefined && dataset instanceof TextDataset;
    const parts = splits ? dataset.split() : undefined;
    this.#train = parts?.train ?? dataset;
    this.#eval = parts === undefined ? (evalDataset ?? undefined) : parts.validation.length > 1 ? parts.validation : undefined;
    this.#blockSize = checkData(this.#model, this.#train, this.#eval);
    if (this.#values.loss === undefined && this.#model.loss === undefined) {
      throw new FerroError('INVALID_OPTION', 'Trainer: "loss" must be given for a module of your own, got none');
    }
    if (this.#values.labelSmoothing > 0 && this.#values.loss !== undefined)
      throw new FerroError('INVALID_OPTION', 'Trainer: "labelSmoothing" must be 0 with a "loss" of your own, got both');
    if (this.#eval === undefined) checkUnevaluated(this.#values);
    void this.#trainingLoss; // a model without one is refused before anything is allocated
    checkFreeze(this.#values.freeze, this.#model);
    this.#settings = this.#resolve(this.#values);
    this.#state = freshState(this.#settings.seed);
    this.#feed = this.#makeFeed();
  }

  /** Updates done. */
  get step(): number {
    return this.#state.step;
  }

  /** The settings with every default filled in. */
  get settings(): Readonly<Settings> {
    return this.#settings;
  }

  /** The log so far: one entry per logged step, in Hugging Face's words. */
  get log(): readonly LogEntry[] {
    return this.#state.logHistory as unknown as LogEntry[];
  }

  /** The schedule's peak. Setting it changes the rates of later updates; earlier ones and the data order stay. */
  get learningRate(): number {
    return this.#settings.schedule.learningRate;
  }

  set learningRate(peak: number) {
    this.#values = { ...this.#values, learningRate: peak };
    this.#settings = { ...this.#settings, schedule: this.#resolve(this.#values).schedule };
  }

  /**
   * Trains up to maxSteps. Iterate it for the steps or await it for the result. Between two yields nothing runs; `break` stops after the current
   * step and a later `train()` goes on from there.
   * @throws NON_FINITE_LOSS naming the step (earlier checkpoints stay), ABORTED, RUN_EXISTS, RUN_LOCKED, CHECKPOINT_MISMATCH, FILE_ERROR, ENGINE_DIED
   */
  train(): Stream<TrainingStep, TrainingResult> {
    return new Stream('train', () => this.#steps());
  }

  /** Mean loss over the evaluation data. @throws INVALID_OPTION without evaluation data */
  async evaluate(options: { signal?: AbortSignal } = {}): Promise<Evaluation> {
    const dataset = this.#eval;
    if (dataset === undefined) throw new FerroError('INVALID_OPTION', 'evaluate: "evalDataset" must be given, got none');
    this.#model.bound.assertOpen('evaluate');
    this.#evaluator ??= new Evaluator(this.#model.bound, this.#loss, this.#settings.batchSize);
    const batches = evalBatches(dataset, { blockSize: this.#blockSize, batchSize: this.#settings.batchSize });
    return this.#evaluator.run(batches, options.signal ?? this.#values.signal);
  }

  /** Writes a checkpoint (model, optimizer, trainer state) to a folder, whole or not at all. Node only. @throws FILE_ERROR */
  async save(directory: string): Promise<void> {
    await this.#open();
    await writeFolder(directory, await this.#checkpointFiles());
  }

  /** Frees the optimizer's memory and the programs; the model stays. Twice is fine. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#evaluator?.close();
    await this.#step?.close();
    await this.#run?.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  get #loss(): NonNullable<Trainable['loss']> {
    return (this.#values.loss ?? this.#model.loss) as NonNullable<Trainable['loss']>;
  }

  /** What the gradients are of: with smoothed labels another loss than the one that is evaluated. */
  get #trainingLoss(): NonNullable<Trainable['loss']> {
    const { labelSmoothing } = this.#values;
    return labelSmoothing > 0 ? this.#model.smoothedLoss(labelSmoothing) : this.#loss;
  }

  async *#steps(): AsyncGenerator<TrainingStep, TrainingResult, void> {
    if (this.#running) throw new FerroError('BUSY', 'train: one training loop at a time, got a second one');
    if (this.#closed) throw new FerroError('MODEL_CLOSED', 'train: the trainer must be open, got one that was closed');
    this.#running = true;
    const began = performance.now();
    let loss = Number.NaN;
    let speed = 0;
    try {
      throwIfAborted(this.#values.signal, 'train');
      await this.#open();
      while (this.#state.step < this.#settings.maxSteps && !this.#exhausted) {
        const step = await this.#one();
        loss = step.loss;
        speed = step.tokensPerSecond;
        await this.#afterStep(step);
        yield step;
      }
      await this.#finish();
    } finally {
      this.#running = false;
    }
    return {
      step: this.#state.step,
      loss,
      evalLoss: this.#lastEvalLoss,
      bestEvalLoss: this.#bestEvalLoss,
      bestMetric: this.#state.bestMetric,
      tokensPerSecond: speed,
      elapsedMs: performance.now() - began,
      stopReason: this.#exhausted ? 'earlyStopping' : 'maxSteps',
      outputDir: this.#run?.path ?? null,
    };
  }

  get #exhausted(): boolean {
    const { earlyStoppingPatience } = this.#settings;
    return earlyStoppingPatience > 0 && this.#state.evaluationsWithoutImprovement >= earlyStoppingPatience;
  }

  /** One update; the next batch is prepared while the engine works. */
  async #one(): Promise<TrainingStep> {
    const settings = this.#settings;
    const t = this.#state.step + 1;
    this.#model.assertSameVariant();
    throwIfAborted(this.#values.signal, 'train');
    const started = performance.now();
    const again = (error: unknown): never => {
      this.#feed.rewind(this.#state.windowsConsumed); // This update has not happened: whoever goes on gets its batch again.
      throw error;
    };
    const batches = await this.#feed.next().catch(again);
    const learningRate = settings.schedule.at(t);
    const running = this.#step!.run(
      batches.map(({ tensors }) => tensors),
      { learningRate, step: t, seed: settings.seed, maxGradNorm: settings.maxGradNorm, signal: this.#values.signal },
    );
    if (t < settings.maxSteps) this.#feed.prefetch();
    const result: StepResult = await running.catch(again);
    const last = batches[batches.length - 1];
    this.#state.step = t;
    this.#state.windowsConsumed = last.consumed;
    this.#state.epoch = last.epoch;
    const tokens = batches.reduce((sum, { size }) => sum + size, 0);
    this.#state.tokensSeen += tokens;
    return {
      step: t,
      loss: result.loss,
      learningRate,
      gradNorm: result.gradNorm,
      epoch: last.epoch,
      tokensPerSecond: (tokens / Math.max(1e-3, performance.now() - started)) * 1000,
      maxSteps: settings.maxSteps,
      ...(result.metrics === undefined ? {} : { metrics: result.metrics }),
    };
  }

  /** Evaluation, log and checkpoint that fall due after a step; what they found is put on it. */
  async #afterStep(step: TrainingStep): Promise<void> {
    const { evalSteps, saveSteps, loggingSteps, maxSteps, saveTotalLimit } = this.#settings;
    const last = step.step === maxSteps;
    const due = (every: number) => every > 0 && step.step % every === 0;
    let improved = false;
    if (this.#eval !== undefined && evalSteps > 0 && (due(evalSteps) || last)) {
      const { loss, metrics: told } = await this.evaluate();
      step.evalLoss = loss;
      const metrics = this.#values.computeMetrics as ComputeMetrics | undefined;
      if (metrics !== undefined || told !== undefined) step.evalMetrics = { ...told, ...(await metrics?.()) };
      improved = this.#judge(step);
    }
    if (step.step === 1 || due(loggingSteps) || step.evalLoss !== undefined || last) await this.#record(step);
    if (this.#run === undefined || !(due(saveSteps) || improved || last || this.#exhausted)) return;
    await this.#run.saveCheckpoint(step.step, await this.#checkpointFiles(), saveTotalLimit, improved ? step.evalLoss : undefined);
    step.checkpoint = `checkpoint-${step.step}`;
  }

  /** Counts an evaluation; true when it is the best so far. */
  #judge({ step, evalLoss, evalMetrics }: TrainingStep): boolean {
    const { bestBy, earlyStoppingThreshold } = this.#settings;
    this.#lastEvalLoss = evalLoss!;
    const value = deciding(bestBy, { eval_loss: evalLoss!, ...logged(evalMetrics ?? {}) });
    if (!improves(bestBy, value, this.#state.bestMetric, earlyStoppingThreshold)) {
      this.#state.evaluationsWithoutImprovement += 1;
      return false;
    }
    this.#state.evaluationsWithoutImprovement = 0;
    this.#state.bestMetric = value;
    this.#state.bestModelCheckpoint = `checkpoint-${step}`;
    return true;
  }

  get #bestEvalLoss(): number | null {
    const losses = this.log.flatMap(({ eval_loss }) => (eval_loss === undefined ? [] : [eval_loss]));
    return losses.length > 0 ? Math.min(...losses) : null;
  }

  async #record(step: TrainingStep): Promise<void> {
    const entry: LogEntry = {
      step: step.step,
      epoch: step.epoch,
      loss: step.loss,
      grad_norm: step.gradNorm,
      learning_rate: step.learningRate,
      tokens_per_second: Math.round(step.tokensPerSecond),
      ...step.metrics,
      ...(step.evalLoss === undefined ? {} : { eval_loss: step.evalLoss, ...logged(step.evalMetrics ?? {}) }),
    };
    this.#state.logHistory.push(toJson(entry));
    await this.#run?.log(entry);
  }

  /** Writes final/ for the step reached, once: also when the loop was broken off, or the process ended, after the last step and before this. */
  async #finish(): Promise<void> {
    if (this.#run === undefined || this.#finalStep === this.#state.step) return;
    await this.#run.saveFinal(await this.#modelFiles());
    this.#finalStep = this.#state.step;
  }

  /** Opens the run directory, resumes, and makes the step's programs: once, before the first update. */
  #open(): Promise<void> {
    this.#prepare ??= this.#openOnce().catch(async (error) => {
      this.#prepare = undefined; // a failed opening can be tried again, with an adapter where the weights cannot be trained
      this.#model.startOver();
      await this.#run?.close();
      this.#run = undefined;
      throw error;
    });
    return this.#prepare;
  }

  async #openOnce(): Promise<void> {
    this.#model.bound.assertOpen('train');
    this.#model.assertSameVariant();
    this.#step ??= this.#makeStep();
    const { outputDir, resume, overwrite } = this.#values;
    if (outputDir === undefined) return;
    if (this.#values.extraFiles !== undefined) await this.#modelFiles(); // a name that is taken is refused before anything is written
    this.#run = await RunDirectory.open(outputDir, { resume, overwrite });
    const stored = resume ? await this.#run.readConfig() : undefined;
    if (stored !== undefined) {
      this.#values = inheritTraining(this.#values, stored.training);
      this.#settings = this.#resolve(this.#values);
      this.#step = this.#makeStep(); // nothing is allocated before its first run
    }
    this.#config = await this.#describe();
    const config = this.#config;
    if (stored !== undefined) checkSameRun(stored, config, this.#values.onWarning as ((warning: Warning) => void) | undefined);
    const newest = resume ? await this.#run.newestCheckpoint() : undefined;
    if (newest !== undefined) await this.#restore(newest);
    await this.#run.openLog(this.#state.step);
    await this.#run.writeConfig(stored === undefined ? config : { ...config, created: stored.created });
  }

  /** Puts the state of a checkpoint back: weights, optimizer, position in the data, schedule's peak. */
  async #restore(checkpoint: { folder: ReadableFolder; step: number }): Promise<void> {
    const { batchSize, gradientAccumulationSteps } = this.#settings;
    const { state, optimizer } = await readStateFiles(checkpoint.folder);
    checkState(state, { label: checkpoint.folder.label, step: checkpoint.step, windowsPerStep: batchSize * gradientAccumulationSteps });
    await this.#model.load(checkpoint.folder);
    await this.#step!.state.import(optimizer);
    this.#state = state;
    const peak = state.options.peak_learning_rate;
    if (typeof peak === 'number' && peak !== this.learningRate) this.learningRate = peak;
    this.#feed = this.#makeFeed(state.windowsConsumed);
  }

  #describe(): Promise<RunConfig> {
    return describeRun(this.#model, this.#settings, this.#values, { train: this.#train, eval: this.#eval });
  }

  /** The model's folder, the optimizer's tensors and where the loop is. */
  async #checkpointFiles(): Promise<Map<string, FileData>> {
    this.#config ??= await this.#describe();
    const { training, data, tokenizer, engine } = this.#config;
    const state: TrainerState = {
      ...this.#state,
      options: { ...toJson(training), peak_learning_rate: this.learningRate },
      dataHash: data.train_hash,
      tokenizerHash: tokenizer,
      engine: toJson(engine),
    };
    const files = await this.#modelFiles();
    for (const [name, data] of stateFiles(state, this.#step!.state.export())) files.set(name, data);
    return files;
  }

  /** The model's folder, and what the user puts beside its files. */
  async #modelFiles(): Promise<Map<string, FileData>> {
    const files = new Map(await this.#model.files());
    for (const [name, text] of Object.entries((this.#values.extraFiles ?? {}) as TrainerOptions['extraFiles'] & object)) {
      if (files.has(name))
        throw new FerroError('INVALID_OPTION', `Trainer: "extraFiles" must not have a file of the model, got ${show(name)}`);
      files.set(name, text);
    }
    return files;
  }

  #makeStep(): TrainStep {
    const { freeze, layerwiseLearningRateDecay, trainableTokens } = this.#values;
    return new TrainStep(this.#model.bound, {
      loss: this.#trainingLoss,
      optimizer: createOptimizer(this.#values),
      gradientCheckpointing: this.#settings.gradientCheckpointing,
      freeze,
      layerwiseLearningRateDecay,
      trainableRows: trainableTokens === undefined ? undefined : new Map([[this.#tokenTable, Array.from(trainableTokens)]]),
    });
  }

  get #tokenTable(): string {
    const { tokenTable } = this.#model;
    if (tokenTable !== undefined) return tokenTable;
    throw new FerroError('INVALID_OPTION', 'Trainer: "trainableTokens" needs a model with a token table, got a module of your own');
  }

  #makeFeed(consumed = 0): BatchFeed {
    const { seed, batchSize, gradientAccumulationSteps } = this.#settings;
    return new BatchFeed(this.#train, { blockSize: this.#blockSize, seed, batchSize, gradientAccumulationSteps }, consumed);
  }

  #resolve(values: TrainerValues): Settings {
    return resolveSettings(values, {
      pretrained: this.#model.pretrained,
      windowsPerEpoch: examplesPerEpoch(this.#train, this.#blockSize),
    });
  }
}

/** @throws INVALID_OPTION for a name that is none of the model's, before anything begins */
function checkFreeze(freeze: readonly string[] | undefined, { bound }: Trainable): void {
  if (freeze === undefined) return;
  matchParameters('Trainer', 'freeze', freeze, [...new Set([...bound.parameters.keys(), ...bound.trainedParameters.keys()])]);
}
