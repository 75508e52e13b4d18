// What adapters do: they train alone, are saved small, resumed bit for bit, switched, merged and removed; what does not fit is refused with names and shapes.
import { existsSync } from 'node:fs';
import { readdir, readFile, stat, writeFile } from 'node:fs/promises';
import {
  adaptersOf,
  CharTokenizer,
  dpoLoss,
  type Engine,
  exportModel,
  FerroError,
  GPT,
  type HostTensor,
  Linear,
  logSigmoid,
  Module,
  mean,
  Projection,
  square,
  sub,
  type Tensor,
  TextDataset,
  Trainer,
  type TrainerOptions,
  tanh,
  Variable,
  withReference,
} from 'ferroformer';
import { describe, expect, test } from 'vitest';
import { readTensors } from '../support/safetensors';
import { hashParameters, makeText, measured, openEngine, scratch } from '../support/training';

const TEXT = makeText(8_000);
const TOKENIZER = CharTokenizer.fromText(TEXT);
const DATASET = TextDataset.fromText(TEXT, TOKENIZER);
/** The text backwards: other statistics in the same letters, for adapters to learn. */
const BACKWARDS = TextDataset.fromText(Array.from(TEXT).reverse().join(''), TOKENIZER);
const IDS: HostTensor = { data: Int32Array.from(TOKENIZER.encode(TEXT.slice(0, 32))), shape: [2, 16] };

const create = (engine: Engine, more: object = {}) =>
  GPT.create(engine, { nLayer: 2, nHead: 2, nEmbd: 16, blockSize: 16, tokenizer: TOKENIZER, ...more });
/** A base that has learned something. */
async function createTrained(engine: Engine, more: object = {}): Promise<GPT> {
  const model = await create(engine, more);
  await new Trainer(model, { dataset: DATASET, maxSteps: 60, batchSize: 8, learningRate: 1e-2, evalSteps: 0 }).train();
  return model;
}
const options = (more: Partial<TrainerOptions> = {}): TrainerOptions => ({
  dataset: DATASET,
  maxSteps: 20,
  batchSize: 4,
  learningRate: 2e-2,
  evalSteps: 0,
  ...more,
});
const logits = async (model: GPT) => (await model.bound.forward(IDS)).data as Float32Array;
const worst = (a: ArrayLike<number>, b: ArrayLike<number>) => Math.max(...Array.from(a, (x, i) => Math.abs(x - b[i])));

const failure = async (work: () => unknown): Promise<FerroError> => {
  try {
    await work();
  } catch (error) {
    expect(error).toBeInstanceOf(FerroError);
    return error as FerroError;
  }
  throw new Error('nothing was thrown');
};

/** Writes the files of an adapter, some of them changed. */
async function adapterFiles(model: GPT, change: (config: Record<string, unknown>) => object = (config) => config): Promise<File[]> {
  const blobs = await model.adapterToFiles();
  const config = change(JSON.parse(await blobs.get('adapter_config.json')!.text()));
  return [
    new File([JSON.stringify(config)], 'adapter_config.json'),
    new File([blobs.get('adapter_model.safetensors')!], 'adapter_model.safetensors'),
  ];
}

