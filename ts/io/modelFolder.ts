// A causal language model's folder in Hugging Face's layout, opened: configuration, tokenizer, and the parameters' values in the order of the files. The
// same for every architecture (architecture.ts); it knows no engine and no file system. Writing is in modelFiles.ts.
import { FerroError, throwIfAborted } from '../errors';
import type { Q8Matrix } from '../graph';
import type { Quantization, QuantizedWeight } from '../nn';
import { ADAPTER_CONFIG_FILE } from './adapterFolder';
import type { Architecture, FolderConfig, TensorLayout } from './architecture';
import { ConfigFields } from './configFields';
import { endIdsOf } from './endIds';
import { checkpointError, type FileProgress, type OpenOptions, type ReadableFolder, readFolderText } from './files';
import { trackProgress } from './progress';
import { plainWeight, quantizedWeights, readMatrix, readQuantization, scaleName, weightProblems } from './quantized';
import type { TensorPiece } from './safetensors';
import { type FolderTokenizer, readTokenizer } from './tokenizerFolder';
import { openWeights, type WeightFiles } from './weightFiles';

const GENERATION_FILE = 'generation_config.json';

/** Options of opening a model. */
export interface OpenModelOptions {
  signal?: AbortSignal;
  /** Told as bytes are read, over all files. */
  onProgress?: (progress: FileProgress) => void;
}

/** What loading found beside the model's own tensors. A missing tensor is an error, so none is listed here. */
export interface LoadReport {
  /** Tensors of the files that this model has no parameter for. They were left out, as transformers does. */
  readonly unexpected: readonly string[];
  /** Whether the head is the token table: because the files hold only one of the two, or both with the same values. */
  readonly tiedHead: boolean;
  /** The dtypes that the parameters are stored in. */
  readonly dtypes: readonly string[];
}

/** A part of a parameter: its elements from `start` on, f32 in row-major order; an array of its own. */
export interface ParameterPiece extends TensorPiece {
  readonly name: string;
}

/** A weight stored as int8 blocks, whole. */
export interface ParameterMatrix {
  readonly name: string;
  readonly matrix: Q8Matrix;
}

/** A model's folder, opened and checked. */
export interface OpenedModel<C extends FolderConfig> extends FolderTokenizer {
  /** As config.json says; `tieWordEmbeddings` is false as well where the files hold a head that differs from the token table. */
  readonly config: C;
  /** Whether the weights of linear layers and tables are stored as int8 blocks; `values` and `read` give the f32 numbers they stand for. */
  readonly quantization: Quantization | null;
  /** Ids that end a text, by generation_config.json or config.json. */
  readonly endIds: readonly number[];
  /** Names and shapes of the model's parameters (f32 ones). */
  readonly shapes: ReadonlyMap<string, readonly number[]>;
  readonly report: LoadReport;
  /** All parameters, piece by piece, in the order in which the files hold them: nothing is read twice. */
  values(signal?: AbortSignal): AsyncGenerator<ParameterPiece>;
  /** The same with int8 blocks as they are. */
  parts(signal?: AbortSignal): AsyncGenerator<ParameterPiece | ParameterMatrix>;
  /** One whole parameter. */
  read(name: string): Promise<Float32Array>;
  close(): Promise<void>;
}

/** The error for tensors that do not fit, all of them listed. */
export function mismatch(op: string, problems: readonly string[]): FerroError {
  const shown = problems.slice(0, 20).join('; ');
  const rest = problems.length > 20 ? `; and ${problems.length - 20} more` : '';
  return new FerroError('INVALID_CHECKPOINT', `${op}: the tensors must be those of the configuration, got ${shown}${rest}`);
}

