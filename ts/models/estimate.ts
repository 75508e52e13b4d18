// What a model costs, known before anything runs: parameters by part, arithmetic, memory of a training run, size of its checkpoints. Read off the
// module's own variables and off the compiled training program's plan, not from formulas. Needs no engine; how long a step takes is not known here.

import { FerroError } from '../errors';
import { input, type Program, type Tensor, Variable } from '../graph';
import { gradientProgram, type Loss, type Module, nameModules, type Quantization, quantizeModule } from '../nn';
import { checkNames, namesOf } from '../options';
import { type PlannedAdapter, withBranches } from './adapterPlan';
import { causalLoss } from './causalLM';
import { createModel, type ModelConfig } from './create';
import { Seq2Seq, seq2seqLoss } from './seq2seq';
import type { Seq2SeqConfig } from './seq2seqConfig';

/** A model whose cost can be told. */
export type EstimatedConfig = ModelConfig | Seq2SeqConfig;

/** Numbers of parameters. The head shares the token table and is not counted twice. */
export interface ParameterCounts {
  total: number;
  /** transformer.wte, model.embed_tokens; target_embedding and source_embedding (or what takes features in) */
  tokenEmbedding: number;
  /** transformer.wpe, target_positions and source_positions, also where they are fixed */
  positionEmbedding: number;
  /** All of attention. */
  attention: number;
  /** All of the feed-forward parts. */
  mlp: number;
  norms: number;
  /** A head of its own; 0 where the head is the token table. */
  head: number;
  /** Changed by training. */
  trainable: number;
  /** Of the adapter, beside the total; absent without one. */
  adapter?: number;
}

/** Floating-point operations (a multiply-add is two). */
export interface FlopCounts {
  /** Forward and backward of one token at full context (of one target token, with its share of the source): the program's count divided by its tokens. */
  perToken: number;
  /** One optimizer step: all micro-batches (the update itself is not counted: it is below 1 %). */
  perStep: number;
}

/** Bytes of a training run. `peak` is what the engine must hold: all of these, and a table of rotary positions. */
export interface MemoryCounts {
  parameters: number;
  gradients: number;
  /** Moments or momentum buffers. */
  optimizer: number;
  /** Activations: the arena of the training program, exactly as planned. */
  activations: number;
  /** Inputs, outputs and constants of the training programs. */
  io: number;
  peak: number;
}

/** Everything. */
export interface Estimate {
  parameters: ParameterCounts;
  flops: FlopCounts;
  memory: MemoryCounts;
  /** Bytes of model.safetensors: parameters as f32 (headers of some KiB not counted). */
  modelBytes: number;
  /** Bytes of the parameters in an engine when it is loaded with `quantize: 'int8'` (for inference alone: no gradients, no optimizer); absent where it cannot be. */
  int8Bytes?: number;
  /** Bytes of a checkpoint: model (or adapter) and optimizer state. */
  checkpointBytes: number;
}

/** How it will be trained. */
export interface EstimateOptions {
  /** Windows in a micro-batch. Default 12. */
  batchSize?: number;
  /** Micro-batches in a step. Default 1. */
  gradientAccumulationSteps?: number;
  /** Each block's inner activations are computed again in backward instead of kept. Default false. */
  gradientCheckpointing?: boolean;
  /** f32 numbers the optimizer keeps per trained parameter: 2 for AdamW (default), 1 for SGD with momentum, 0 without. */
  optimizerSlots?: number;
  /** Names of parameters that are not trained (`parameter.trainable = false`). Default: none but a fixed position table. */
  frozen?: readonly string[];
  /** A low-rank adapter: it is trained, and none of the model's own parameters. Default: none. */
  adapter?: PlannedAdapter;
  /** The weights below the adapter are kept in int8 blocks or as bf16. Default: f32. */
  quantize?: Quantization;
}

const OPTIONS = namesOf<EstimateOptions>({
  batchSize: true,
  gradientAccumulationSteps: true,
  gradientCheckpointing: true,
  optimizerSlots: true,
  frozen: true,
  adapter: true,
  quantize: true,
});

const F32_BYTES = 4;

