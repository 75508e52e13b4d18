// GPT-2's architecture in Hugging Face's layout: the names and shapes of its tensors. config.json is in gptConfigFile.ts; opening and writing are
// modelFolder.ts's.
import type { GPTConfig } from '../models/config';
import type { Architecture, TensorLayout } from './architecture';
import { gptConfigFromFields, gptConfigToJson } from './gptConfigFile';

const TOKENS = 'transformer.wte.weight';
const HEAD = 'lm_head.weight';
/** Causal masks that old GPT-2 files carry; they are not parameters. */
const MASK_BUFFER = /^(?:transformer\.)?h\.\d+\.attn\.(?:bias|masked_bias)$/;

/**
 * Every tensor of a GPT-2 folder by name, with its shape; linear weights are [in, out]. A tied head is not among them.
 * Biases are listed whether or not the model has them (without, the folder holds zeros).
 */
export function gptTensorShapes(config: GPTConfig): Map<string, number[]> {
  const { nLayer, nEmbd: C, nInner, blockSize, vocabSize } = config;
  const shapes = new Map<string, number[]>([[TOKENS, [vocabSize, C]]]);
  if (config.positionEmbedding !== 'rotary') shapes.set('transformer.wpe.weight', [blockSize, C]);
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
    linear(`${block}.mlp.c_fc`, C, nInner);
    linear(`${block}.mlp.c_proj`, nInner, C);
  }
  norm('transformer.ln_f');
  if (!config.tieWordEmbeddings) shapes.set(HEAD, [vocabSize, C]);
  return shapes;
}

function layout(config: GPTConfig): TensorLayout {
  const shapes = gptTensorShapes(config);
  return { shapes, zeros: new Set(config.bias ? [] : [...shapes.keys()].filter((name) => name.endsWith('.bias'))) };
}

/** GPT-2, DistilGPT-2, DialoGPT and their like. */
export const GPT2: Architecture<GPTConfig> = {
  modelType: 'gpt2',
  tokenTable: TOKENS,
  head: HEAD,
  readConfig: gptConfigFromFields,
  configToJson: gptConfigToJson,
  isOwn: ({ positionEmbedding }) => positionEmbedding === 'rotary',
  prefix: 'transformer.',
  notParameters: MASK_BUFFER,
  layout,
};
