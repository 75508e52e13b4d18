// The two files that make a model folder a checkpoint: optimizer.safetensors (the optimizer's tensors by slot and parameter name) and
// trainer_state.json (where the run is). Written and read here; what the numbers mean is the trainer's business.
import { FerroError } from '../errors';
import { type ByteSource, checkpointError, type FileData, parseJsonObject } from './files';
import { lazySafetensors, type TensorData, type WritableTensor } from './safetensorsWriter';
import { openTensors } from './weightFiles';

export const OPTIMIZER_FILE = 'optimizer.safetensors';
export const TRAINER_STATE_FILE = 'trainer_state.json';

/** An optimizer's state: for each slot (`m`, `v`, `momentum`) the values by parameter name; to be written, they may come piece by piece. */
export interface OptimizerState<T extends WritableTensor = TensorData> {
  /** Which optimizer: `adamw`, `sgd`. */
  kind: string;
  /** Updates done so far. */
  step: number;
  slots: ReadonlyMap<string, ReadonlyMap<string, T>>;
}

/** optimizer.safetensors: tensors `slot/parameter`. @throws INVALID_OPTION for a slot with a slash in its name */
export function optimizerStateToFile(state: OptimizerState<WritableTensor>): FileData {
  const tensors = new Map<string, WritableTensor>();
  for (const [slot, values] of state.slots) {
    if (slot === '' || slot.includes('/'))
      throw new FerroError('INVALID_OPTION', `optimizer state: a slot must be a name without "/", got ${JSON.stringify(slot)}`);
    for (const [parameter, tensor] of values) tensors.set(`${slot}/${parameter}`, tensor);
  }
  const metadata = new Map([
    ['format', 'pt'],
    ['optimizer', state.kind],
    ['step', String(state.step)],
    ['version', '1'],
  ]);
  return lazySafetensors(tensors, metadata);
}

/** Reads optimizer.safetensors and closes the source. @throws INVALID_CHECKPOINT */
export async function optimizerStateFromFile(source: ByteSource): Promise<OptimizerState> {
  const file = await openTensors(source);
  try {
    const invalid = (rule: string) => new FerroError('INVALID_CHECKPOINT', `${source.name}: ${rule}`);
    const version = file.metadata.get('version');
    if (version !== '1') throw invalid(`the metadata "version" must be "1", got ${JSON.stringify(version) ?? 'none'}`);
    const kind = file.metadata.get('optimizer');
    if (kind === undefined) throw invalid('the metadata must name the optimizer, got none');
    const step = file.metadata.get('step') ?? '';
    if (!/^(0|[1-9][0-9]{0,15})$/.test(step)) throw invalid(`the metadata "step" must be a count, got ${JSON.stringify(step)}`);
    const slots = new Map<string, Map<string, TensorData>>();
    for (const [name, entry] of file.tensors) {
      const slash = name.indexOf('/');
      if (slash < 1) throw invalid(`tensors must be named slot/parameter, got ${JSON.stringify(name)}`);
      const slot = name.slice(0, slash);
      const data = entry.dtype === 'I32' ? await file.int32(name) : await file.float32(name);
      const values = slots.get(slot) ?? new Map<string, TensorData>();
      slots.set(slot, values.set(name.slice(slash + 1), { shape: entry.shape, data }));
    }
    return { kind, step: Number(step), slots };
  } finally {
    await file.close();
  }
}

/** Anything that JSON can hold. */
export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

/** Where a run is. Together with the optimizer's state and the weights it determines everything that follows. */
export interface TrainerState {
  /** Updates done. */
  step: number;
  /** Windows (or examples) the updates have consumed: the sampler goes on from here. */
  windowsConsumed: number;
  /** Epochs done, as a real number. */
  epoch: number;
  /** Tokens trained on. */
  tokensSeen: number;
  seed: number;
  /** The resolved options of the run, to compare when it is resumed. */
  options: { [key: string]: Json };
  /** SHA-256 of the training tokens; null where the data set cannot say. */
  dataHash: string | null;
  /** Hash of the tokenizer; null without one. */
  tokenizerHash: string | null;
  /** What computed the run so far: build, fused multiply-add, kernel hash, version. Another one does not give the same bits. */
  engine: { [key: string]: Json };
  /** Lowest evaluation loss and the folder that had it. */
  bestMetric: number | null;
  bestModelCheckpoint: string | null;
  /** Evaluations since the lowest loss (early stopping). */
  evaluationsWithoutImprovement: number;
  /** One object per logged step, Hugging Face's keys. */
  logHistory: { [key: string]: Json }[];
}

