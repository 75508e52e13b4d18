// An adapter's folder as PEFT writes and reads it: adapter_config.json and adapter_model.safetensors. Names and shapes are settled against a model by
// ts/adapters; nothing here knows one.
import { FerroError, show } from '../errors';
import { ConfigFields } from './configFields';
import { checkpointError, type FileData, type ReadableFolder, readFolderText } from './files';
import { SafetensorsFile } from './safetensors';
import { lazySafetensors, type TensorSource } from './safetensorsWriter';

/** The file that says what an adapter is. */
export const ADAPTER_CONFIG_FILE = 'adapter_config.json';
const WEIGHTS_FILE = 'adapter_model.safetensors';
const PICKLED_FILE = 'adapter_model.bin';
/** What PEFT puts before the names of the model it wraps. */
const PREFIX = 'base_model.model.';
const A = '.lora_A.weight';
const B = '.lora_B.weight';

/** Which model an adapter is for. */
export type TaskType = 'CAUSAL_LM' | 'SEQ_CLS' | 'SEQ_2_SEQ_LM';

/** What adapter_config.json says, in this library's words. */
export interface AdapterConfig {
  rank: number;
  alpha: number;
  dropout: number;
  useRslora: boolean;
  taskType: TaskType | null;
  /** Folder or address of the model it was made for; null when unknown. */
  baseModel: string | null;
}

/** Rank and alpha of one layer. */
export interface LayerRank {
  rank: number;
  alpha: number;
}

/** An adapter to write. */
export interface AdapterContents {
  config: AdapterConfig;
  /** Names of the layers (`target_modules`). */
  targetModules: readonly string[];
  /** Names of the modules that are trained whole (`modules_to_save`). */
  modulesToSave: readonly string[];
  /** Whether the layers' weights lie [in, out] (`fan_in_fan_out`). */
  fanInFanOut: boolean;
  /** By path of the layer: A f32 [rank, in], B f32 [out, rank], and what differs from the configuration. */
  layers: ReadonlyMap<string, LayerRank & { a: TensorSource; b: TensorSource }>;
  /** Parameters of the modules to save, by name. */
  saved: ReadonlyMap<string, TensorSource>;
}

/** An adapter's folder that has been opened: its tensors are known, their values are read when asked for. */
export interface OpenedAdapter {
  readonly label: string;
  readonly config: AdapterConfig;
  /** By path of the layer; a shape is missing where the file does not have that half. */
  readonly layers: ReadonlyMap<string, LayerRank & { a?: readonly number[]; b?: readonly number[] }>;
  /** Parameters that are not a layer's branch, by name. */
  readonly saved: ReadonlyMap<string, readonly number[]>;
  readA(layer: string): Promise<Float32Array>;
  readB(layer: string): Promise<Float32Array>;
  readSaved(name: string): Promise<Float32Array>;
  close(): Promise<void>;
}

/** The files of an adapter. Values are read when a file is written. */
export function adapterToFiles(contents: AdapterContents): Map<string, FileData> {
  const { config, layers, saved } = contents;
  const tensors = new Map<string, TensorSource>();
  for (const [path, { a, b }] of layers) {
    tensors.set(`${PREFIX}${path}${A}`, a);
    tensors.set(`${PREFIX}${path}${B}`, b);
  }
  for (const [name, tensor] of saved) tensors.set(`${PREFIX}${name}`, tensor);
  const pattern = (key: keyof LayerRank) =>
    Object.fromEntries([...layers].filter(([, layer]) => layer[key] !== config[key]).map(([path, layer]) => [path, layer[key]]));
  const json = {
    alpha_pattern: pattern('alpha'),
    auto_mapping: null,
    base_model_name_or_path: config.baseModel,
    bias: 'none',
    fan_in_fan_out: contents.fanInFanOut,
    inference_mode: true,
    init_lora_weights: true,
    lora_alpha: config.alpha,
    lora_dropout: config.dropout,
    modules_to_save: contents.modulesToSave.length > 0 ? contents.modulesToSave : null,
    peft_type: 'LORA',
    r: config.rank,
    rank_pattern: pattern('rank'),
    target_modules: contents.targetModules,
    task_type: config.taskType,
    use_dora: false,
    use_rslora: config.useRslora,
  };
  return new Map<string, FileData>([
    [ADAPTER_CONFIG_FILE, `${JSON.stringify(json, null, 2)}\n`],
    [WEIGHTS_FILE, lazySafetensors(tensors)],
  ]);
}

/**
 * Opens an adapter's folder.
 * @throws INVALID_CHECKPOINT for a folder without an adapter or a malformed one, NOT_SUPPORTED for a kind that is not plain LoRA, PICKLE_REFUSED
 */
export async function openAdapter(folder: ReadableFolder): Promise<OpenedAdapter> {
  try {
    const { config, alphas } = await readConfig(folder);
    const file = await openWeights(folder);
    try {
      return describe(folder.label, config, alphas, file);
    } catch (error) {
      await file.close();
      throw error;
    }
  } catch (error) {
    throw checkpointError(error);
  }
}

type Alphas = readonly (readonly [layer: string, alpha: number])[];

