// One training step of any module: gradients of some micro-batches, then one update. Used by Trainer and by engine.trainStep; it knows no data set,
// no schedule and no files.

import { type BoundModule, type Parameter, programInputs, programScalars } from '../bind';
import type { Outputs, ProgramHandle, RunCall } from '../engine';
import { FerroError, show, throwIfAborted } from '../errors';
import { compile, isFrozenType, Variable } from '../graph';
import { sourceOf, toBlob } from '../io/files';
import { OPTIMIZER_FILE, optimizerStateFromFile, optimizerStateToFile } from '../io/trainingState';
import { seedWords } from '../math';
import { addMetrics, type Batch, batchInputs, batchSignature, type GradientTargets, gradientProgram, type Loss, type Module } from '../nn';
import { clipGradients, createOptimizer, layerwiseFactors, type Optimizer, type OptimizerOptions, type ParameterUpdate } from '../optim';
import { checkValue, OPTIONS } from '../options';
import { matchParameters } from './freeze';
import { OptimizerVariables } from './optimizerVariables';

/** What a step is made from. */
export interface TrainStepOptions<M extends Module = Module> {
  loss: Loss<M>;
  /** An AdamW or SGD, or the flat options of one (`optim`, `learningRate`, `adamBeta1` …; other keys are ignored). */
  optimizer: Optimizer | OptimizerOptions;
  /** Clip the global gradient norm to this, 0 = off. Default 1. */
  maxGradNorm?: number;
  /** Keys dropout masks. Default 42. */
  seed?: number;
  /** Keep only each `Block`'s input for backward and compute the rest again there: less memory, more time, the same bits. Default false. */
  gradientCheckpointing?: boolean;
  /**
   * Parameters that are left as they are: names, parts of names (`h.0`, `wte`), patterns with `*` for any text. Nothing is computed or stored for them. Default: none, and what is not
   * `trainable`.
   */
  freeze?: readonly string[];
  /** Of these parameters [rows, columns] only some rows are trained, also where `freeze` names them; they are not decayed. */
  trainableRows?: ReadonlyMap<string, readonly number[]>;
  /** The learning rate of a layer is decay^depth times the given one: depth 0 for the head and the final norm, 1 for the last block …, the tables deepest. Default 1. */
  layerwiseLearningRateDecay?: number;
}

/** What one step may say otherwise. */
export interface StepNumbers {
  /** Default: the optimizer's. */
  learningRate?: number;
  /** Number of this optimizer step, from 1 on: keys dropout masks and names the step in errors. Default: updates done so far, plus one. */
  step?: number;
  seed?: number;
  maxGradNorm?: number;
  signal?: AbortSignal;
  /**
   * Called between the gradients and the update, which waits for it. `gradients` maps parameter names to the variables that hold the sums over all rows
   * (to be read or written through the engine), `count` holds the number of rows.
   */
  onGradients?: (gradients: ReadonlyMap<string, Variable>, count: Variable) => void | Promise<void>;
}

/** What one step did. */
export interface StepResult {
  /** Mean loss over all counted rows, before the update; 0 when nothing was counted. */
  loss: number;
  /** Global norm of the mean loss's gradient, before clipping; 0 when nothing was counted. */
  gradNorm: number;
  /** Rows counted. */
  count: number;
  /** True when nothing was counted: parameters and optimizer are as before. */
  skipped: boolean;
  /** Means of what else the loss tells of its rows (`RowLoss.metrics`), where it does. */
  metrics?: Record<string, number>;
}

interface Plan {
  /** What is trained, in which variant of the module. */
  readonly key: string;
  readonly variant: string;
  readonly targets: GradientTargets;
  readonly update: ProgramHandle;
  readonly learningRateFactors: readonly number[];
}

/** A dozen lengths of sequences, each with its first micro-batch and its further ones. They share the engine's arena, so they cost what the largest costs. */
const MAX_PROGRAMS = 24;

/**
 * Compiles and runs training steps. Programs are made at the first step and again when the shapes of a micro-batch or the set of trainable parameters
 * change. A step is one message to the engine, and its update is atomic: an aborted or failed step leaves parameters and optimizer as they were.
 */
export class TrainStep<M extends Module = Module> {
  readonly optimizer: Optimizer;
  /** Where moments live. */
  readonly #state: OptimizerVariables;
  readonly #plans = new Map<string, Plan>();
  readonly #grads = new Map<string, ProgramHandle>(); // in order of last use
  readonly #gradients = new Map<Variable, Variable>();
  readonly #count = new Variable({ name: 'gradient.count', shape: [1], trainable: false });
  readonly #guard = new Variable({ name: 'gradient.guard', shape: [1], trainable: false });
  readonly #loss: Loss<M>;
  readonly #maxGradNorm: number;
  readonly #seed: number;
  readonly #gradientCheckpointing: boolean;
  readonly #freeze: readonly string[];
  readonly #rows: ReadonlyMap<string, readonly number[]>;
  readonly #decay: number;
  #running = false;
  #started = false;
  #closed = false;

