// A GPT as a folder in Hugging Face's GPT-2 layout, both ways: config.json, generation_config.json, model.safetensors, the tokenizer's files. It moves
// names, shapes and numbers; it knows no engine and no file system (a folder to read is a `ReadableFolder`).
import { FerroError } from '../errors';
import type { GPTConfig } from '../models/config';
import type { Tokenizer } from '../tokenizers';
import { checkpointError, type FileData, type OpenOptions, type ReadableFolder, readFolderText } from './files';
import { generationConfigToJson, gptConfigFromJson, gptConfigToJson } from './gptConfigFile';
import { type TensorData, type TensorEntry, writeSafetensors } from './safetensors';
import { readTokenizer } from './tokenizerFolder';
import { openWeights, type WeightFiles } from './weightFiles';

/**
 * Every tensor of a GPT-2 folder by name, with its shape; linear weights are [in, out]. The tied head is not among them.
 * Biases are listed whether or not the model has them (without, the folder holds zeros).
 */
export function gptTensorShapes(config: GPTConfig): Map<string, number[]> {
  const { nLayer, nEmbd: C, blockSize, vocabSize } = config;
  const shapes = new Map<string, number[]>([
    ['transformer.wte.weight', [vocabSize, C]],
    ['transformer.wpe.weight', [blockSize, C]],
  ]);
  const linear = (name: string, inputs: number, outputs: number) => {
    shapes.set(`${name}.weight`, [inputs, outputs]);
    shapes.set(`${name}.bias`, [outputs]);
  };
  const norm = (name: string) => {
    shapes.set(`${name}.weight`, [C]);
    shapes.set(`${name}.bias`, [C]);
  };
  for (let i = 0; i < nLayer; i++) {
    const block = `transformer.h.${i}`;
    norm(`${block}.ln_1`);
    linear(`${block}.attn.c_attn`, C, 3 * C);
    linear(`${block}.attn.c_proj`, C, C);
    norm(`${block}.ln_2`);
    linear(`${block}.mlp.c_fc`, C, 4 * C);
    linear(`${block}.mlp.c_proj`, 4 * C, C);
  }
  norm('transformer.ln_f');
  return shapes;
}

const json = (value: object): string => `${JSON.stringify(value, null, 2)}\n`;

/** What a folder is made from. */
export interface GptContents {
  config: GPTConfig;
  /** Values by parameter name, as the model names them; row-major. */
  parameters: ReadonlyMap<string, Float32Array>;
  tokenizer?: Tokenizer | null;
}

/**
 * The files of a GPT's folder; weights are views of `parameters`, not copies.
 * @throws INVALID_CHECKPOINT where parameters are missing, unknown or of another size, all of them listed
 */
export function gptToFiles({ config, parameters, tokenizer }: GptContents): Map<string, FileData> {
  const tensors = new Map<string, TensorData>();
  const problems: string[] = [];
  const shapes = gptTensorShapes(config);
  for (const [name, shape] of shapes) {
    const size = shape.reduce((a, b) => a * b, 1);
    const absentBias = !config.bias && name.endsWith('.bias');
    const data = absentBias && !parameters.has(name) ? new Float32Array(size) : parameters.get(name);
    if (data === undefined) problems.push(`missing ${name}`);
    else if (data.length !== size) problems.push(`${name} has ${data.length} elements, not [${shape.join(', ')}]`);
    else tensors.set(name, { shape, data });
  }
  for (const name of parameters.keys()) if (!shapes.has(name)) problems.push(`unexpected ${name}`);
  if (problems.length > 0) throw mismatch('save', problems);

  const ids = { bosId: tokenizer?.bosId ?? null, eosId: tokenizer?.eosId ?? null, padId: tokenizer?.padId ?? null };
  const files = new Map<string, FileData>([
    ['config.json', json(gptConfigToJson(config, ids))],
    ['generation_config.json', json(generationConfigToJson(ids))],
    ['model.safetensors', writeSafetensors(tensors)],
  ]);
  for (const [name, text] of tokenizer?.toFiles({ modelMaxLength: config.blockSize }) ?? []) files.set(name, text);
  return files;
}

function mismatch(op: string, problems: readonly string[]): FerroError {
  const shown = problems.slice(0, 20).join('; ');
  const rest = problems.length > 20 ? `; and ${problems.length - 20} more` : '';
  return new FerroError('INVALID_CHECKPOINT', `${op}: the tensors must be those of the configuration, got ${shown}${rest}`);
}

