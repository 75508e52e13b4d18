// A model as GGUF: its configuration as metadata and its parameters under llama.cpp's names and in its layouts, as convert_hf_to_gguf writes them.
// Nothing about the container. Sources: llama.cpp's converter and the loaders of its architectures "gpt2" and "llama".
import { FerroError } from '../../errors';
import type { ModelConfig } from '../../models/create';
import type { Tokenizer } from '../../tokenizers';
import type { LazyFile } from '../files';
import { type GgufTensor, type GgufValue, writeGguf } from './container';
import { GGUF_TYPES, type GgufType } from './encodings';
import { transposed } from './layouts';
import { tokenizerMetadata } from './tokenizer';

/** The names of what the weights can be written as; "float16" is what most GGUF files have. */
export type GgufDtype = 'float32' | 'float16' | 'bfloat16' | 'q8_0';

/** A model to write: what a folder that was opened, or a model in an engine, can give. */
export interface GgufSource {
  readonly config: ModelConfig;
  readonly tokenizer: Tokenizer | null;
  /** One parameter's values under this library's name, row-major; null for a bias that the model does not have. */
  read(name: string): Promise<Float32Array | null>;
}

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

const u32 = (value: number): GgufValue => ({ type: 'u32', value });
const f32 = (value: number): GgufValue => ({ type: 'f32', value });
const text = (value: string): GgufValue => ({ type: 'string', value });

/** A tensor before its type is chosen. */
interface Part {
  name: string;
  shape: readonly number[];
  /** Always F32. */
  exact?: boolean;
  read(): Promise<Float32Array>;
}

/**
 * A model as a GGUF file, to be streamed: one tensor at a time is in memory.
 * @throws NOT_SUPPORTED for a tokenizer that llama.cpp does not have; while streaming NON_FINITE_WEIGHTS, INVALID_OPTION (beyond float16), what `read` throws
 */
export function modelToGguf(source: GgufSource, options: GgufOptions = {}): LazyFile {
  const { type, fileType } = TYPES[options.dtype ?? 'float16'];
  const { config, tokenizer } = source;
  const architecture = gpt2(source);
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

/** The tensors are those of GPT-2 with all biases (zeros where the model has none); without a head of its own llama.cpp takes the token table. */
function gpt2({ config, read }: GgufSource): { metadata: Map<string, GgufValue>; parts: Part[] } {
  const { nLayer, nHead, nEmbd: C, nInner, blockSize, vocabSize } = config;
  if (!config.activationFunction.startsWith('gelu_')) {
    throw new FerroError(
      'NOT_SUPPORTED',
      `export: "activationFunction" must be gelu_new or gelu_pytorch_tanh, which llama.cpp's GPT-2 computes, got ${config.activationFunction}`,
    );
  }
  const parts: Part[] = [];
  const vector = (name: string, from: string, size: number) =>
    parts.push({ name, shape: [size], read: async () => (await read(from)) ?? new Float32Array(size) });
  const norm = (name: string, from: string) => {
    vector(`${name}.weight`, `${from}.weight`, C);
    vector(`${name}.bias`, `${from}.bias`, C);
  };
  // [in, out] here, [out, in] there.
  const linear = (name: string, from: string, inputs: number, outputs: number) => {
    const matrix = async () => transposed(await required(read, `${from}.weight`), inputs, outputs);
    parts.push({ name: `${name}.weight`, shape: [outputs, inputs], read: matrix });
    vector(`${name}.bias`, `${from}.bias`, outputs);
  };
  const table = (name: string, from: string, rows: number, exact: boolean) =>
    parts.push({ name, shape: [rows, C], exact, read: () => required(read, from) });
  table('token_embd.weight', 'transformer.wte.weight', vocabSize, false);
  table('position_embd.weight', 'transformer.wpe.weight', blockSize, true);
  for (let i = 0; i < nLayer; i++) {
    const [to, from] = [`blk.${i}`, `transformer.h.${i}`];
    norm(`${to}.attn_norm`, `${from}.ln_1`);
    linear(`${to}.attn_qkv`, `${from}.attn.c_attn`, C, 3 * C);
    linear(`${to}.attn_output`, `${from}.attn.c_proj`, C, C);
    norm(`${to}.ffn_norm`, `${from}.ln_2`);
    linear(`${to}.ffn_up`, `${from}.mlp.c_fc`, C, nInner);
    linear(`${to}.ffn_down`, `${from}.mlp.c_proj`, nInner, C);
  }
  norm('output_norm', 'transformer.ln_f');
  if (!config.tieWordEmbeddings) table('output.weight', 'lm_head.weight', vocabSize, false);
  const metadata = new Map<string, GgufValue>([
    ['block_count', u32(nLayer)],
    ['context_length', u32(blockSize)],
    ['embedding_length', u32(C)],
    ['feed_forward_length', u32(nInner)],
    ['attention.head_count', u32(nHead)],
    ['attention.layer_norm_epsilon', f32(config.layerNormEpsilon)],
  ]);
  return { metadata, parts };
}

async function required(read: GgufSource['read'], name: string): Promise<Float32Array> {
  const values = await read(name);
  if (values === null) throw new FerroError('INVALID_CHECKPOINT', `export: the model must have ${name}, got none`);
  return values;
}
