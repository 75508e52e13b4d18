// Llama's architecture in Hugging Face's layout: the names and shapes of its tensors. config.json is in llamaConfigFile.ts; opening and writing are
// modelFolder.ts's.
import type { LlamaConfig } from '../models';
import type { Architecture, TensorLayout } from './architecture';
import { llamaConfigFromFields, llamaConfigToJson, mistralConfigFromFields } from './llamaConfigFile';

const TOKENS = 'model.embed_tokens.weight';
const HEAD = 'lm_head.weight';
/** Tables of old files that follow from the configuration; they are not parameters. */
const TABLE = /(?:^|\.)rotary_emb\.inv_freq$/;

/** Every tensor of a Llama folder by name, with its shape; weights are [out, in]. A tied head is not among them. */
export function llamaTensorShapes(config: LlamaConfig): Map<string, number[]> {
  const { nLayer, nHead, nKvHead, headDim, nEmbd: C, nInner, vocabSize } = config;
  const shapes = new Map<string, number[]>([[TOKENS, [vocabSize, C]]]);
  const linear = (name: string, outputs: number, inputs: number, bias: boolean) => {
    shapes.set(`${name}.weight`, [outputs, inputs]);
    if (bias) shapes.set(`${name}.bias`, [outputs]);
  };
  for (let i = 0; i < nLayer; i++) {
    const block = `model.layers.${i}`;
    for (const [part, heads] of Object.entries({ q_proj: nHead, k_proj: nKvHead, v_proj: nKvHead })) {
      linear(`${block}.self_attn.${part}`, heads * headDim, C, config.attentionBias);
    }
    linear(`${block}.self_attn.o_proj`, C, nHead * headDim, config.attentionBias);
    linear(`${block}.mlp.gate_proj`, nInner, C, config.mlpBias);
    linear(`${block}.mlp.up_proj`, nInner, C, config.mlpBias);
    linear(`${block}.mlp.down_proj`, C, nInner, config.mlpBias);
    shapes.set(`${block}.input_layernorm.weight`, [C]);
    shapes.set(`${block}.post_attention_layernorm.weight`, [C]);
  }
  shapes.set('model.norm.weight', [C]);
  if (!config.tieWordEmbeddings) shapes.set(HEAD, [vocabSize, C]);
  return shapes;
}

const NONE: ReadonlySet<string> = new Set();

function layout(config: LlamaConfig): TensorLayout {
  return { shapes: llamaTensorShapes(config), zeros: NONE };
}

/** Llama, TinyLlama, SmolLM and their like. */
export const LLAMA: Architecture<LlamaConfig> = {
  modelType: 'llama',
  tokenTable: TOKENS,
  head: HEAD,
  readConfig: llamaConfigFromFields,
  configToJson: llamaConfigToJson,
  prefix: 'model.',
  notParameters: TABLE,
  layout,
};

/** Mistral without a sliding window: a Llama by another name. It is written as a Llama, which computes the same. */
export const MISTRAL: Architecture<LlamaConfig> = { ...LLAMA, modelType: 'mistral', readConfig: mistralConfigFromFields };
