// Adapters as folders in PEFT's layout, and on bases in fewer bits.
import { readFile, rm, writeFile } from 'node:fs/promises';
import { type Adapter, exportModel, GPT, Trainer } from 'ferroformer';
import { describe, expect, test } from 'vitest';
import { adapterFiles, BACKWARDS, create, createTrained, failure, IDS, logits, options, worst } from '../support/adapters';
import { readTensors, writeTensors } from '../support/safetensors';
import { hashParameters, openEngine, scratch, sharedEngine } from '../support/training';

type Tensors = Awaited<ReturnType<typeof readTensors>>;

describe('folders', () => {
  test('an adapter that was saved and loaded gives the same bits; its configuration is PEFT’s', async () => {
    const folder = await scratch();
    const engine = await sharedEngine();
    const model = await create(engine);
    await model.save(`${folder}/base`);
    const base = await GPT.fromPretrained(engine, `${folder}/base`);
    await base.addAdapter({ rank: 4, alpha: 6, dropout: 0.1, targetModules: ['h.*.mlp.c_fc', 'attn.c_proj'] });
    await new Trainer(base, options({ maxSteps: 5 })).train();
    await base.saveAdapter(`${folder}/adapter`);
    const config = JSON.parse(await readFile(`${folder}/adapter/adapter_config.json`, 'utf8'));
    expect(config).toMatchObject({
      peft_type: 'LORA',
      task_type: 'CAUSAL_LM',
      r: 4,
      lora_alpha: 6,
      lora_dropout: 0.1,
      fan_in_fan_out: true,
      bias: 'none',
      base_model_name_or_path: `${folder}/base`,
      modules_to_save: null,
    });
    // "c_proj" alone would mean the feed-forward layers too.
    expect(config.target_modules).toEqual([0, 1].flatMap((i) => [`transformer.h.${i}.attn.c_proj`, `transformer.h.${i}.mlp.c_fc`]));
    const again = await GPT.fromPretrained(engine, `${folder}/base`);
    const adapter = await again.loadAdapter(`${folder}/adapter`, { name: 'mine' });
    expect(again.activeAdapter).toBe('mine');
    expect(adapter.config).toMatchObject({ rank: 4, alpha: 6, dropout: 0.1 });
    expect(await logits(again)).toEqual(await logits(base));
  });

  test('the base is named by the folder of its model, also where it came from a run', async () => {
    const folder = await scratch();
    const engine = await sharedEngine();
    const trainer = new Trainer(await create(engine), options({ maxSteps: 2, outputDir: `${folder}/run` }));
    await trainer.train();
    await trainer.close();
    const base = async (source: string) => {
      const model = await GPT.fromPretrained(engine, source);
      return (await model.addAdapter()).config.baseModel;
    };
    expect(await base(`${folder}/run`)).toBe(`${folder}/run/final`);
    expect(await base(`${folder}/run/`)).toBe(`${folder}/run/final`);
    expect(await base(`${folder}/run/final`)).toBe(`${folder}/run/final`);
    expect(await base(`${folder}/run/checkpoint-2`)).toBe(`${folder}/run/checkpoint-2`);
  });

  test('a run goes on with the adapter read from its folder as with the one it began with, to the last bit', async () => {
    const folder = await scratch();
    const engine = await sharedEngine();
    const run = async (outputDir: string, maxSteps: number, more: object, adapt: (model: GPT) => Promise<Adapter>) => {
      const model = await create(engine, { modelType: 'llama' });
      const adapter = await adapt(model);
      const trainer = new Trainer(model, options({ outputDir, maxSteps, lrSchedulerType: 'constant', maxGradNorm: 0.1, ...more }));
      await trainer.train();
      await trainer.close();
      return { hash: await hashParameters(adapter), names: [...adapter.parameters.keys()] };
    };
    const choice = { rank: 4, targetModules: ['down_proj', 'self_attn.*'], modulesToSave: ['input_layernorm', 'model.norm'] };
    const whole = await run(`${folder}/a`, 6, {}, (model) => model.addAdapter(choice));
    await run(`${folder}/b`, 3, {}, (model) => model.addAdapter(choice));
    expect(await run(`${folder}/b`, 6, { resume: true }, (model) => model.loadAdapter(`${folder}/b`))).toEqual(whole);
  });

  test('ranks and alphas of single layers are read and written', async () => {
    const engine = await sharedEngine();
    const model = await create(engine);
    await model.addAdapter({ rank: 4, targetModules: 'all-linear' });
    await new Trainer(model, options({ maxSteps: 3 })).train();
    const mlp = { alpha_pattern: { 'mlp.c_fc': 12 } };
    const other = await create(engine);
    const adapter = await other.loadAdapter(await adapterFiles(model, (config) => ({ ...config, ...mlp })));
    expect(adapter.branches.get('transformer.h.1.mlp.c_fc')!.branch.scale).toBe(3);
    expect(adapter.branches.get('transformer.h.1.mlp.c_proj')!.branch.scale).toBe(1);
    const config = JSON.parse(await (await other.adapterToFiles()).get('adapter_config.json')!.text());
    expect(config.alpha_pattern).toEqual({ 'transformer.h.0.mlp.c_fc': 12, 'transformer.h.1.mlp.c_fc': 12 });
  });

  test('an adapter for another base is refused with names and shapes; nothing is left of it', async () => {
    const engine = await openEngine();
    const model = await create(engine);
    await model.addAdapter({ rank: 4, modulesToSave: ['ln_f'] });
    const files = await adapterFiles(model);
    const wider = await create(engine, { nEmbd: 32, nLayer: 1 });
    const { regions } = await engine.info.bytes();
    const error = await failure(() => wider.loadAdapter(files));
    expect(error.code).toBe('ADAPTER_MISMATCH');
    expect(error.message).toContain('transformer.h.0.attn.c_attn.lora_A [4, 16], not [4, 32]');
    expect(error.message).toContain('transformer.h.0.attn.c_attn.lora_B [48, 4], not [96, 4]');
    expect(error.message).toContain('transformer.h.1.attn.c_attn [4,16], which is no linear layer of the model');
    expect(error.message).toContain('transformer.ln_f.weight [16], not [32]');
    expect(wider.adapters.size).toBe(0);
    expect((await engine.info.bytes()).regions).toBe(regions);
    const llama = await failure(async () => (await create(engine, { modelType: 'llama' })).loadAdapter(files));
    expect(llama.message).toContain('unexpected transformer.ln_f.weight [16]');
  });

  test('what is no plain LoRA is refused', async () => {
    const folder = await scratch();
    const engine = await sharedEngine();
    const model = await create(engine);
    await model.addAdapter();
    const other = await create(engine);
    const code = async (change: object) =>
      (await failure(async () => other.loadAdapter(await adapterFiles(model, (config) => ({ ...config, ...change }))))).code;
    expect(await code({ peft_type: 'IA3' })).toBe('NOT_SUPPORTED');
    expect(await code({ use_dora: true })).toBe('NOT_SUPPORTED');
    expect(await code({ bias: 'all' })).toBe('NOT_SUPPORTED');
    expect(await code({ init_lora_weights: 'pissa_niter_4' })).toBe('NOT_SUPPORTED');
    expect(await code({ alpha_pattern: { '(a+)+$': 3 } })).toBe('NOT_SUPPORTED');
    for (const alpha_pattern of ['x', 3, true, [4], { c_attn: '8' }]) expect(await code({ alpha_pattern })).toBe('NOT_SUPPORTED');
    expect(await code({ lora_dropout: 1 })).toBe('INVALID_CHECKPOINT');
    expect(await code({ r: -1 })).toBe('INVALID_CHECKPOINT');
    expect(await code({ init_lora_weights: 'lora_ga' })).toBe('NOT_SUPPORTED');
    expect(await code({ alora_invocation_tokens: [1, 2] })).toBe('NOT_SUPPORTED');
    expect(await code({ kasa_config: { beta: 0.1 } })).toBe('NOT_SUPPORTED');
    await writeFile(`${folder}/adapter_config.json`, '{"peft_type":"LORA"}');
    expect((await failure(() => other.loadAdapter(folder))).code).toBe('INVALID_CHECKPOINT');
    await writeFile(`${folder}/adapter_model.bin`, 'x');
    expect((await failure(() => other.loadAdapter(folder))).code).toBe('PICKLE_REFUSED');
    expect((await failure(() => other.loadAdapter(`${folder}/none`))).code).toBe('FILE_NOT_FOUND');
    expect((await failure(() => other.loadAdapter(folder, { named: 'x' } as object))).code).toBe('UNKNOWN_OPTION');
    expect((await failure(() => model.saveAdapter(`${folder}/none`, { names: 'x' } as object))).code).toBe('UNKNOWN_OPTION');
    expect((await failure(() => model.adapterToFiles({ signal: AbortSignal.abort() }))).code).toBe('ABORTED');
    expect(other.adapters.size).toBe(0);
  });

  test('a folder that says two things of one layer, or nothing, is refused, for loading and for merging', async () => {
    const folder = await scratch();
    const engine = await openEngine();
    const model = await create(engine);
    await model.save(`${folder}/base`);
    const adapter = await model.addAdapter({ rank: 2 });
    await model.saveAdapter(`${folder}/adapter`);
    const { regions } = await engine.info.bytes();
    const layer = 'transformer.h.0.attn.c_attn';
    await rm(`${folder}/adapter/complete.json`);
    const tensors = await readTensors(`${folder}/adapter/adapter_model.safetensors`);
    const refused = async (change: (tensors: Tensors) => void) => {
      const changed = new Map(tensors);
      change(changed);
      await writeFile(`${folder}/adapter/adapter_model.safetensors`, writeTensors(changed as Parameters<typeof writeTensors>[0]));
      const loading = await failure(() => model.loadAdapter(`${folder}/adapter`, { name: 'other' }));
      const merging = await failure(() => exportModel(`${folder}/base`, `${folder}/merged`, { mergeAdapter: `${folder}/adapter` }));
      expect([merging.code, merging.message]).toEqual([loading.code, loading.message]);
      return `${loading.code} ${loading.message}`;
    };
    const key = (name: string) => `base_model.model.${layer}.${name}`;
    const zeros = (shape: number[]) => ({ data: new Float32Array(shape.reduce((a, b) => a * b, 1)), shape });
    expect(await refused((all) => all.set(`${layer}.lora_A.weight`, zeros([3, 16])))).toContain('INVALID_CHECKPOINT');
    const whole = await refused((all) => {
      all.set(key('weight'), zeros([16, 48]));
      all.set(key('bias'), zeros([48]));
    });
    expect(whole).toContain(`ADAPTER_MISMATCH`);
    expect(whole).toContain(`${layer} both with a branch and whole`);
    const none = await refused((all) => {
      all.set(key('lora_A.weight'), zeros([0, 16]));
      all.set(key('lora_B.weight'), zeros([48, 0]));
    });
    expect(none).toMatch(/rank 0|INVALID_CHECKPOINT/);
    expect((await engine.info.bytes()).regions).toBe(regions);
    expect([...model.adapters.values()]).toEqual([adapter]);
  });
});