  /** @throws INVALID_OPTION naming the option, the rule and the value; QUANTIZED_MODEL where all there is are weights in int8 blocks or bf16 and what is frozen with them */
  constructor(
    readonly bound: BoundModule<M>,
    options: TrainStepOptions<M>,
  ) {
    if (typeof options.loss !== 'function')
      throw new FerroError('INVALID_OPTION', `trainStep: "loss" must be a function, got ${typeof options.loss}`);
    const parameters = [...bound.parameters];
    const frozen = parameters.find(([, { variable }]) => isFrozenType(variable.dtype));
    if (frozen !== undefined && bound.variantKey === '' && !parameters.some(([, { trainable }]) => trainable)) {
      const form = frozen[1].variable.dtype === 'q8' ? 'int8 blocks' : 'bf16';
      throw new FerroError('QUANTIZED_MODEL', `trainStep: the weights must be f32, got "${frozen[0]}" in ${form}`);
    }
    this.#loss = options.loss;
    this.optimizer = isOptimizer(options.optimizer) ? options.optimizer : createOptimizer(options.optimizer);
    this.#maxGradNorm = checked('maxGradNorm', options.maxGradNorm ?? 1);
    this.#seed = checked('seed', options.seed ?? 42);
    this.#gradientCheckpointing = options.gradientCheckpointing ?? OPTIONS.gradientCheckpointing.default;
    checkValue('trainStep', OPTIONS.gradientCheckpointing, this.#gradientCheckpointing);
    this.#freeze = options.freeze ?? [];
    if (options.freeze !== undefined) checkValue('trainStep', OPTIONS.freeze, options.freeze);
    this.#rows = options.trainableRows ?? new Map();
    this.#decay = options.layerwiseLearningRateDecay ?? 1;
    checkValue('trainStep', OPTIONS.layerwiseLearningRateDecay, this.#decay);
    this.#trained(); // checks the names
    this.#factors();
    this.#state = new OptimizerVariables(bound, this.optimizer);
  }

  /** Updates done so far: the optimizer's clock. */
  get updates(): number {
    return this.#state.updates;
  }

  /** The optimizer's tensors and clock, for checkpoints. */
  get state(): OptimizerVariables {
    return this.#state;
  }

  /**
   * One step over one or more micro-batches: as one large batch would.
   * @returns loss and gradient norm before the update
   * @throws NON_FINITE_LOSS, NON_FINITE_GRADIENT (nothing was changed), NOT_DIFFERENTIABLE, INVALID_SHAPE, INVALID_OPTION, ABORTED, BUSY, MODEL_CLOSED
   */
  async run(microBatches: readonly Batch[], numbers: StepNumbers = {}): Promise<StepResult> {
    if (this.#closed) throw new FerroError('MODEL_CLOSED', 'trainStep: the step must be open, got one that was closed');
    this.bound.assertOpen('trainStep');
    throwIfAborted(numbers.signal, 'trainStep');
    if (this.#running) throw new FerroError('BUSY', 'trainStep: one step at a time, got a second before the first had ended');
    this.#running = true;
    try {
      return await this.#step(microBatches, numbers);
    } finally {
      this.#running = false;
    }
  }

  /** The optimizer's state as the bytes of optimizer.safetensors. */
  async saveState(): Promise<Uint8Array> {
    return new Uint8Array(await (await toBlob(optimizerStateToFile(this.#state.export()))).arrayBuffer());
  }

  /**
   * Puts back what `saveState` gave; the next step then continues bit for bit.
   * @throws INVALID_CHECKPOINT for a damaged file, CHECKPOINT_MISMATCH for one of another model or optimizer; nothing was changed then
   */
  async loadState(bytes: Uint8Array): Promise<void> {
    await this.#state.import(await optimizerStateFromFile(await sourceOf(OPTIMIZER_FILE, bytes)));
  }

  /** Frees gradients, optimizer state and programs. Twice is fine; `bound.close()` does it too. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.bound.dropGradients(this.#gradients);
    if (this.bound.closed) return;
    for (const handle of [...this.#grads.values(), ...Array.from(this.#plans.values(), (plan) => plan.update)])
      await this.bound.unload(handle);
    await this.#state.close();
    await this.bound.release([...this.#gradients.values(), this.#count, this.#guard]);
  }

  async #step(batches: readonly Batch[], numbers: StepNumbers): Promise<StepResult> {
    if (!Array.isArray(batches) || batches.length === 0) {
      throw new FerroError('INVALID_OPTION', 'trainStep: micro-batches must be an array of at least one, got none');
    }
    const step = numbers.step ?? this.updates + 1;
    const [seedLo, seedHi] = seedWords(checked('seed', numbers.seed ?? this.#seed));
    const plan = await this.#plan();
    const updateScalars = this.optimizer.scalars({
      learningRate: numbers.learningRate ?? this.optimizer.learningRate,
      update: this.updates + 1,
      maxGradNorm: checked('maxGradNorm', numbers.maxGradNorm ?? this.#maxGradNorm),
      learningRateFactors: plan.learningRateFactors,
    });
    const calls: RunCall[] = [];
    for (const [micro, batch] of batches.entries()) {
      const handle = await this.#gradProgram(plan, batch, micro === 0 ? 'first' : 'accumulate');
      const scalars = programScalars(handle.program, { seedLo, seedHi, step, micro });
      calls.push({ handle, inputs: programInputs(handle.program, batch), scalars });
    }
    const update: RunCall = {
      handle: plan.update,
      scalars: programScalars(plan.update.program, updateScalars),
      outputs: ['clip'],
      atomic: true,
    };
    const { signal } = numbers;
    let outputs: Outputs[];
    if (numbers.onGradients === undefined) {
      outputs = await this.bound.host.run([...calls, update], { signal });
    } else {
      outputs = await this.bound.host.run(calls, { signal });
      await numbers.onGradients(gradientsByName(plan.targets), this.#count);
      throwIfAborted(signal, 'trainStep');
      outputs.push((await this.bound.host.run([update], { signal }))[0]);
    }
    await this.#shrink();
    return this.#result(outputs, step);
  }

  #result(outputs: readonly Outputs[], step: number): StepResult {
    const [norm, , skip] = outputs[outputs.length - 1].clip;
    let total = 0;
    let count = 0;
    const metrics: Record<string, number> = {};
    for (const output of outputs.slice(0, -1)) {
      total += output.loss[0];
      count += output.count[0];
      addMetrics(metrics, output);
    }
    if (count === 0) return { loss: 0, gradNorm: 0, count: 0, skipped: true };
    if (!Number.isFinite(total)) {
      throw new FerroError('NON_FINITE_LOSS', `trainStep: the loss of step ${step} must be finite, got ${total} (parameters unchanged)`);
    }
    if (skip !== 0) {
      throw new FerroError(
        'NON_FINITE_GRADIENT',
        `trainStep: the gradient norm of step ${step} must be finite, got ${norm} (parameters unchanged)`,
      );
    }
    this.#state.updates += 1;
    const result: StepResult = { loss: total / count, gradNorm: norm, count, skipped: false };
    for (const name of Object.keys(metrics)) metrics[name] /= count;
    return Object.keys(metrics).length === 0 ? result : { ...result, metrics };
  }

  /** Gradient variables and the update program for the parameters that are trainable now. */
  async #plan(): Promise<Plan> {
    const trained = this.#trained();
    if (trained.length === 0) throw new FerroError('NOT_DIFFERENTIABLE', 'trainStep: at least one parameter must be trainable, got none');
    const variant = this.bound.variantKey;
    const key = [variant, ...trained.map(([name]) => name)].join('\n');
    const known = this.#plans.get(key);
    if (known !== undefined) return known;

    await this.#forget();
    const states = await this.#state.of(trained.map(([name, { variable }]) => [name, variable] as const));
    const factors = this.#factors();
    const updates: ParameterUpdate[] = [];
    const fresh: Variable[] = this.#started ? [] : [this.#count, this.#guard];
    const made = new Map<Variable, Variable>();
    for (const [name, { variable }] of trained) {
      let gradient = this.#gradients.get(variable);
      if (gradient === undefined) {
        gradient = new Variable({ name: `gradient.${name}`, shape: variable.shape, trainable: false });
        fresh.push(gradient);
        made.set(variable, gradient);
      }
      const learningRateFactor = factors.get(name) ?? 1;
      updates.push({ name, parameter: variable, gradient, state: states.get(name)!, learningRateFactor, someRows: this.#rows.has(name) });
    }
    await this.bound.allocate(fresh);
    this.#started = true;
    for (const [variable, gradient] of made) this.#gradients.set(variable, gradient);

    const clip = clipGradients([...updates.map(({ gradient }) => gradient), this.#guard], this.#count);
    const update = await this.bound.load(compile({ name: 'update', outputs: { clip }, effects: this.optimizer.effects(updates, clip) }));
    const gradients = new Map(updates.map(({ name, parameter, gradient }) => [name, { parameter, gradient, rows: this.#rows.get(name) }]));
    const targets = { gradients, count: this.#count, guard: this.#guard };
    const plan: Plan = { key, variant, targets, update, learningRateFactors: [...new Set(factors.values())] };
    this.#plans.set(key, plan);
    this.bound.setGradients({ of: this.#gradients, count: this.#count });
    return plan;
  }

  /** Frees what was made for parameters that are no more: gradients, moments and programs of an adapter that was removed. */
  async #forget(): Promise<void> {
    const gone = (variable: Variable) => !this.bound.has(variable);
    for (const [planKey, { key, targets, update }] of [...this.#plans]) {
      if (![...targets.gradients.values()].some(({ parameter }) => gone(parameter))) continue;
      this.#plans.delete(planKey);
      await this.bound.unload(update);
      for (const [name, handle] of [...this.#grads]) {
        if (!name.endsWith(`\n${key}`)) continue;
        this.#grads.delete(name);
        await this.bound.unload(handle);
      }
    }
    const gradients = [...this.#gradients].filter(([variable]) => gone(variable));
    for (const [variable] of gradients) this.#gradients.delete(variable);
    await this.bound.release(gradients.map(([, gradient]) => gradient));
    await this.#state.forget(gone);
  }

  /** What is trained now, by name. @throws INVALID_OPTION for a name that means nothing */
  #trained(): [string, Parameter][] {
    const { trainedParameters: all } = this.bound;
    const names = [...new Set([...this.bound.parameters.keys(), ...all.keys()])]; // with an adapter active the module's own are frozen anyway
    const frozen = new Set(this.#freeze.length === 0 ? [] : matchParameters('trainStep', 'freeze', this.#freeze, names));
    for (const [name, rows] of this.#rows) checkRows(name, rows, all.get(name));
    return [...all].filter(([name, parameter]) => parameter.trainable && (!frozen.has(name) || this.#rows.has(name)));
  }

  /** What the learning rate of each parameter is multiplied by; empty where it is the same for all. */
  #factors(): ReadonlyMap<string, number> {
    if (this.#decay === 1) return new Map();
    const names = new Set([...this.bound.parameters.keys(), ...this.bound.trainedParameters.keys()]);
    return layerwiseFactors('trainStep', [...names], this.#decay);
  }

  async #gradProgram(plan: Plan, batch: Batch, mode: 'first' | 'accumulate'): Promise<ProgramHandle> {
    const inputs = batchInputs(batch); // checks them too
    const key = `${mode} ${batchSignature(batch)}\n${plan.key}`;
    let handle = this.#grads.get(key);
    if (handle === undefined) {
      if (this.bound.variantKey !== plan.variant)
        throw new FerroError('BUSY', 'trainStep: the active adapter must stay while a step begins, got another one');
      const build = () => gradientProgram(this.bound.module, this.#loss, inputs, plan.targets, mode);
      const program = this.bound.trace(true, build, { gradientCheckpointing: this.#gradientCheckpointing });
      handle = await this.bound.load(program);
    }
    this.#grads.delete(key);
    this.#grads.set(key, handle);
    return handle;
  }

  /** Unloads the least recently used programs beyond the limit; called between steps, so that none is about to run. */
  async #shrink(): Promise<void> {
    for (const [key, handle] of [...this.#grads].slice(0, Math.max(0, this.#grads.size - MAX_PROGRAMS))) {
      this.#grads.delete(key);
      await this.bound.unload(handle);
    }
  }
}

function isOptimizer(value: Optimizer | OptimizerOptions): value is Optimizer {
  return typeof (value as Optimizer | undefined)?.effects === 'function';
}

/** @throws INVALID_OPTION unless `rows` are rows of a trainable matrix */
function checkRows(name: string, rows: readonly number[], parameter: Parameter | undefined): void {
  const count = parameter?.shape.length === 2 ? parameter.shape[0] : 0;
  const wrong = rows.find((row) => !Number.isInteger(row) || row < 0 || row >= count);
  const trained = parameter?.trainable === true;
  if (trained && rows.length > 0 && wrong === undefined) return;
  const rule = `must be rows of ${name}${trained ? `, from 0 to ${count - 1}` : ', which is not trained here'}`;
  throw new FerroError('INVALID_OPTION', `trainStep: "trainableRows" ${rule}, got ${show(wrong ?? rows)}`);
}

function checked(name: 'maxGradNorm' | 'seed', value: number): number {
  checkValue('trainStep', OPTIONS[name], value);
  return value;
}

function gradientsByName(targets: GradientTargets): Map<string, Variable> {
  return new Map(Array.from(targets.gradients, ([name, { gradient }]) => [name, gradient]));
}