/** Our field, the key in the file. The first group are Hugging Face's keys, the second ours. */
const KEYS = [
  ['step', 'global_step'],
  ['epoch', 'epoch'],
  ['bestMetric', 'best_metric'],
  ['bestModelCheckpoint', 'best_model_checkpoint'],
  ['logHistory', 'log_history'],
  ['windowsConsumed', 'windows_consumed'],
  ['tokensSeen', 'num_input_tokens_seen'],
  ['seed', 'seed'],
  ['options', 'options'],
  ['dataHash', 'data_hash'],
  ['tokenizerHash', 'tokenizer_hash'],
  ['engine', 'engine'],
  ['evaluationsWithoutImprovement', 'evaluations_without_improvement'],
] as const satisfies readonly (readonly [keyof TrainerState, string])[];

const COUNTS: readonly (keyof TrainerState)[] = ['step', 'windowsConsumed', 'tokensSeen', 'seed', 'evaluationsWithoutImprovement'];
const NUMBERS: readonly (keyof TrainerState)[] = ['epoch'];
const OBJECTS: readonly (keyof TrainerState)[] = ['options', 'engine'];
const TEXTS: readonly (keyof TrainerState)[] = ['dataHash', 'tokenizerHash', 'bestModelCheckpoint'];

/** trainer_state.json. @throws INVALID_OPTION for a number that JSON cannot hold (NaN, infinity) */
export function trainerStateToFile(state: TrainerState): string {
  const object: Record<string, unknown> = { format: 'ferroformer-trainer', version: 1 };
  for (const [field, key] of KEYS) object[key] = state[field];
  const check = (key: string, value: unknown): unknown => {
    if (typeof value !== 'number' || Number.isFinite(value)) return value;
    throw new FerroError('INVALID_OPTION', `trainer state: numbers must be finite, got ${value} for ${key}`);
  };
  return `${JSON.stringify(object, check, 2)}\n`;
}

function isObject(value: unknown): value is { [key: string]: Json } {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** What a field must be; null if it is. */
function ruleBroken(field: keyof TrainerState, value: unknown): string | null {
  if (COUNTS.includes(field)) return Number.isSafeInteger(value) && (value as number) >= 0 ? null : 'an integer from 0 to 2^53 − 1';
  if (NUMBERS.includes(field)) return typeof value === 'number' ? null : 'a number';
  if (OBJECTS.includes(field)) return isObject(value) ? null : 'an object';
  if (TEXTS.includes(field)) return value === null || typeof value === 'string' ? null : 'text or null';
  if (field === 'bestMetric') return value === null || typeof value === 'number' ? null : 'a number or null';
  return Array.isArray(value) && value.every(isObject) ? null : 'a list of objects';
}

/** Reads trainer_state.json's text. @throws INVALID_CHECKPOINT naming the field */
export function trainerStateFromFile(name: string, text: string): TrainerState {
  const invalid = (key: string, rule: string, value: unknown) =>
    new FerroError('INVALID_CHECKPOINT', `${name}: "${key}" must be ${rule}, got ${JSON.stringify(value) ?? 'none'}`);
  let values: Map<string, unknown>;
  try {
    values = parseJsonObject(name, text);
  } catch (error) {
    throw checkpointError(error);
  }
  if (values.get('format') !== 'ferroformer-trainer') throw invalid('format', '"ferroformer-trainer"', values.get('format'));
  if (values.get('version') !== 1) throw invalid('version', '1', values.get('version'));
  const state: Partial<Record<keyof TrainerState, unknown>> = {};
  for (const [field, key] of KEYS) {
    const value = values.get(key);
    const rule = ruleBroken(field, value);
    if (rule !== null) throw invalid(key, rule, value);
    state[field] = value;
  }
  return state as unknown as TrainerState;
}