describe('on a frozen base in fewer bits', () => {
  test.each(['int8', 'bf16'] as const)(
    '%s: the adapter trains, is saved and loaded; the base keeps its bits and cannot be merged into',
    async (quantize) => {
      const engine = await sharedEngine();
      const plain = await createTrained(engine);
      const model = await plain.quantize(quantize);
      expect((await failure(() => engine.trainStep(model, { loss: model.loss }))).code).toBe('QUANTIZED_MODEL');
      const [hash, before] = [await hashParameters(model), await logits(model)];
      expect(worst(before, await logits(plain))).toBeLessThan(0.1);
      // A module that is trained whole is a copy in f32, whatever the base has.
      const adapter = await model.addAdapter({ rank: 4, targetModules: ['c_attn', 'c_proj'], modulesToSave: ['mlp.c_fc', 'ln_f'] });
      expect(worst(await logits(model), before)).toBeLessThan(quantize === 'int8' ? 2e-3 : 1e-6);
      const trainer = new Trainer(model, options({ dataset: BACKWARDS, maxSteps: 40, learningRate: 1e-2 }));
      const { loss: first } = await trainer.evaluate();
      await trainer.train();
      const { loss: last } = await trainer.evaluate();
      expect(last).toBeLessThan(first - 0.3);
      expect(await hashParameters(model)).toBe(hash);
      const again = await plain.quantize(quantize);
      await again.loadAdapter(await adapterFiles(model));
      expect(await logits(again)).toEqual(await logits(model));
      // The same adapter on the base in f32 is nearly as good.
      const wide = await create(engine);
      for (const [name, parameter] of wide.parameters) await parameter.set((await plain.parameters.get(name)!.data()) as Float32Array);
      await wide.loadAdapter(await adapterFiles(model));
      expect(Math.abs((await new Trainer(wide, options({ dataset: BACKWARDS })).evaluate()).loss - last)).toBeLessThan(0.05);
      const error = await failure(() => model.mergeAdapter());
      expect(error.code).toBe('QUANTIZED_MODEL');
      expect(model.activeAdapter).toBe('default');
      expect(adapter.saved.get('transformer.h.0.mlp.c_fc.weight')!.copy.shape).toEqual([16, 64]);
    },
  );

  test.each(['int8', 'bf16'] as const)('%s: its gradients are those of the numbers the base stands for', async (quantize) => {
    const engine = await sharedEngine();
    const model = await (await createTrained(engine)).quantize(quantize);
    const wide = await create(engine);
    for (const [name, parameter] of wide.parameters) {
      const [data, { shape }] = [(await model.parameters.get(name)!.data()) as Float32Array, model.parameters.get(name)!];
      const same = shape.join() === parameter.shape.join() && !(quantize === 'int8' && /attn|mlp/.test(name) && name.endsWith('weight'));
      const transposed = () => Float32Array.from(data, (_, i) => data[(i % shape[0]) * shape[1] + Math.floor(i / shape[0])]);
      await parameter.set(same ? data : transposed());
    }
    const gradients = [];
    for (const one of [model, wide]) {
      const adapter = await one.addAdapter({ rank: 4, targetModules: 'all-linear', seed: 5 });
      for (const [name, parameter] of adapter.parameters) {
        if (name.includes('lora_B'))
          await parameter.set(Float32Array.from({ length: parameter.size }, (_, i) => ((i * 7) % 13) / 130 - 0.05));
      }
      await engine.trainStep(one, { loss: one.loss, optimizer: { learningRate: 0 } })({ inputIds: IDS, labels: IDS });
      gradients.push(
        await Promise.all(Array.from(adapter.parameters, async ([name, parameter]) => [name, await parameter.grad()] as const)),
      );
    }
    expect(gradients[0]).toHaveLength(16);
    for (const [i, [name, gradient]] of gradients[0].entries()) {
      const expected = gradients[1][i][1]!;
      const largest = Math.max(...Array.from(expected, Math.abs));
      expect(largest, name).toBeGreaterThan(0);
      expect(worst(gradient!, expected), name).toBeLessThanOrEqual(1e-5 * largest);
    }
  });
});
