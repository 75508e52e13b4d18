// What a model costs, known before anything runs: parameters by part, arithmetic, memory of a training run, size of its checkpoints. Read off the
// module's own variables and off the compiled training program's plan, not from formulas. Needs no engine; how long a step takes is not known here.

import { FerroError } from '../errors';
import { input, type Program, Variable } from '../graph';
import { gradientProgram, type Module, nameModules, quantizeModule } from '../nn';
import { causalLoss } from './causalLM';
import { createModel, type ModelConfig } from './create';

/** Numbers of parameters. The head shares the token table and is not counted twice. */
export interface ParameterCounts {
  total: number;
  /** transformer.wte, model.embed_tokens */
  tokenEmbedding: number;
  /** transformer.wpe, also where it is fixed */
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
}

/** Floating-point operations (a multiply-add is two). */
export interface FlopCounts {
  /** Forward and backward of one token at full context: the program's count divided by its tokens. */
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
  /** Bytes of the parameters in an engine when it is loaded with `quantize: 'int8'` (for inference alone: no gradients, no optimizer). */
  int8Bytes: number;
  /** Bytes of a checkpoint: model and optimizer state. */
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
}

const F32_BYTES = 4;

/** Names of the parameters of a configuration. */
export function parameterNames(config: ModelConfig): string[] {
  return [...nameModules(createModel(config))].flatMap(([name, { derived }]) => (derived ? [] : [name]));
}

/** Counts the parameters of a configuration by part; those named in `frozen` are not trainable. */
export function countParameters(config: ModelConfig, frozen: readonly string[] = []): ParameterCounts {
  const counts = { total: 0, tokenEmbedding: 0, positionEmbedding: 0, attention: 0, mlp: 0, norms: 0, head: 0, trainable: 0 };
  for (const [name, variable] of nameModules(createModel(config))) {
    if (variable.derived) continue;
    counts.total += variable.size;
    counts[partOf(name)] += variable.size;
    if (variable.trainable && !frozen.includes(name)) counts.trainable += variable.size;
  }
  return counts;
}

function partOf(name: string): 'tokenEmbedding' | 'positionEmbedding' | 'attention' | 'mlp' | 'norms' | 'head' {
  if (name.startsWith('transformer.wte.') || name.startsWith('model.embed_tokens.')) return 'tokenEmbedding';
  if (name.startsWith('lm_head.')) return 'head';
  if (name.startsWith('transformer.wpe.')) return 'positionEmbedding';
  if (name.includes('.attn.') || name.includes('.self_attn.')) return 'attention';
  return name.includes('.mlp.') ? 'mlp' : 'norms';
}

/**
 * Estimates a training run by building its training program, as the Trainer would, without running it.
 * Whether an engine can hold it is for the engine to say: it refuses before it allocates.
 * @throws INVALID_OPTION
 */
export function estimate(config: ModelConfig, options: EstimateOptions = {}): Estimate {
  const { batchSize = 12, gradientAccumulationSteps = 1, gradientCheckpointing = false, optimizerSlots = 2, frozen = [] } = options;
  for (const [name, value] of Object.entries({ batchSize, gradientAccumulationSteps })) {
    if (!Number.isInteger(value) || value < 1)
      throw new FerroError('INVALID_OPTION', `estimate: "${name}" must be a positive integer, got ${value}`);
  }
  const parameters = countParameters(config, frozen);
  const modes = gradientAccumulationSteps > 1 ? (['first', 'accumulate'] as const) : (['first'] as const);
  const programs = modes.map((mode) => trainingProgram(config, { batchSize, gradientCheckpointing, frozen, mode }));
  const memory = {
    parameters: parameters.total * F32_BYTES,
    gradients: parameters.trainable * F32_BYTES,
    optimizer: parameters.trainable * F32_BYTES * optimizerSlots,
    activations: Math.max(...programs.map(({ plan }) => plan.arenaBytes)),
    io: programs.reduce((sum, { plan }) => sum + plan.ioBytes, 0),
    peak: 0,
  };
  const tables = bytesOf(createModel(config), { derived: true });
  memory.peak = memory.parameters + memory.gradients + memory.optimizer + memory.activations + memory.io + tables;
  return {
    parameters,
    flops: {
      perToken: programs[0].plan.flops / (batchSize * config.blockSize),
      perStep: programs[0].plan.flops * gradientAccumulationSteps,
    },
    memory,
    modelBytes: memory.parameters,
    int8Bytes: int8Bytes(config),
    checkpointBytes: memory.parameters + memory.optimizer,
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

interface ProgramOptions {
  batchSize: number;
  gradientCheckpointing: boolean;
  frozen: readonly string[];
  mode: 'first' | 'accumulate';
}

function trainingProgram(config: ModelConfig, { batchSize, gradientCheckpointing, frozen, mode }: ProgramOptions): Program {
  const module = createModel(config).enableGradientCheckpointing(gradientCheckpointing);
  const variables = nameModules(module);
  const unknown = frozen.find((name) => !variables.has(name));
  if (unknown !== undefined) throw new FerroError('INVALID_OPTION', `estimate: "frozen" must name parameters, got "${unknown}"`);
  const trained = [...variables].filter(([name, variable]) => variable.trainable && !frozen.includes(name));
  const scratch = (name: string, shape: readonly number[]) => new Variable({ name, shape, trainable: false });
  const gradients = new Map(
    trained.map(([name, parameter]) => [name, { parameter, gradient: scratch(`gradient.${name}`, parameter.shape) }]),
  );
  const targets = { gradients, count: scratch('gradient.count', [1]), guard: scratch('gradient.guard', [1]) };
  module.train();
  const tokens = (name: string) => input(name, [batchSize, config.blockSize], 'i32');
  return gradientProgram(module, causalLoss, { inputIds: tokens('inputIds'), labels: tokens('labels') }, targets, mode);
}
