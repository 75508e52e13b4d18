// A saved model in another form, from folder to folder or file, without an engine: a clean Hugging Face folder, or a GGUF file for llama.cpp.
import { adapterMerger } from '../adapters';
import { FerroError } from '../errors';
import {
  type GgufDtype,
  modelToGguf,
  type OpenedAdapter,
  type OpenedModel,
  openAdapter,
  openPretrained,
  type ParameterValues,
  pretrainedToFiles,
  type SaveFormat,
  sizeOf,
} from '../io';
import { openModelFolder, writeFolder, writeGgufFile } from '../io/node';
import { createModel, type ModelConfig } from '../models';
import type { Quantization } from '../nn';
import { EXPORT_OPTIONS, readOptions } from '../options';

/** How `exportModel` writes. */
export interface ExportOptions {
  /** 'hf': a folder that transformers reads; 'gguf': one file. Default 'hf'. */
  format?: 'hf' | 'gguf';
  /** Type of the weights; 'q8_0' for gguf alone. Default 'float32' for hf, 'float16' for gguf. */
  dtype?: GgufDtype;
  /** 'int8': weights as int8 blocks, for this library alone; 'bf16': weights of linear layers and tables as BF16 (format hf). Default: none, also for a source that has them. */
  quantize?: Quantization;
  /** Folder of an adapter (or of a run that trained one) that is added to the weights. */
  mergeAdapter?: string;
  /** Largest weight file of a folder: bytes, or '200MB'. Default: one file. */
  maxShardSize?: string | number;
  signal?: AbortSignal;
}

/** What was written. */
export interface Exported {
  parameters: number;
  /** Bytes of the file, or of the folder's files. */
  bytes: number;
}

/**
 * Writes the model of a folder (a run, a checkpoint or a model) in another form, whole or not at all; one tensor at a time is in memory. Node only.
 * @throws FILE_NOT_FOUND, INVALID_CHECKPOINT, NO_CHECKPOINT; ADAPTER_MISMATCH; NOT_SUPPORTED for a model or tokenizer that llama.cpp does not have; INVALID_OPTION, UNKNOWN_OPTION, also for a dtype
 *   that the format or the weights do not allow; NON_FINITE_WEIGHTS; FILE_ERROR; ABORTED
 */
export async function exportModel(source: string, path: string, options: ExportOptions = {}): Promise<Exported> {
  const {
    format = 'hf',
    dtype,
    maxShardSize,
    quantize,
    mergeAdapter,
    signal,
  } = readOptions('export', options, EXPORT_OPTIONS, { defaults: false });
  if (format === 'gguf' && quantize !== undefined) {
    throw new FerroError('INVALID_OPTION', `export: "quantize" is for format hf (gguf has dtype q8_0), got ${JSON.stringify(quantize)}`);
  }
  if (format === 'gguf' && maxShardSize !== undefined) {
    throw new FerroError('INVALID_OPTION', `export: "maxShardSize" is for format hf, got ${JSON.stringify(maxShardSize)} with gguf`);
  }
  const opened = await openPretrained(await openModelFolder(source, { signal }), { signal });
  let adapter: OpenedAdapter | undefined;
  try {
    if (mergeAdapter !== undefined) adapter = await openAdapter(await openModelFolder(mergeAdapter, { signal }));
    const merged = adapter === undefined ? opened : withAdapter(opened, adapter);
    // What has a tokenizer that cannot be used here must not lose it in silence.
    if (opened.tokenizer === null && opened.tokenizerProblem !== null) throw opened.tokenizerProblem;
    const parameters = [...opened.shapes.values()].reduce((sum, shape) => sum + elementsOf(shape), 0);
    const bytes =
      format === 'hf'
        ? await toFolder(merged, path, { dtype: dtype as SaveFormat['dtype'], maxShardSize, quantize }, signal)
        : await toGguf(merged, path, dtype, signal);
    return { parameters, bytes };
  } finally {
    await adapter?.close();
    await opened.close();
  }
}

/** What is written. */
type Source = Pick<OpenedModel<ModelConfig>, 'config' | 'tokenizer' | 'shapes' | 'read'>;

function withAdapter({ config, tokenizer, shapes, ...opened }: OpenedModel<ModelConfig>, adapter: OpenedAdapter): Source {
  const merge = adapterMerger(createModel(config), adapter);
  return { config, tokenizer, shapes, read: async (name) => merge(name, await opened.read(name)) };
}

const elementsOf = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);

async function toGguf(opened: Source, path: string, dtype: GgufDtype | undefined, signal: AbortSignal | undefined): Promise<number> {
  const read = async (name: string) => (opened.shapes.has(name) ? opened.read(name) : null);
  const file = modelToGguf({ config: opened.config, tokenizer: opened.tokenizer, read }, { dtype, name: nameOf(path) });
  await writeGgufFile(path, file, { signal });
  return file.sizeBytes;
}

/** The last part of a path without its ending. */
function nameOf(path: string): string {
  const last = path.split(/[/\\]/).at(-1) ?? path;
  return last.replace(/\.gguf$/, '');
}

async function toFolder(opened: Source, path: string, format: SaveFormat, signal: AbortSignal | undefined): Promise<number> {
  const valuesOf = (name: string, shape: readonly number[]): ParameterValues => ({
    elements: elementsOf(shape),
    async *pieces() {
      yield await opened.read(name);
    },
  });
  const parameters = new Map(Array.from(opened.shapes, ([name, shape]) => [name, valuesOf(name, shape)]));
  const files = pretrainedToFiles({ config: opened.config, parameters, tokenizer: opened.tokenizer }, format);
  await writeFolder(path, files, { signal });
  return [...files.values()].reduce((sum, data) => sum + sizeOf(data), 0);
}