async function readConfig<C extends FolderConfig>(
  folder: ReadableFolder,
  architectures: readonly Architecture<C>[],
  options: OpenOptions,
): Promise<{ architecture: Architecture<C>; config: C; quantization: Quantization | null; end: unknown }> {
  try {
    const text = await readFolderText(folder, 'config.json', options);
    if (text === null && (await folder.has(ADAPTER_CONFIG_FILE, options))) {
      throw new FerroError(
        'INVALID_CHECKPOINT',
        `${folder.label}: must hold a model, got an adapter (open its base model and load it on that)`,
      );
    }
    if (text === null)
      throw new FerroError(
        'FILE_NOT_FOUND',
        `${folder.label}: a model folder must have config.json, got ${folder.whyAbsent?.('config.json') ?? 'none'}`,
      );
    const { fields, quantization } = readQuantization(ConfigFields.parse(`${folder.label}/config.json`, text));
    const type = fields.values.get('model_type');
    if (typeof type !== 'string') throw fields.invalid('model_type', 'a name');
    const architecture = architectures.find(({ modelType }) => modelType === type);
    const end = fields.values.get('eos_token_id');
    if (architecture !== undefined) return { architecture, config: architecture.readConfig(fields), quantization, end };
    const known = architectures.map(({ modelType }) => `"${modelType}"`).join(' or ');
    const own = type === 'ferroformer' && fields.values.get('architecture') === 'transformer';
    const hint = own ? ' (Transformer.fromPretrained opens it)' : '';
    throw new FerroError('NOT_BUILT', `${fields.name}: "model_type" can only be ${known} here, got ${JSON.stringify(type)}${hint}`);
  } catch (error) {
    throw checkpointError(error);
  }
}

/**
 * The name in the architecture's layout of each tensor of the files: those that are no parameters are left out, a missing prefix is added.
 * @returns our name → the file's; a tensor that nobody knows is there under its own name
 */
function canonicalNames<C extends FolderConfig>(
  { prefix, head, notParameters }: Architecture<C>,
  stored: Iterable<string>,
): Map<string, string> {
  const all = [...stored];
  const prefixed = all.some((name) => name.startsWith(prefix));
  const names = new Map<string, string>();
  for (const name of all) if (!notParameters.test(name)) names.set(prefixed || name === head ? name : `${prefix}${name}`, name);
  return names;
}

/** Whether two tensors of the files hold the same bits. The first is held in memory meanwhile, so that each is read once, front to end. */
async function equalTensors(weights: WeightFiles, a: string, b: string): Promise<boolean> {
  if (weights.entry(a).shape.join() !== weights.entry(b).shape.join()) return false;
  const values = new Uint32Array((await weights.float32(a)).buffer);
  for await (const { start, data } of weights.pieces(b)) {
    const bits = new Uint32Array(data.buffer);
    for (let i = 0; i < bits.length; i++) if (bits[i] !== values[start + i]) return false;
  }
  return true;
}

/**
 * Settles whose weights the head has, by what the files hold: with a tied head either name suffices; both with different values mean that it is not tied
 * (as in transformers), which changes the configuration. `names` loses the name that is not needed.
 */
async function settleHead<C extends FolderConfig>(
  { tokenTable, head }: Architecture<C>,
  config: C,
  weights: WeightFiles,
  names: Map<string, string>,
): Promise<C> {
  const [storedTable, storedHead] = [names.get(tokenTable), names.get(head)];
  if (!config.tieWordEmbeddings || storedHead === undefined) return config;
  if (storedTable !== undefined && !(await equalTensors(weights, storedHead, storedTable))) return { ...config, tieWordEmbeddings: false };
  names.delete(head);
  names.set(tokenTable, storedTable ?? storedHead);
  return config;
}

/** Compares what the files have with what the configuration asks for. @throws INVALID_CHECKPOINT listing every difference. @returns unexpected names */
function checkTensors(
  label: string,
  { shapes }: TensorLayout,
  blocks: ReadonlyMap<string, QuantizedWeight>,
  names: ReadonlyMap<string, string>,
  weights: WeightFiles,
): string[] {
  const problems = [...blocks].flatMap(([name, weight]) => weightProblems(name, weight, names, weights));
  for (const [name, shape] of shapes) {
    if (blocks.has(name)) continue;
    const stored = names.get(name);
    const got = stored === undefined ? undefined : weights.entry(stored).shape;
    if (got === undefined) problems.push(`missing ${name}`);
    else if (got.join() !== shape.join()) problems.push(`${name} [${got.join(', ')}], not [${shape.join(', ')}]`);
  }
  const scales = new Set([...blocks.keys()].map(scaleName));
  const unexpected = [...names.keys()].filter((name) => !shapes.has(name) && !scales.has(name));
  if (problems.length > 0) throw mismatch(label, problems.concat(unexpected.map((name) => `unexpected ${name}`)));
  return unexpected;
}

/**
 * Opens a folder in Hugging Face's layout (ours or anyone's) and checks everything that can be checked without reading all the weights.
 * @param architectures those that can be opened
 * @throws FILE_NOT_FOUND without config.json or weights; INVALID_CHECKPOINT (missing and wrong tensors listed together with unexpected ones; a truncated
 *   file); NOT_BUILT for another architecture; PICKLE_REFUSED; INVALID_TOKENIZER; VOCABULARY_MISMATCH; ABORTED
 */
