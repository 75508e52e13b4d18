// What adapters do: they train alone, are saved small, resumed bit for bit, switched, merged and removed; what does not fit is refused with names and shapes.
import { existsSync } from 'node:fs';
import { readdir, readFile, stat } from 'node:fs/promises';
import {
  adaptersOf,
  exportModel,
  GPT,
  Linear,
  Module,
  mean,
  Projection,
  square,
  sub,
  type Tensor,
  TextDataset,
  Trainer,
  tanh,
} from 'ferroformer';
import { describe, expect, test } from 'vitest';
import { BACKWARDS, create, createTrained, failure, IDS, logits, options, TOKENIZER, worst } from '../support/adapters';
import { readTensors } from '../support/safetensors';
import { hashParameters, measured, openEngine, scratch, sharedEngine } from '../support/training';

describe('training', () => {
  test.each(['gpt2', 'llama'] as const)('%s: a new adapter changes nothing, and then it alone is trained', async (modelType) => {
    const engine = await sharedEngine();
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
    const engine = await sharedEngine();
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
    const engine = await sharedEngine();
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
    const model = await create(await sharedEngine());
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

  test('a trainer that could not begin on frozen weights begins once there is an adapter', async () => {
    const model = await (await create(await sharedEngine())).quantize('bf16');
    const trainer = new Trainer(model, options({ maxSteps: 2 }));
    expect((await failure(() => trainer.train())).code).toBe('QUANTIZED_MODEL');
    await model.addAdapter();
    expect((await trainer.train()).step).toBe(2);
  });

  test('what a run saves is its adapter, whichever is active by then', async () => {
    const folder = await scratch();
    const model = await create(await sharedEngine());
    await model.addAdapter({ rank: 4 });
    const trainer = new Trainer(model, options({ maxSteps: 3, outputDir: `${folder}/run` }));
    for await (const { step } of trainer.train()) if (step === 3) model.setAdapter(null);
    await trainer.save(`${folder}/saved`);
    await trainer.close();
    const bytes = (path: string) => readFile(`${folder}/${path}/adapter_model.safetensors`);
    const trained = await bytes('run/checkpoint-3');
    expect((await bytes('run/final')).equals(trained)).toBe(true);
    expect((await bytes('saved')).equals(trained)).toBe(true);
    expect(existsSync(`${folder}/run/final/model.safetensors`)).toBe(false);
  });

  test('a module of one’s own, trained whole in part', async () => {
    class Net extends Module {
      readonly hidden = new Linear(2, 16);
      readonly score = new Projection(16, 1, { bias: true });
      override forward(x: Tensor): Tensor {
        return this.score.forward(tanh(this.hidden.forward(x)));
      }
    }
    const engine = await sharedEngine();
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

describe('switching, merging, removing', () => {
  test('two adapters and the base take turns, in generation and conversations too', async () => {
    const engine = await sharedEngine();
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
      const engine = await sharedEngine();
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

  test('a module that is trained whole has no branches below it, so that merging loses nothing', async () => {
    const engine = await sharedEngine();
    const model = await create(engine);
    const adapter = await model.addAdapter({ rank: 4, targetModules: ['c_attn'], modulesToSave: ['h.0'] });
    expect([...adapter.branches.keys()]).toEqual(['transformer.h.1.attn.c_attn']);
    await new Trainer(model, options({ maxSteps: 5 })).train();
    const apart = await logits(model);
    await model.mergeAdapter();
    expect(worst(await logits(model), apart)).toBeLessThanOrEqual(1e-5);
  });

  test('merging twice at once adds once; what is being merged is no longer there', async () => {
    const model = await createTrained(await sharedEngine());
    await model.addAdapter({ rank: 4 });
    await new Trainer(model, options({ dataset: BACKWARDS, maxSteps: 20 })).train();
    const apart = await logits(model);
    const merging = model.mergeAdapter('default');
    for (const again of [() => model.removeAdapter('default'), () => model.mergeAdapter('default')])
      expect((await failure(again)).message).toContain('the adapter must be one of the model');
    await merging;
    expect(worst(await logits(model), apart)).toBeLessThanOrEqual(1e-5);
  });

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
    const engine = await sharedEngine();
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

  test('a step of one’s own lets go of adapters that were removed, and its state is that of those there are', async () => {
    const engine = await openEngine();
    const model = await create(engine);
    const batch = { inputIds: IDS, labels: IDS };
    const make = () => engine.trainStep(model, { loss: model.loss, optimizer: { learningRate: 1e-2 } });
    const step = make();
    const train = async (name: string, rank = 4) => {
      await model.addAdapter({ name, rank });
      await step(batch);
    };
    const regions: number[] = [];
    for (const name of ['a', 'b', 'c', 'd']) {
      await train(name);
      await model.removeAdapter();
      regions.push((await engine.info.bytes()).regions);
    }
    expect(regions).toEqual(new Array(4).fill(regions[0]));
    await train('other');
    await model.removeAdapter();
    await train('last', 2);
    const state = await step.trainStep.saveState();
    const second = make();
    await model.removeAdapter();
    await model.addAdapter({ name: 'last', rank: 4 });
    await second(batch);
    await model.removeAdapter();
    await model.addAdapter({ name: 'last', rank: 2 });
    await second.trainStep.loadState(state); // what the earlier adapter of this name had is no hindrance
    expect(second.trainStep.updates).toBe(step.trainStep.updates);
    expect(Number.isFinite((await second(batch)).loss)).toBe(true);
  });

  test('a step that begins while adapters are switched is refused and leaves nothing wrong behind', async () => {
    const engine = await sharedEngine();
    const model = await createTrained(engine);
    const batch = { inputIds: IDS, labels: IDS };
    await model.addAdapter({ rank: 4 });
    await new Trainer(model, options({ dataset: BACKWARDS, maxSteps: 20 })).train();
    model.setAdapter(null);
    const step = engine.trainStep(model, { loss: model.loss, optimizer: { learningRate: 0 } });
    const running = step(batch);
    model.setAdapter('default');
    expect((await failure(() => running)).code).toBe('BUSY');
    model.setAdapter(null);
    const expected = await engine.trainStep(model, { loss: model.loss, optimizer: { learningRate: 0 } })(batch);
    expect(await step(batch)).toEqual(expected);
  });
});

describe('bad input', () => {
  test('unknown targets name the nearest ones', async () => {
    const model = await create(await sharedEngine());
    const error = await failure(() => model.addAdapter({ targetModules: ['c_atn'] }));
    expect(error.code).toBe('INVALID_OPTION');
    expect(error.message).toContain('got "c_atn" (the nearest is "c_attn", of c_attn, c_proj, c_fc)');
    expect((await failure(() => model.addAdapter({ targetModules: ['wte'] }))).message).toContain('must name layers of the model');
    expect((await failure(() => model.addAdapter({ modulesToSave: ['scores'] }))).message).toContain('"modulesToSave" must name layers');
    expect((await failure(() => model.addAdapter({ modulesToSave: ['drop'] }))).message).toContain('modules with parameters of their own');
    expect((await failure(() => model.addAdapter({ targetModules: ['all-linear', 'c_atn'] }))).message).toContain('got "c_atn"');
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
