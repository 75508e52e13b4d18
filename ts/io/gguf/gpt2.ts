// GPT-2 as llama.cpp has it: names, metadata, and matrices turned from [in, out] to [out, in].
import { FerroError } from '../../errors';
import type { GPTConfig } from '../../models';
import type { GgufValue } from './container';
import { transposed } from './layouts';
import { f32, type GgufSource, type Part, type Parts, required, u32 } from './parts';

/** The tensors are those of GPT-2 with all biases (zeros where the model has none); without a head of its own llama.cpp takes the token table. */
export function gpt2Parts({ config, read }: GgufSource<GPTConfig>): Parts {
  const { nLayer, nHead, nEmbd: C, nInner, blockSize, vocabSize } = config;
  if (!config.activationFunction.startsWith('gelu_')) {
    throw new FerroError(
      'NOT_SUPPORTED',
      `export: "activationFunction" must be gelu_new or gelu_pytorch_tanh, which llama.cpp's GPT-2 computes, got ${config.activationFunction}`,
    );
  }
  if (config.positionEmbedding === 'rotary') {
    throw new FerroError(
      'NOT_SUPPORTED',
      'export: "positionEmbedding" must be learned or sinusoidal, which llama.cpp\'s GPT-2 computes, got rotary (modelType llama has rotary positions there)',
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