/** A GPT's folder, opened and checked: its configuration, its tokenizer, and its parameters one by one. */
export interface OpenedGpt {
  readonly config: GPTConfig;
  /** Null where the folder has no tokenizer, or none that can be read yet (then `tokenizerProblem` says why). */
  readonly tokenizer: Tokenizer | null;
  readonly tokenizerProblem: FerroError | null;
  /** Names and shapes of the model's parameters (without biases where the model has none). */
  readonly shapes: ReadonlyMap<string, readonly number[]>;
  /** One parameter's values, f32 in row-major order; a copy. */
  read(name: string): Promise<Float32Array>;
  close(): Promise<void>;
}

/** Causal masks that old GPT-2 files carry; they are not parameters. */
const MASK_BUFFER = /^(?:transformer\.)?h\.\d+\.attn\.(?:bias|masked_bias)$/;
const HEAD = 'lm_head.weight';
const TOKENS = 'transformer.wte.weight';

/** The file's tensors under our names: masks left out, a missing `transformer.` (files of the bare GPT2Model) added. */
function canonicalNames(weights: WeightFiles): Map<string, string> {
  const names = new Map<string, string>();
  const prefixed = [...weights.names()].some((name) => name.startsWith('transformer.'));
  for (const name of weights.names()) {
    if (MASK_BUFFER.test(name)) continue;
    names.set(prefixed || name === HEAD ? name : `transformer.${name}`, name);
  }
  return names;
}

/** Compares what the file has with what the configuration asks for. @throws INVALID_CHECKPOINT listing every difference */
function checkTensors(label: string, shapes: ReadonlyMap<string, number[]>, entries: ReadonlyMap<string, TensorEntry>): void {
  const problems: string[] = [];
  for (const [name, shape] of shapes) {
    const entry = entries.get(name);
    if (entry === undefined) problems.push(`missing ${name}`);
    else if (entry.shape.join() !== shape.join()) problems.push(`${name} [${entry.shape.join(', ')}], not [${shape.join(', ')}]`);
  }
  for (const name of entries.keys()) if (!shapes.has(name) && name !== HEAD) problems.push(`unexpected ${name}`);
  if (problems.length > 0) throw mismatch(label, problems);
}

/**
 * Opens a folder in GPT-2's layout (ours or anyone's) and checks everything that can be checked without reading all the weights.
 * @throws FILE_NOT_FOUND without config.json or weights; INVALID_CHECKPOINT (missing, unexpected and wrong tensors listed together; a truncated file);
 *   NOT_BUILT for another architecture; INVALID_TOKENIZER; VOCABULARY_MISMATCH; ABORTED
 */
export async function openGpt(folder: ReadableFolder, options: OpenOptions = {}): Promise<OpenedGpt> {
  const config = await readConfig(folder, options);
  const tokenizer = await readTokenizer(folder, config.vocabSize, options);
  const weights = await openWeights(folder, options);
  try {
    const fileNames = canonicalNames(weights);
    const entries = new Map(Array.from(fileNames, ([name, stored]) => [name, weights.file(stored).entry(stored)]));
    const shapes = gptTensorShapes(config);
    checkTensors(folder.label, shapes, entries);
    const read = (name: string): Promise<Float32Array> => {
      const stored = fileNames.get(name);
      if (stored === undefined) throw new FerroError('INVALID_CHECKPOINT', `${folder.label}: must have the tensor ${name}, got none`);
      return weights.file(stored).float32(stored);
    };
    if (entries.has(HEAD)) await requireTiedHead(folder.label, read);
    if (!config.bias) {
      for (const name of [...shapes.keys()].filter((key) => key.endsWith('.bias'))) {
        if ((await read(name)).some((value) => value !== 0)) {
          throw new FerroError('INVALID_CHECKPOINT', `${folder.label}: with "bias": false every bias must be zero, got others in ${name}`);
        }
        shapes.delete(name);
      }
    }
    return { config, ...tokenizer, shapes, read, close: () => weights.close() };
  } catch (error) {
    await weights.close();
    throw error;
  }
}

async function readConfig(folder: ReadableFolder, options: OpenOptions): Promise<GPTConfig> {
  try {
    const text = await readFolderText(folder, 'config.json', options);
    if (text === null) throw new FerroError('FILE_NOT_FOUND', `${folder.label}: a model folder must have config.json, got none`);
    return gptConfigFromJson(`${folder.label}/config.json`, text);
  } catch (error) {
    throw checkpointError(error);
  }
}

/** A head in the file must be the token table itself: this model has no other. */
async function requireTiedHead(label: string, read: (name: string) => Promise<Float32Array>): Promise<void> {
  const [head, tokens] = [await read(HEAD), await read(TOKENS)];
  if (head.length === tokens.length && head.every((value, i) => value === tokens[i])) return;
  throw new FerroError('NOT_BUILT', `${label}: a head of its own cannot be loaded so far, got an ${HEAD} that differs from ${TOKENS}`);
}