export async function openModel<C extends FolderConfig>(
  source: ReadableFolder,
  architectures: readonly Architecture<C>[],
  { signal, onProgress }: OpenModelOptions = {},
): Promise<OpenedModel<C>> {
  const progress = trackProgress(source, onProgress);
  const { folder } = progress;
  const options = { signal };
  const { architecture, config: told, quantization, end } = await readConfig(folder, architectures, options);
  const generation = await readFolderText(folder, GENERATION_FILE, options).catch((error: unknown) => {
    throw checkpointError(error);
  });
  const tokenizer = await readTokenizer(
    folder,
    architecture.tokenizerVocabSize?.(told) ?? told.vocabSize,
    options,
    new Map([[GENERATION_FILE, generation]]),
  );
  const endIds = endIdsOf(`${folder.label}/${GENERATION_FILE}`, generation, end, told.vocabSize);
  const weights = await openWeights(folder, options);
  progress.allOpened();
  try {
    const names = canonicalNames(architecture, weights.names());
    const config = await settleHead(architecture, told, weights, names);
    const layout = architecture.layout(config);
    const blocks = quantization === null ? new Map<string, QuantizedWeight>() : quantizedWeights(config);
    const unexpected = checkTensors(folder.label, layout, blocks, names, weights);
    const whole = async (name: string) => {
      const weight = blocks.get(name);
      return weight === undefined ? weights.float32(names.get(name)!) : plainWeight(await readMatrix(name, weight, names, weights), weight);
    };
    const shapes = new Map([...layout.shapes].filter(([name]) => !layout.zeros.has(name)));
    const stored = [...layout.shapes.keys()].map((name) => weights.entry(names.get(name)!).dtype);
    return {
      config,
      ...tokenizer,
      quantization,
      endIds,
      shapes,
      report: { unexpected, tiedHead: config.tieWordEmbeddings, dtypes: [...new Set(stored)].sort() },
      async *values(abort = signal) {
        for await (const part of parts(folder.label, layout, blocks, names, weights, abort)) {
          yield 'data' in part ? part : { name: part.name, start: 0, data: plainWeight(part.matrix, blocks.get(part.name)!) };
        }
        progress.finished();
      },
      async *parts(abort = signal) {
        yield* parts(folder.label, layout, blocks, names, weights, abort);
        progress.finished();
      },
      read: (name) => {
        if (shapes.has(name)) return whole(name);
        throw new FerroError('INVALID_CHECKPOINT', `${folder.label}: must have the tensor ${name}, got none`);
      },
      close: () => weights.close(),
    };
  } catch (error) {
    await weights.close();
    throw error;
  }
}

/** The parameters in the order of the files; what must be zero is checked as it passes. */
async function* parts(
  label: string,
  layout: TensorLayout,
  blocks: ReadonlyMap<string, QuantizedWeight>,
  names: ReadonlyMap<string, string>,
  weights: WeightFiles,
  signal: AbortSignal | undefined,
): AsyncGenerator<ParameterPiece | ParameterMatrix> {
  const nameOf = new Map(Array.from(names, ([name, stored]) => [stored, name]));
  const scales = new Map([...blocks.keys()].map((name) => [scaleName(name), undefined as Float32Array | undefined]));
  for (const stored of weights.names()) {
    const name = nameOf.get(stored);
    if (name === undefined) continue;
    // Scales come before integers in a file: they are kept until then, so that it is read once, front to end.
    if (scales.has(name)) scales.set(name, await weights.float32(stored));
    if (!layout.shapes.has(name)) continue;
    const weight = blocks.get(name);
    if (weight !== undefined) {
      throwIfAborted(signal, 'load');
      yield { name, matrix: await readMatrix(name, weight, names, weights, scales.get(scaleName(name))) };
      scales.delete(scaleName(name));
      continue;
    }
    for await (const { start, data } of weights.pieces(stored)) {
      throwIfAborted(signal, 'load');
      if (!layout.zeros.has(name)) yield { name, start, data };
      else if (data.some((value) => value !== 0))
        throw new FerroError('INVALID_CHECKPOINT', `${label}: with "bias": false every bias must be zero, got others in ${name}`);
    }
  }
}