describe('training', () => {
  test.each(['gpt2', 'llama'] as const)('%s: a new adapter changes nothing, and then it alone is trained', async (modelType) => {
    const engine = await openEngine();
    const model = await createTrained(engine, { modelType });
    const [before, hash] = [await logits(model), await hashParameters(model)];
    const adapter = await model.addAdapter({ rank: 4, alpha: 8 });
    const targets = modelType === 'gpt2' ? ['c_attn'] : ['q_proj', 'v_proj'];
    expect(adapter.parts.targetModules).toEqual(targets);
    expect(adapter.parameters.size).toBe(2 * 2 * targets.length);
    expect(await logits(model)).toEqual(before);
    const trainer = new Trainer(model, options({ dataset: BACKWARDS, maxSteps: 40 }));
    const { loss: first } = await trainer.evaluate();
    await trainer.train();
    expect((await trainer.evaluate()).loss).toBeLessThan(first - 0.1);
    expect(await hashParameters(model)).toBe(hash);
    expect(worst(await logits(model), before)).toBeGreaterThan(0.01);
    model.setAdapter(null);
    expect(await logits(model)).toEqual(before);
  });

  test('frozen weights have neither gradients nor moments', async () => {
    const engine = await openEngine();
    const regions = async (adapter: boolean) => {
      const model = await create(engine, { nEmbd: 64 });
      if (adapter) await model.addAdapter({ rank: 2 });
      const { regions: before } = await engine.info.bytes();
      const trainer = new Trainer(model, options({ maxSteps: 1 }));
      await trainer.train();
      const { regions: after } = await engine.info.bytes();
      const weights = [...model.parameters.values()].reduce((sum, { size }) => sum + 4 * size, 0);
      await trainer.close();
      await model.close();
      return { added: after - before, weights };
    };
    const [full, adapted] = [await regions(false), await regions(true)];
    expect(full.added).toBeGreaterThan(2.9 * full.weights); // gradient and two moments
    expect(adapted.added).toBeLessThan(0.25 * adapted.weights);
  });

  test('dropout of a branch acts in training alone and changes what is learned', async () => {
    const engine = await openEngine();
    const train = async (dropout: number) => {
      const model = await create(engine);
      await model.addAdapter({ rank: 4, dropout, targetModules: 'all-linear' });
      const losses: number[] = [];
      for await (const { loss } of new Trainer(model, options({ maxSteps: 5 })).train()) losses.push(loss);
      const twice = [await logits(model), await logits(model)];
      expect(twice[0]).toEqual(twice[1]);
      return losses;
    };
    const [without, withDropout, again] = [await train(0), await train(0.5), await train(0.5)];
    expect(withDropout).toEqual(again);
    expect(withDropout).not.toEqual(without);
  });

  test('checkpoints hold the adapter alone; a resumed run has the same bits', async () => {
    const folder = await scratch();
    const engine = await openEngine();
    const start = async () => {
      const model = await create(engine, { dropout: 0.1 });
      const adapter = await model.addAdapter({ rank: 4, dropout: 0.1, targetModules: ['c_attn', 'mlp.c_proj'], modulesToSave: ['ln_f'] });
      return { model, adapter };
    };
    const straight = await start();
    const whole = new Trainer(straight.model, options({ outputDir: `${folder}/a` }));
    await whole.train();
    await whole.close();
    const broken = await start();
    const first = new Trainer(broken.model, options({ outputDir: `${folder}/b`, saveSteps: 7 }));
    for await (const { step } of first.train()) if (step === 7) break;
    await first.close();
    const resumed = await start();
    const second = new Trainer(resumed.model, options({ outputDir: `${folder}/b`, saveSteps: 7, resume: true }));
    await second.train();
    expect(await hashParameters(resumed.adapter)).toBe(await hashParameters(straight.adapter));
    await second.close();
    const names = (await readdir(`${folder}/b/final`)).sort();
    expect(names).toEqual(['adapter_config.json', 'adapter_model.safetensors', 'complete.json']);
    const tensors = await readTensors(`${folder}/b/final/adapter_model.safetensors`);
    expect([...tensors.keys()]).toContain('base_model.model.transformer.h.0.attn.c_attn.lora_A.weight');
    expect([...tensors.keys()]).toContain('base_model.model.transformer.ln_f.weight');
    expect((await stat(`${folder}/b/checkpoint-20/adapter_model.safetensors`)).size).toBeLessThan(30_000);
    expect(existsSync(`${folder}/b/checkpoint-20/model.safetensors`)).toBe(false);

    // Another adapter is another run.
    const other = await create(engine, { dropout: 0.1 });
    await other.addAdapter({ rank: 2, dropout: 0.1, targetModules: ['c_attn', 'mlp.c_proj'], modulesToSave: ['ln_f'] });
    const refused = await failure(() => new Trainer(other, options({ outputDir: `${folder}/b`, saveSteps: 7, resume: true })).train());
    expect(refused.code).toBe('CHECKPOINT_MISMATCH');
    expect(refused.message).toContain('model.adapter.r 4 in the run and 2 now');

    // A run's folder is an adapter's folder, for loading; it is no model.
    const model = await create(engine);
    await model.loadAdapter(`${folder}/b`);
    expect(await logits(model)).toEqual(await logits(resumed.model));
    const noModel = await failure(() => GPT.fromPretrained(engine, `${folder}/b`));
    expect(noModel.code).toBe('INVALID_CHECKPOINT');
    expect(noModel.message).toContain('got an adapter');
  });

  test('a run trains the adapter it began with', async () => {
    const model = await create(await openEngine());
    await model.addAdapter();
    const trainer = new Trainer(model, options());
    const texts: string[] = [];
    const error = await failure(async () => {
      for await (const { step } of trainer.train()) {
        if (step === 2) {
          model.setAdapter(null); // looking at the base between two steps is allowed
          texts.push((await model.generate('the ', { maxNewTokens: 4, temperature: 0 })).text);
          model.setAdapter('default');
        }
        if (step === 4) model.setAdapter(null);
      }
    });
    expect(texts).toHaveLength(1);
    expect(error.message).toContain('the active adapter must be the one the run began with ("default"), got none');
    expect(trainer.step).toBe(4);
  });

  test('a module of one’s own, trained whole in part', async () => {
    class Net extends Module {
      readonly hidden = new Linear(2, 16);
      readonly score = new Projection(16, 1, { bias: true });
      override forward(x: Tensor): Tensor {
        return this.score.forward(tanh(this.hidden.forward(x)));
      }
    }
    const engine = await openEngine();
    const net = await engine.bind(new Net(), { seed: 1 });
    const adapters = adaptersOf(net);
    expect((await failure(() => adapters.add())).message).toContain('"targetModules" must be given for a module of your own');
    const adapter = await adapters.add({ rank: 2, targetModules: ['hidden'], modulesToSave: ['score'] });
    expect([...adapter.parameters.keys()]).toEqual([
      'hidden.lora_A.default.weight',
      'hidden.lora_B.default.weight',
      'score.modules_to_save.default.weight',
      'score.modules_to_save.default.bias',
    ]);
    const hash = await hashParameters(net);
    const x = { data: Float32Array.from({ length: 32 }, (_, i) => ((i * 7) % 11) / 11), shape: [16, 2] };
    const y = { data: Float32Array.from({ length: 16 }, (_, i) => Math.sin(6 * x.data[2 * i]) + x.data[2 * i + 1]), shape: [16, 1] };
    const step = engine.trainStep(net, {
      loss: (module, batch) => mean(square(sub(module.forward(batch.x), batch.y))),
      optimizer: { learningRate: 0.05, weightDecay: 0 },
    });
    const losses: number[] = [];
    for (let i = 0; i < 80; i++) losses.push((await step({ x, y })).loss);
    expect(losses[79]).toBeLessThan(0.5 * losses[0]);
    expect(await hashParameters(net)).toBe(hash);
    const trained = await net.forward(x);
    const files = adapters.files('default');
    expect([...files.keys()]).toEqual(['adapter_config.json', 'adapter_model.safetensors']);
    adapters.set(null);
    const plain = await net.forward(x);
    expect(worst(trained.data, plain.data)).toBeGreaterThan(0.1);
    await adapters.merge('default');
    expect(worst((await net.forward(x)).data, trained.data)).toBeLessThanOrEqual(1e-6);
    expect(await hashParameters(net)).not.toBe(hash);
  });
});