function makeModule(config: EstimatedConfig): Module {
  return config.modelType === 'transformer' ? new Seq2Seq(config) : createModel(config);
}

/** Names of the parameters of a configuration. */
export function parameterNames(config: EstimatedConfig): string[] {
  return [...nameModules(makeModule(config))].flatMap(([name, { derived }]) => (derived ? [] : [name]));
}

/** Counts the parameters of a configuration by part; those named in `frozen` are not trainable. */
export function countParameters(config: EstimatedConfig, frozen: readonly string[] = []): ParameterCounts {
  const counts = { total: 0, tokenEmbedding: 0, positionEmbedding: 0, attention: 0, mlp: 0, norms: 0, head: 0, trainable: 0 };
  for (const [name, variable] of nameModules(makeModule(config))) {
    if (variable.derived) continue;
    counts.total += variable.size;
    counts[partOf(name)] += variable.size;
    if (variable.trainable && !frozen.includes(name)) counts.trainable += variable.size;
  }
  return counts;
}

function partOf(name: string): 'tokenEmbedding' | 'positionEmbedding' | 'attention' | 'mlp' | 'norms' | 'head' {
  if (/^(transformer\.wte|model\.embed_tokens|(target|source)_embedding)\./.test(name)) return 'tokenEmbedding';
  if (/^(lm_head|generator)\./.test(name)) return 'head';
  if (/^(transformer\.wpe|(target|source)_positions)\./.test(name)) return 'positionEmbedding';
  if (/\.(attn|self_attn|multihead_attn)\./.test(name)) return 'attention';
  return /\.(mlp|linear[12])\./.test(name) ? 'mlp' : 'norms';
}

/**
 * Estimates a training run by building its training program, as the Trainer would, without running it.
 * Whether an engine can hold it is for the engine to say: it refuses before it allocates.
 * @throws INVALID_OPTION, UNKNOWN_OPTION
 */
export function estimate(config: EstimatedConfig, options: EstimateOptions = {}): Estimate {
  checkNames('estimate', options, OPTIONS);
  const { batchSize = 12, gradientAccumulationSteps = 1, gradientCheckpointing = false, optimizerSlots = 2, frozen = [] } = options;
  for (const [name, value] of Object.entries({ batchSize, gradientAccumulationSteps })) {
    if (!Number.isInteger(value) || value < 1)
      throw new FerroError('INVALID_OPTION', `estimate: "${name}" must be a positive integer, got ${value}`);
  }
  const { adapter, quantize } = options;
  if (quantize !== undefined && adapter === undefined)
    throw new FerroError(
      'INVALID_OPTION',
      `estimate: "quantize" must go with "adapter" (such weights cannot be trained), got "${quantize}"`,
    );
  if (frozen.length > 0 && adapter !== undefined)
    throw new FerroError('INVALID_OPTION', `estimate: "frozen" must not go with "adapter", which freezes all else, got "${frozen[0]}"`);
  const planned = plannedModule(config, { frozen, adapter, quantize });
  const parameters = countParameters(config, frozen);
  if (adapter !== undefined) {
    parameters.adapter = [...planned.trained.values()].reduce((sum, { size }) => sum + size, 0);
    parameters.trainable = parameters.adapter;
  }
  const adapterBytes = (parameters.adapter ?? 0) * F32_BYTES;
  const modes = gradientAccumulationSteps > 1 ? (['first', 'accumulate'] as const) : (['first'] as const);
  const programs = modes.map((mode) => trainingProgram(config, planned, { batchSize, gradientCheckpointing, mode }));
  const memory = {
    parameters: bytesOf(planned.module, { derived: false }) + adapterBytes,
    gradients: parameters.trainable * F32_BYTES,
    optimizer: parameters.trainable * F32_BYTES * optimizerSlots,
    activations: Math.max(...programs.map(({ plan }) => plan.arenaBytes)),
    io: programs.reduce((sum, { plan }) => sum + plan.ioBytes, 0),
    peak: 0,
  };
  const tables = bytesOf(planned.module, { derived: true });
  memory.peak = memory.parameters + memory.gradients + memory.optimizer + memory.activations + memory.io + tables;
  return {
    parameters,
    flops: {
      perToken: programs[0].plan.flops / (batchSize * config.blockSize),
      perStep: programs[0].plan.flops * gradientAccumulationSteps,
    },
    memory,
    modelBytes: parameters.total * F32_BYTES,
    ...(config.modelType === 'transformer' ? {} : { int8Bytes: int8Bytes(config) }),
    checkpointBytes: (adapter === undefined ? memory.parameters : adapterBytes) + memory.optimizer,
  };
}

