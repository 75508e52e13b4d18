// What training an adapter costs beside full fine-tuning, read off the compiled programs of config M without running them: memory and arithmetic are planned to the byte.
import { describe, expect, it } from 'vitest';
import { input, Variable } from '../graph';
import { gradientProgram, LoraBranch, loraLayers, matchPaths, nameModules, type Quantization, quantizeModule } from '../nn';
import { type CausalLM, causalLoss, createModel, estimate, resolveModelConfig } from './index';

/** As `ferroformer bench` has it: 16 windows of 256 tokens. */
const CONFIG = resolveModelConfig({ nLayer: 6, nHead: 6, nEmbd: 384, blockSize: 256, vocabSize: 65 }, 'test');
const BATCH = 16;

/** Bytes and operations of a step that trains branches of rank 8. */
function adapterCost(targets: readonly string[], quantization?: Quantization) {
  const module = createModel(CONFIG);
  const weights = quantization === undefined ? undefined : quantizeModule(module, quantization);
  const variables = nameModules(module);
  expect(weights?.size ?? 0).toBe(quantization === undefined ? 0 : 1 + 4 * 6);
  const base = [...variables.values()].reduce((sum, { bytes }) => sum + bytes, 0);
  const layers = loraLayers(module);
  const trained: Variable[] = [];
  for (const path of matchPaths('test', 'targets', targets, [...layers.keys()])) {
    const layer = layers.get(path)!;
    layer.lora = new LoraBranch(layer, path, 'default', { rank: 8, alpha: 8, dropout: 0, useRslora: false });
    trained.push(layer.lora.a, layer.lora.b);
  }
  const scratch = (shape: readonly number[]) => new Variable({ name: 'scratch', shape, trainable: false });
  const gradients = new Map(trained.map((parameter) => [parameter.name, { parameter, gradient: scratch(parameter.shape) }]));
  module.train();
  const tokens = (name: string) => input(name, [BATCH, CONFIG.blockSize], 'i32');
  const batch = { inputIds: tokens('inputIds'), labels: tokens('labels') };
  const { plan } = gradientProgram<CausalLM>(module, causalLoss, batch, { gradients, count: scratch([1]), guard: scratch([1]) }, 'first');
  const adapter = trained.reduce((sum, { bytes }) => sum + 4 * bytes, 0); // itself, its gradient, two moments
  return { bytes: base + adapter + plan.arenaBytes + plan.ioBytes, flops: plan.flops };
}

describe('an adapter of rank 8 at config M', () => {
  const full = estimate(CONFIG, { batchSize: BATCH });
  const cases: [string, readonly string[], Quantization | undefined][] = [
    ['on c_attn', ['c_attn'], undefined],
    ['on all layers', ['c_attn', 'c_proj', 'c_fc'], undefined],
    ['on c_attn, the base in bf16', ['c_attn'], 'bf16'],
    ['on c_attn, the base in int8', ['c_attn'], 'int8'],
  ];
  it.each(cases)('%s takes at most 0.6 of the memory and 0.75 of the arithmetic of full fine-tuning', (_name, targets, quantization) => {
    const { bytes, flops } = adapterCost(targets, quantization);
    expect(bytes / full.memory.peak).toBeLessThanOrEqual(0.6);
    expect(bytes / full.memory.peak).toBeGreaterThan(0.4); // a plan that forgot something
    expect(flops / full.flops.perStep).toBeLessThanOrEqual(0.75);
  });
});