describe('on a frozen base in fewer bits', () => {
  test.each(['int8', 'bf16'] as const)(
    '%s: the adapter trains, is saved and loaded; the base keeps its bits and cannot be merged into',
    async (quantize) => {
      const engine = await openEngine();
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
    const engine = await openEngine();
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

describe('folders', () => {
  test('an adapter that was saved and loaded gives the same bits; its configuration is PEFT’s', async () => {
    const folder = await scratch();
    const engine = await openEngine();
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

  test('ranks and alphas of single layers are read and written', async () => {
    const engine = await openEngine();
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
    const engine = await openEngine();
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
    expect(await code({ lora_dropout: 1 })).toBe('INVALID_CHECKPOINT');
    expect(await code({ r: -1 })).toBe('INVALID_CHECKPOINT');
    await writeFile(`${folder}/adapter_config.json`, '{"peft_type":"LORA"}');
    expect((await failure(() => other.loadAdapter(folder))).code).toBe('INVALID_CHECKPOINT');
    await writeFile(`${folder}/adapter_model.bin`, 'x');
    expect((await failure(() => other.loadAdapter(folder))).code).toBe('PICKLE_REFUSED');
    expect((await failure(() => other.loadAdapter(`${folder}/none`))).code).toBe('FILE_NOT_FOUND');
    expect(other.adapters.size).toBe(0);
  });
});

describe('switching, merging, removing', () => {
  test('two adapters and the base take turns, in generation and conversations too', async () => {
    const engine = await openEngine();
    const model = await createTrained(engine);
    const write = async () => (await model.generate('the ', { maxNewTokens: 12, temperature: 0 })).text;
    const base = await write();
    const texts: string[] = [];
    for (const [name, dataset, steps] of [
      ['a', BACKWARDS, 40],
      ['b', TextDataset.fromText('sea the ship. '.repeat(100), TOKENIZER), 60],
    ] as const) {
      await model.addAdapter({ name, rank: 4, targetModules: 'all-linear' });
      await new Trainer(model, options({ dataset, maxSteps: steps })).train();
      texts.push(await write());
    }
    expect(new Set([base, ...texts]).size).toBe(3);
    model.setAdapter('a');
    expect(await write()).toBe(texts[0]);
    const chat = model.startConversation();
    const open = await chat.generate('the ', { maxNewTokens: 3, temperature: 0 });
    model.setAdapter('b');
    const rest = await chat.generate('', { maxNewTokens: 3, temperature: 0 });
    // What the other adapter left in the cache is read again.
    const fresh = await model.generate(Array.from(chat.ids).slice(0, -3), { maxNewTokens: 3, temperature: 0 });
    expect(open.ids).toHaveLength(3);
    expect(rest.ids).toEqual(fresh.ids);
    await chat.close();
    expect(await write()).toBe(texts[1]);
    model.setAdapter(null);
    expect(await write()).toBe(base);
    expect([...model.adapters.keys()]).toEqual(['a', 'b']);
    await model.removeAdapter('a');
    expect((await failure(() => model.setAdapter('a'))).message).toContain('the adapter must be one of the model\'s ("b"), got "a"');
    model.setAdapter('b');
    await model.removeAdapter();
    expect(model.activeAdapter).toBeNull();
    expect(await write()).toBe(base);
  });

  test.each(['gpt2', 'llama'] as const)(
    '%s: merged weights give the logits of both to 1e-5, in the model and in an exported folder',
    async (modelType) => {
      const folder = await scratch();
      const engine = await openEngine();
      const model = await create(engine, { modelType });
      await model.save(`${folder}/base`);
      await model.addAdapter({
        rank: 4,
        alpha: 8,
        targetModules: 'all-linear',
        modulesToSave: [modelType === 'gpt2' ? 'ln_f' : 'model.norm'],
      });
      await new Trainer(model, options({ maxSteps: 20 })).train();
      const [apart, text] = [await logits(model), (await model.generate('the ', { maxNewTokens: 20, temperature: 0 })).text];
      expect((await failure(() => model.save(`${folder}/lost`))).code).toBe('ADAPTER_ACTIVE');
      expect((await failure(() => model.toGguf())).code).toBe('ADAPTER_ACTIVE');
      await model.saveAdapter(`${folder}/adapter`);
      await model.mergeAdapter();
      expect([model.activeAdapter, model.adapters.size]).toEqual([null, 0]);
      expect(measured(`${modelType} merged logits`, worst(await logits(model), apart))).toBeLessThanOrEqual(1e-5);
      expect((await model.generate('the ', { maxNewTokens: 20, temperature: 0 })).text).toBe(text);
      await exportModel(`${folder}/base`, `${folder}/merged`, { mergeAdapter: `${folder}/adapter` });
      const exported = await GPT.fromPretrained(engine, `${folder}/merged`);
      expect(await hashParameters(exported)).toBe(await hashParameters(model));
      const other = await create(engine, { modelType, nEmbd: 8 });
      await other.save(`${folder}/other`);
      const error = await failure(() => exportModel(`${folder}/other`, `${folder}/no`, { mergeAdapter: `${folder}/adapter` }));
      expect(error.code).toBe('ADAPTER_MISMATCH');
      expect(existsSync(`${folder}/no`)).toBe(false);
    },
  );

  test('a removed adapter leaves no memory behind', async () => {
    const engine = await openEngine();
    const model = await create(engine);
    await logits(model);
    const { regions } = await engine.info.bytes();
    for (let i = 0; i < 3; i++) {
      await model.addAdapter({ rank: 4, targetModules: 'all-linear' });
      await logits(model);
      await model.removeAdapter();
    }
    expect((await engine.info.bytes()).regions).toBe(regions);
    expect((await model.addAdapter()).name).toBe('default'); // the name is free again
    expect((await failure(() => model.addAdapter())).message).toContain('"name" must be new');
  });

  test('a second adapter of the same name begins with moments of its own', async () => {
    const engine = await openEngine();
    const model = await create(engine);
    const step = engine.trainStep(model, { loss: model.loss, optimizer: { learningRate: 1e-2 } });
    const batch = { inputIds: IDS, labels: IDS };
    await model.addAdapter({ rank: 4 });
    for (let i = 0; i < 3; i++) await step(batch);
    await model.removeAdapter();
    await model.addAdapter({ rank: 2 });
    const { loss } = await step(batch);
    expect(Number.isFinite(loss)).toBe(true);
  });
});

describe('bad input', () => {
  test('unknown targets name the nearest ones', async () => {
    const model = await create(await openEngine());
    const error = await failure(() => model.addAdapter({ targetModules: ['c_atn'] }));
    expect(error.code).toBe('INVALID_OPTION');
    expect(error.message).toContain('got "c_atn" (the nearest is "c_attn", of c_attn, c_proj, c_fc)');
    expect((await failure(() => model.addAdapter({ targetModules: ['wte'] }))).message).toContain('must name layers of the model');
    expect((await failure(() => model.addAdapter({ modulesToSave: ['scores'] }))).message).toContain('"modulesToSave" must name layers');
    expect((await failure(() => model.addAdapter({ rank: 0 }))).message).toContain('"rank" must be a positive integer');
    expect((await failure(() => model.addAdapter({ dropout: 1 }))).code).toBe('INVALID_OPTION');
    expect((await failure(() => model.addAdapter({ ranks: 4 } as object))).message).toContain('the nearest is "rank"');
    expect((await failure(() => model.addAdapter({ name: 'a.b' }))).message).toContain('"name" must be letters');
    expect((await failure(() => model.saveAdapter('x'))).message).toContain('a name must be given where no adapter is active');
    expect(model.adapters.size).toBe(0);
    await model.close();
    expect((await failure(() => model.addAdapter())).code).toBe('MODEL_CLOSED');
  });
});

describe('preferences', () => {
  /** Pairs: the text goes on as in the corpus, or in capital nonsense of the same length. */
  const pairs = {
    length: 24,
    batch: (indices: readonly number[]) => {
      const rows = (swap: boolean) =>
        indices.flatMap((i) => {
          const ids = Array.from(TOKENIZER.encode(TEXT.slice(i * 20, i * 20 + 16)));
          return swap ? [...ids.slice(0, 8), ...ids.slice(8).reverse()] : ids;
        });
      const tensor = (values: number[]): HostTensor => ({ data: Int32Array.from(values), shape: [indices.length, 16] });
      const labels = (ids: number[]) => ids.map((_, at) => (at % 16 < 7 || at % 16 === 15 ? -100 : ids[at + 1]));
      const [chosen, rejected] = [rows(false), rows(true)];
      return {
        chosenIds: tensor(chosen),
        chosenLabels: tensor(labels(chosen)),
        rejectedIds: tensor(rejected),
        rejectedLabels: tensor(labels(rejected)),
      };
    },
  };

  test('DPO on an adapter, with the base as reference: margins grow, the log has TRL’s names', async () => {
    const model = await create(await openEngine());
    await model.addAdapter({ rank: 4, targetModules: 'all-linear' });
    const dataset = await withReference(model, pairs);
    const trainer = new Trainer(
      model,
      options({ dataset, evalDataset: dataset, loss: dpoLoss({ beta: 0.5 }), maxSteps: 60, evalSteps: 30 }),
    );
    const first = await trainer.evaluate();
    expect(first.loss).toBeCloseTo(Math.LN2, 5); // the model is its reference
    expect(first.tokens).toBe(24); // pairs
    expect(first.metrics!['rewards/margins']).toBeCloseTo(0, 5);
    await trainer.train();
    const last = await trainer.evaluate();
    expect(last.loss).toBeLessThan(0.5);
    expect(last.metrics!['rewards/margins']).toBeGreaterThan(0.3);
    expect(last.metrics!['rewards/accuracies']).toBeGreaterThanOrEqual(0.75);
    const entry = trainer.log.at(-1)!;
    for (const name of ['rewards/chosen', 'rewards/rejected', 'rewards/accuracies', 'rewards/margins', 'logps/chosen', 'logps/rejected']) {
      expect(Number.isFinite(entry[name]), name).toBe(true);
      expect(Number.isFinite(entry[`eval_${name}`]), name).toBe(true);
    }
  });

  test('logSigmoid is finite and right far from 0, and has its gradient at 0', async () => {
    const engine = await openEngine();
    const points = [-1e30, -1000, -88, -20, -1e-3, 0, 1e-3, 1, 20, 200, 1e30];
    class At extends Module {
      readonly x = new Variable({ name: 'x', shape: [points.length], init: { kind: 'data', data: Float32Array.from(points) } });
      override forward(): Tensor {
        return logSigmoid(this.x);
      }
    }
    const at = await engine.bind(new At());
    const { data } = await engine.read(at.module.forward());
    const exact = points.map((x) => Math.min(x, 0) - Math.log1p(Math.exp(-Math.abs(x))));
    for (const [i, y] of exact.entries())
      expect(Math.abs(data[i] - y), `${points[i]}`).toBeLessThanOrEqual(2e-7 * Math.max(1, Math.abs(y)));
    await engine.trainStep(at, { loss: (module) => module.forward(), optimizer: { learningRate: 0 } })({});
    const gradient = (await at.parameters.get('x')!.grad())!;
    for (const [i, x] of points.entries()) expect(Math.abs(gradient[i] - 1 / (1 + Math.exp(x))), `${x}`).toBeLessThanOrEqual(2e-7);
  });

  test('options are checked', async () => {
    expect((await failure(() => dpoLoss({ beta: 0 }))).message).toContain('"beta" must be a positive number');
    expect((await failure(() => dpoLoss({ lossType: 'ipo', labelSmoothing: 0.1 }))).message).toContain('is for lossType sigmoid');
    const model = await create(await openEngine());
    const bad = { length: 1, batch: () => ({ inputIds: IDS }) };
    expect((await failure(() => withReference(model, bad))).message).toContain('must have chosenIds and chosenLabels, got inputIds');
  });
});