async function readConfig(folder: ReadableFolder): Promise<{ config: AdapterConfig; alphas: Alphas }> {
  const text = await readFolderText(folder, ADAPTER_CONFIG_FILE);
  if (text === null) throw new FerroError('INVALID_CHECKPOINT', `${folder.label}: must have ${ADAPTER_CONFIG_FILE}, got none`);
  const fields = ConfigFields.parse(`${folder.label}/${ADAPTER_CONFIG_FILE}`, text);
  refuseOtherKinds(fields);
  const dropout = fields.number('lora_dropout', 0);
  if (!(dropout >= 0 && dropout < 1)) throw fields.invalid('lora_dropout', 'a number from 0 to below 1');
  const alpha = fields.number('lora_alpha', 8);
  if (!Number.isFinite(alpha)) throw fields.invalid('lora_alpha', 'a finite number');
  const taskType = fields.values.get('task_type');
  const base = fields.values.get('base_model_name_or_path');
  const config: AdapterConfig = {
    rank: fields.optionalInteger('r') ?? 8,
    alpha,
    dropout,
    useRslora: fields.boolean('use_rslora', false),
    taskType: taskType === 'CAUSAL_LM' || taskType === 'SEQ_CLS' || taskType === 'SEQ_2_SEQ_LM' ? taskType : null,
    baseModel: typeof base === 'string' && base !== '' ? base : null,
  };
  return { config, alphas: readAlphas(fields) };
}

/** alpha_pattern: by a layer's path or its end. PEFT takes regular expressions there; only plain names are taken here. */
function readAlphas(fields: ConfigFields): Alphas {
  const value = fields.values.get('alpha_pattern') ?? {};
  const entries: [string, unknown][] = Object.entries(value);
  const plain = entries.every(([name, alpha]) => /^[\w.-]+$/.test(name) && typeof alpha === 'number' && Number.isFinite(alpha));
  if (!plain || typeof value !== 'object' || Array.isArray(value))
    throw notSupported(fields, 'alpha_pattern', 'numbers by plain names of layers');
  return entries as unknown as Alphas;
}

/** What changes the arithmetic, or the base's weights, in another way than a branch does. */
const ABSENT = [
  'use_dora',
  'use_qalora',
  'lora_bias',
  'layer_replication',
  'target_parameters',
  'trainable_token_indices',
  'megatron_config',
  'alora_invocation_tokens',
  'use_bdlora',
  'kasa_config',
  'monteclora_config',
  'arrow_config',
];
const CHANGES_THE_BASE = /^(?:pissa|olora|corda|loftq|lora_ga)/i;

function refuseOtherKinds(fields: ConfigFields): void {
  const get = (key: string) => fields.values.get(key);
  if (get('peft_type') !== 'LORA') throw notSupported(fields, 'peft_type', '"LORA"');
  if ((get('bias') ?? 'none') !== 'none') throw notSupported(fields, 'bias', '"none"');
  for (const key of ABSENT) {
    const value = get(key);
    const empty = value === undefined || value === null || value === false || (Array.isArray(value) && value.length === 0);
    if (!empty) throw notSupported(fields, key, 'false or null');
  }
  const init = get('init_lora_weights');
  if (typeof init === 'string' && CHANGES_THE_BASE.test(init))
    throw notSupported(fields, 'init_lora_weights', 'one that leaves the base as it is');
}

function notSupported(fields: ConfigFields, key: string, rule: string): FerroError {
  return new FerroError('NOT_SUPPORTED', `${fields.name}: "${key}" must be ${rule}, got ${show(fields.values.get(key))}`);
}

async function openWeights(folder: ReadableFolder): Promise<SafetensorsFile> {
  const source = await folder.open(WEIGHTS_FILE);
  if (source !== null) return SafetensorsFile.open(source);
  if (await folder.has(PICKLED_FILE))
    throw new FerroError('PICKLE_REFUSED', `${folder.label}: the weights must be in ${WEIGHTS_FILE}, got ${PICKLED_FILE}`);
  throw new FerroError('INVALID_CHECKPOINT', `${folder.label}: must have ${WEIGHTS_FILE}, got none`);
}

function describe(label: string, config: AdapterConfig, alphas: Alphas, file: SafetensorsFile): OpenedAdapter {
  const layers = new Map<string, LayerRank & { a?: readonly number[]; b?: readonly number[] }>();
  const saved = new Map<string, readonly number[]>();
  const stored = new Map<string, string>();
  for (const [key, { shape }] of file.tensors) {
    const name = key.startsWith(PREFIX) ? key.slice(PREFIX.length) : key;
    if (stored.has(name))
      throw new FerroError('INVALID_CHECKPOINT', `${label}: a tensor must be there once, got ${show(name)} with and without ${PREFIX}`);
    stored.set(name, key);
    const half = name.endsWith(A) ? 'a' : name.endsWith(B) ? 'b' : undefined;
    if (half === undefined) {
      saved.set(name, shape);
      continue;
    }
    const path = name.slice(0, -A.length);
    const alpha = alphas.find(([end]) => path === end || path.endsWith(`.${end}`))?.[1] ?? config.alpha;
    const layer = layers.get(path) ?? { rank: config.rank, alpha };
    layer[half] = shape;
    layer.rank = layer.a?.[0] ?? layer.rank;
    layers.set(path, layer);
  }
  const read = (name: string) => file.float32(stored.get(name) ?? name);
  return {
    label,
    config,
    layers,
    saved,
    readA: (layer) => read(`${layer}${A}`),
    readB: (layer) => read(`${layer}${B}`),
    readSaved: read,
    close: () => file.close(),
  };
}
