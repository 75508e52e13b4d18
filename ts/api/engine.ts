// The engine as users hold it: EngineHost with what modules need on top. Thin: starting, watching and running are ts/engine's.
import { type BoundModule, bind } from '../bind';
import { type EngineBytes, EngineHost, type EngineInfo, type EngineOptions } from '../engine';
import { compile, type Tensor } from '../graph';
import type { Batch, HostTensor, Loss, Module } from '../nn';
import { createOptimizer, type Optimizer, type OptimizerOptions } from '../optim';
import { type StepNumbers, type StepResult, TrainStep, type TrainStepOptions } from '../train/step';

/** Options of `engine.trainStep`. */
export interface TrainStepSettings<M extends Module>
  extends Pick<TrainStepOptions<M>, 'freeze' | 'trainableRows' | 'layerwiseLearningRateDecay'> {
  /** Builds the loss of one batch. */
  loss: Loss<M>;
  /** An `AdamW` or `SGD`, or options to make one from. Default AdamW with a learning rate of 1e-3. */
  optimizer?: Optimizer | OptimizerOptions;
  /** Clip the global gradient norm to this; 0 = off. Default 1. */
  maxGradNorm?: number;
  /** Keys dropout masks. Default 42. */
  seed?: number;
  /** Keep only each `Block`'s input for backward and compute the rest again there: less memory, more time, the same bits. Default false. */
  gradientCheckpointing?: boolean;
}

/** One training step as a function: one batch, or a list of micro-batches whose gradients are accumulated. */
export interface StepFunction {
  (batch: Record<string, HostTensor> | readonly Record<string, HostTensor>[], numbers?: StepNumbers): Promise<StepResult>;
  /** The step behind the function: optimizer state, updates done. */
  readonly trainStep: TrainStep;
  /** Frees gradients and optimizer state. */
  close(): Promise<void>;
}

/** Where models live and run: the kernels in a worker with their threads. */
export class Engine {
  readonly host: EngineHost;

  private constructor(host: EngineHost) {
    this.host = host;
  }

  /**
   * Starts an engine: all cores up to eight, relaxed SIMD where the runtime has it.
   * @throws INVALID_OPTION, UNKNOWN_OPTION, UNSUPPORTED_RUNTIME, ENGINE_START_FAILED, OUT_OF_MEMORY, ABORTED
   */
  static async start(options: EngineOptions = {}): Promise<Engine> {
    return new Engine(await EngineHost.start(options));
  }

  /** What this engine turned out to be (threads, build, reasons …); `bytes()` asks it what it holds now. */
  get info(): EngineInfo & { bytes(): Promise<EngineBytes> } {
    return { ...this.host.info, bytes: () => this.host.bytes() };
  }

  /** True after `close()` and after the engine's death. */
  get closed(): boolean {
    return this.host.closed;
  }

  /**
   * Gives a module of your own memory and initial values here.
   * @throws INVALID_OPTION, WRONG_ENGINE, OUT_OF_MEMORY, ENGINE_CLOSED
   */
  bind<M extends Module>(module: M, options: { seed?: number; signal?: AbortSignal } = {}): Promise<BoundModule<M>> {
    return bind(this.host, module, options);
  }

  /**
   * Makes a training step for a loop of your own: `await step(batch)` gives `{ loss, gradNorm }`, both from before the update.
   * @param model a module bound here, or a GPT
   * @throws INVALID_OPTION
   */
  trainStep<M extends Module>(model: BoundModule<M> | { readonly bound: BoundModule<M> }, options: TrainStepSettings<M>): StepFunction {
    const bound = 'bound' in model ? model.bound : model;
    const { optimizer = {}, ...rest } = options;
    const trainStep = new TrainStep(bound, { ...rest, optimizer: isOptimizer(optimizer) ? optimizer : createOptimizer(optimizer) });
    return Object.assign(
      (batch: Parameters<StepFunction>[0], numbers?: StepNumbers) =>
        trainStep.run(Array.isArray(batch) ? (batch as readonly Batch[]) : [batch as Batch], numbers),
      {
        trainStep: trainStep as unknown as TrainStep,
        close: () => trainStep.close(),
      },
    );
  }

  /**
   * Computes a tensor: compiles and runs what it needs. For exploration and tests.
   * @throws UNBOUND_VARIABLE, WRONG_ENGINE when it reads parameters that live elsewhere
   */
  async read(tensor: Tensor, options: { signal?: AbortSignal } = {}): Promise<HostTensor> {
    const program = compile({ name: 'read', outputs: { value: tensor }, effects: [] });
    const handle = await this.host.load(program);
    try {
      const [{ value }] = await this.host.run({ handle }, options);
      return { data: value, shape: program.outputs[0].shape as readonly number[] };
    } finally {
      if (!this.host.closed) await this.host.unload(handle);
    }
  }

  /** Ends the engine and frees everything in it; pending calls reject with ENGINE_CLOSED. Twice is fine. */
  close(): Promise<void> {
    return this.host.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

function isOptimizer(value: Optimizer | OptimizerOptions): value is Optimizer {
  return typeof (value as Partial<Optimizer>).effects === 'function';
}