/** Bytes of the parameters with weights in int8 blocks. */
function int8Bytes(config: ModelConfig): number {
  const module = createModel(config);
  quantizeModule(module);
  return bytesOf(module, { derived: false });
}

/** Bytes of a module's parameters, or of the tables that follow from its configuration. */
function bytesOf(module: Module, { derived }: { derived: boolean }): number {
  return [...module.namedVariables().values()].reduce((sum, variable) => sum + (variable.derived === derived ? variable.bytes : 0), 0);
}

/** A module as the Trainer would have it, and what is trained of it, by name. */
interface PlannedModule {
  module: Module;
  trained: ReadonlyMap<string, Variable>;
}

type TrainedParts = Required<Pick<EstimateOptions, 'frozen'>> & Pick<EstimateOptions, 'adapter' | 'quantize'>;

function plannedModule(config: EstimatedConfig, { frozen, adapter, quantize }: TrainedParts): PlannedModule {
  const module = makeModule(config);
  if (quantize !== undefined) quantizeModule(module, quantize);
  const variables = nameModules(module);
  const unknown = frozen.find((name) => !variables.has(name));
  if (unknown !== undefined) throw new FerroError('INVALID_OPTION', `estimate: "frozen" must name parameters, got "${unknown}"`);
  if (adapter !== undefined) return { module, trained: withBranches(module, variables, adapter) };
  return { module, trained: new Map([...variables].filter(([name, variable]) => variable.trainable && !frozen.includes(name))) };
}

interface ProgramOptions {
  batchSize: number;
  gradientCheckpointing: boolean;
  mode: 'first' | 'accumulate';
}

function trainingProgram(
  config: EstimatedConfig,
  { module, trained }: PlannedModule,
  { batchSize, gradientCheckpointing, mode }: ProgramOptions,
): Program {
  module.enableGradientCheckpointing(gradientCheckpointing);
  const scratch = (name: string, shape: readonly number[]) => new Variable({ name, shape, trainable: false });
  const gradients = new Map(
    Array.from(trained, ([name, parameter]) => [name, { parameter, gradient: scratch(`gradient.${name}`, parameter.shape) }]),
  );
  const targets = { gradients, count: scratch('gradient.count', [1]), guard: scratch('gradient.guard', [1]) };
  module.train();
  const { loss, batch } = config.modelType === 'transformer' ? pairs(config, batchSize) : windows(config, batchSize);
  return gradientProgram(module, loss, batch, targets, mode);
}

interface TrainingBatch {
  loss: Loss;
  batch: Record<string, Tensor>;
}

function windows({ blockSize }: ModelConfig, rows: number): TrainingBatch {
  const tokens = (name: string) => input(name, [rows, blockSize], 'i32');
  return { loss: causalLoss as Loss, batch: { inputIds: tokens('inputIds'), labels: tokens('labels') } };
}

/** Pairs of the greatest length. */
function pairs({ inputKind, inputDim, maxSourceLength: S, maxTargetLength: T }: Seq2SeqConfig, rows: number): TrainingBatch {
  const tokens = (name: string, time: number) => input(name, [rows, time], 'i32');
  const source: Record<string, Tensor> =
    inputKind === 'features' ? { inputFeatures: input('inputFeatures', [rows, S, inputDim]) } : { inputIds: tokens('inputIds', S) };
  const target = { decoderInputIds: tokens('decoderInputIds', T), labels: tokens('labels', T) };
  return { loss: seq2seqLoss() as Loss, batch: { ...source, inputMask: tokens('inputMask', S), ...target } };
}
