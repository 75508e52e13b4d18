// A model as GGUF: its configuration as metadata and its parameters under llama.cpp's names and in its layouts, as convert_hf_to_gguf writes them.
// Nothing about the container. Sources: llama.cpp's converter and the loaders of its architectures "gpt2" and "llama".
import type { ModelConfig } from '../../models/create';
import type { LazyFile } from '../files';
import { type GgufTensor, type GgufValue, writeGguf } from './container';
import { GGUF_TYPES, type GgufType } from './encodings';
import { gpt2Parts } from './gpt2';
import { llamaParts } from './llama';
import { type GgufSource, text, u32 } from './parts';
import { tokenizerMetadata } from './tokenizer';

/** The names of what the weights can be written as; "float16" is what most GGUF files have. */
export type GgufDtype = 'float32' | 'float16' | 'bfloat16' | 'q8_0';

/** How a model is written. */
export interface GgufOptions {
  /** Type of the matrices; vectors and GPT-2's position table stay F32, as llama.cpp wants them. Default 'float16'. */
  readonly dtype?: GgufDtype;
  /** general.name. */
  readonly name?: string;
}

const TYPES: Readonly<Record<GgufDtype, { type: GgufType; fileType: number }>> = {
  float32: { type: 'F32', fileType: 0 },
  float16: { type: 'F16', fileType: 1 },
  bfloat16: { type: 'BF16', fileType: 32 },
  q8_0: { type: 'Q8_0', fileType: 7 },
};

/**
 * A model as a GGUF file, to be streamed: one tensor at a time is in memory.
 * @throws NOT_SUPPORTED for a tokenizer that llama.cpp does not have; while streaming NON_FINITE_WEIGHTS, INVALID_OPTION (beyond float16), what `read` throws
 */
export function modelToGguf(source: GgufSource<ModelConfig>, options: GgufOptions = {}): LazyFile {
  const { type, fileType } = TYPES[options.dtype ?? 'float16'];
  const { config, tokenizer } = source;
  const architecture = config.modelType === 'llama' ? llamaParts({ ...source, config }) : gpt2Parts({ ...source, config });
  const metadata = new Map<string, GgufValue>([
    ['general.architecture', text(config.modelType)],
    ['general.type', text('model')],
    ...(options.name === undefined ? [] : ([['general.name', text(options.name)]] as const)),
    ...Array.from(architecture.metadata, ([key, value]) => [`${config.modelType}.${key}`, value] as const),
    [`${config.modelType}.vocab_size`, u32(config.vocabSize)],
    ['general.file_type', u32(fileType)],
    ['general.quantization_version', u32(2)],
    ...(tokenizer === null
      ? ([['tokenizer.ggml.model', text('none')]] as const)
      : tokenizerMetadata(tokenizer.toFiles(), tokenizer, config.vocabSize)),
  ]);
  const tensors = architecture.parts.map(({ name, shape, exact, read }): GgufTensor => {
    if (exact === true || shape.length < 2) return { name, shape, type: 'F32', read };
    // A row that is not whole blocks is written as F16, as llama.cpp's converter does.
    return { name, shape, type: shape[shape.length - 1] % GGUF_TYPES[type].blockElements === 0 ? type : 'F16', read };
  });
  return writeGguf({ metadata, tensors });
}
