// Llama as llama.cpp has it: names, metadata, and query and key rows in the order of its rotary positions, which turn neighbours.
import { exp, ln } from '../../math';
import type { LlamaConfig } from '../../models';
import type { GgufValue } from './container';
import { interleaveHalves } from './layouts';
import { f32, type GgufSource, type Part, type Parts, required, text, u32 } from './parts';

/** Weights lie [out, in] on both sides. Without a head of its own llama.cpp takes the token table. */
export function llamaParts({ config, read }: GgufSource<LlamaConfig>): Parts {
  const { nLayer, nHead, nKvHead, headDim, nEmbd: C, nInner, vocabSize } = config;
  const parts: Part[] = [];
  const add = (name: string, from: string, shape: readonly number[]) => parts.push({ name, shape, read: () => required(read, from) });
  const linear = (name: string, from: string, outputs: number, inputs: number, bias: boolean) => {
    add(`${name}.weight`, `${from}.weight`, [outputs, inputs]);
    if (bias) add(`${name}.bias`, `${from}.bias`, [outputs]);
  };
  const turned = (name: string, from: string, heads: number) => {
    const tensor = (part: string, shape: readonly number[], columns: number) =>
      parts.push({
        name: `${name}.${part}`,
        shape,
        read: async () => interleaveHalves(await required(read, `${from}.${part}`), heads, headDim, columns),
      });
    tensor('weight', [heads * headDim, C], C);
    if (config.attentionBias) tensor('bias', [heads * headDim], 1);
  };
  const factors = ropeFactors(config);
  if (factors !== null) parts.push({ name: 'rope_freqs.weight', shape: [factors.length], read: async () => factors });
  add('token_embd.weight', 'model.embed_tokens.weight', [vocabSize, C]);
  for (let i = 0; i < nLayer; i++) {
    const [to, from] = [`blk.${i}`, `model.layers.${i}`];
    turned(`${to}.attn_q`, `${from}.self_attn.q_proj`, nHead);
    turned(`${to}.attn_k`, `${from}.self_attn.k_proj`, nKvHead);
    linear(`${to}.attn_v`, `${from}.self_attn.v_proj`, nKvHead * headDim, C, config.attentionBias);
    linear(`${to}.attn_output`, `${from}.self_attn.o_proj`, C, nHead * headDim, config.attentionBias);
    linear(`${to}.ffn_gate`, `${from}.mlp.gate_proj`, nInner, C, config.mlpBias);
    linear(`${to}.ffn_up`, `${from}.mlp.up_proj`, nInner, C, config.mlpBias);
    linear(`${to}.ffn_down`, `${from}.mlp.down_proj`, C, nInner, config.mlpBias);
    add(`${to}.attn_norm.weight`, `${from}.input_layernorm.weight`, [C]);
    add(`${to}.ffn_norm.weight`, `${from}.post_attention_layernorm.weight`, [C]);
  }
  add('output_norm.weight', 'model.norm.weight', [C]);
  if (!config.tieWordEmbeddings) add('output.weight', 'lm_head.weight', [vocabSize, C]);
  return { metadata: metadataOf(config), parts };
}

function metadataOf(config: LlamaConfig): Map<string, GgufValue> {
  const { ropeScaling } = config;
  return new Map<string, GgufValue>([
    ['block_count', u32(config.nLayer)],
    ['context_length', u32(config.blockSize)],
    ['embedding_length', u32(config.nEmbd)],
    ['feed_forward_length', u32(config.nInner)],
    ['attention.head_count', u32(config.nHead)],
    ['attention.head_count_kv', u32(config.nKvHead)],
    ['attention.key_length', u32(config.headDim)],
    ['attention.value_length', u32(config.headDim)],
    ['attention.layer_norm_rms_epsilon', f32(config.rmsNormEps)],
    ['rope.dimension_count', u32(config.headDim)],
    ['rope.freq_base', f32(config.ropeTheta)],
    ...(ropeScaling?.kind === 'linear'
      ? ([
          ['rope.scaling.type', text('linear')],
          ['rope.scaling.factor', f32(ropeScaling.factor)],
        ] as const)
      : []),
  ]);
}

/** What llama.cpp divides each pair's frequency by, for Llama 3.1's stretched positions; null for others. The formula is transformers'. */
function ropeFactors({ ropeScaling: scaling, ropeTheta, headDim }: LlamaConfig): Float32Array | null {
  if (scaling?.kind !== 'llama3') return null;
  const { factor, lowFrequencyFactor: low, highFrequencyFactor: high, originalPositions } = scaling;
  return Float32Array.from({ length: headDim / 2 }, (_, i) => {
    const wavelength = 2 * Math.PI * exp(((2 * i) / headDim) * ln(ropeTheta));
    if (wavelength < originalPositions / high) return 1;
    if (wavelength > originalPositions / low) return factor;
    const smooth = (originalPositions / wavelength - low) / (high - low);
    return 1 / ((1 - smooth) / factor + smooth);
  });
}
