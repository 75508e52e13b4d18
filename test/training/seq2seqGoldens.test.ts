// The sequence-to-sequence model beside torch.nn.Transformer with smoothed labels and padded sources: logits, loss, every gradient, ten training steps, greedy and beam
// search (golden/seq2seq.py). The weights go through a folder: what is compared is also what `fromPretrained` reads.
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { AdamW, type Engine, type HostTensor, Transformer } from 'ferroformer';
import { describe, expect, test } from 'vitest';
import { readTensors, writeTensors } from '../support/safetensors';
import { measured, sharedEngine } from '../support/training';

const golden = (name: string) => new URL(`../golden/${name}`, import.meta.url);
const info = JSON.parse(await readFile(golden('seq2seq.json'), 'utf8'));

const worst = (a: ArrayLike<number>, b: ArrayLike<number>) => Math.max(...Array.from(a, (x, i) => Math.abs(x - b[i])));
const largest = (a: ArrayLike<number>) => Math.max(...Array.from(a, Math.abs));
const NOT_WEIGHTS = /^grad\.|^(source|inputMask|decoderInputIds|labels|logits)$/;

async function load(engine: Engine, name: string) {
  const tensors = await readTensors(golden(`seq2seq-${name}.safetensors`));
  const { config, ...expected } = info.cases[name];
  const { bos_id, eos_id, pad_id, ...fields } = config;
  const ids = { bos_token_id: bos_id, eos_token_id: eos_id, pad_token_id: pad_id };
  const text = JSON.stringify({ model_type: 'ferroformer', architecture: 'transformer', version: 1, ...fields, ...ids });
  const weights = new Map([...tensors].filter(([key]) => !NOT_WEIGHTS.test(key))) as Map<string, { data: Float32Array; shape: number[] }>;
  const files = [new File([text], 'config.json'), new File([writeTensors(weights)], 'model.safetensors')];
  const model = await Transformer.fromPretrained(engine, files);
  const source = tensors.get('source')!;
  const input = config.input_kind === 'features' ? 'inputFeatures' : 'inputIds';
  const batch = {
    [input]: source,
    inputMask: tensors.get('inputMask')!,
    decoderInputIds: tensors.get('decoderInputIds')!,
    labels: tensors.get('labels')!,
  };
  return { model, tensors, batch: batch as unknown as Record<string, HostTensor>, expected, config };
}

/** Each row's source without its padding, as `generate` takes it. */
function sources({ tensors, config }: Awaited<ReturnType<typeof load>>): (number[] | HostTensor)[] {
  const [source, mask] = [tensors.get('source')!, tensors.get('inputMask')!];
  const [rows, time, width = 1] = source.shape;
  return Array.from({ length: rows }, (_, b) => {
    const length = Array.from(mask.data.subarray(b * time, (b + 1) * time) as Int32Array).filter((keep) => keep === 1).length;
    const data = source.data.slice(b * time * width, (b * time + length) * width);
    return config.input_kind === 'features' ? { data: data as Float32Array, shape: [length, width] } : Array.from(data);
  });
}

describe.each(Object.keys(info.cases))('%s equals PyTorch', (name) => {
  test('logits to 2e-5, the loss, every gradient to 1e-5 of its largest element', async () => {
    const engine = await sharedEngine();
    const { model, tensors, batch, expected } = await load(engine, name);
    const { labels: _, ...inputs } = batch;
    const logits = await model.bound.forward(inputs);
    expect(measured(`seq2seq ${name} logits`, worst(logits.data, tensors.get('logits')!.data))).toBeLessThanOrEqual(2e-5);
    const loss = expected.labelSmoothing > 0 ? model.smoothedLoss(expected.labelSmoothing) : model.loss;
    const step = engine.trainStep(model, { loss, optimizer: { learningRate: 0 } });
    expect(Math.abs((await step(batch)).loss - expected.loss)).toBeLessThanOrEqual(1e-5);
    let share = 0;
    let compared = 0;
    for (const [key, parameter] of model.parameters) {
      const wanted = tensors.get(`grad.${key}`)?.data;
      const gradient = await parameter.grad();
      if (wanted === undefined) {
        expect([key, gradient]).toEqual([expect.stringMatching(/_positions/), null]); // a fixed table
        continue;
      }
      const off = worst(gradient!, wanted) / largest(wanted);
      share = Math.max(share, off);
      expect(off, key).toBeLessThanOrEqual(1e-5);
      compared++;
    }
    measured(`seq2seq ${name} gradients, share of the largest`, share);
    expect(compared).toBe([...tensors.keys()].filter((key) => key.startsWith('grad.')).length);
  });

  test('ten losses of AdamW to 1e-5', async () => {
    const engine = await sharedEngine();
    const { model, batch, expected } = await load(engine, name);
    const loss = expected.labelSmoothing > 0 ? model.smoothedLoss(expected.labelSmoothing) : model.loss;
    const step = engine.trainStep(model, { loss, optimizer: new AdamW({ learningRate: 1e-3, adamBeta2: 0.99, weightDecay: 0.1 }) });
    let off = 0;
    for (let t = 0; t < 10; t++) off = Math.max(off, Math.abs((await step(batch)).loss - expected.losses[t]));
    expect(measured(`seq2seq ${name} losses of ten steps`, off)).toBeLessThanOrEqual(1e-5);
    expect(expected.losses[9]).toBeLessThan(expected.losses[0] - 0.1);
  });

  test('greedy and beam search write what a search without caches in PyTorch writes', async () => {
    const engine = await sharedEngine();
    const loaded = await load(engine, name);
    const { model, expected, config } = loaded;
    const inputs = sources(loaded);
    const maxNewTokens = config.max_target_length - 1;
    const { sequences } = await model.generate(inputs, { doSample: false, maxNewTokens });
    expect(sequences.map(({ ids }) => ids)).toEqual(expected.greedy.map(({ ids }: { ids: number[] }) => ids));
    for (const [i, { logProbs }] of sequences.entries()) expect(worst(logProbs, expected.greedy[i].logProbs)).toBeLessThanOrEqual(2e-5);
    const options = { numBeams: 3, numReturnSequences: 3, maxNewTokens, lengthPenalty: info.lengthPenalty };
    const searched = await model.generate(inputs, options);
    const wanted: { ids: number[]; score: number }[] = expected.beams.flat();
    expect(searched.sequences.map(({ ids }) => ids)).toEqual(wanted.map(({ ids }) => ids));
    for (const [i, { score }] of searched.sequences.entries()) expect(score).toBeCloseTo(wanted[i].score, 4);
  });
});

test('the golden file is what its script wrote', async () => {
  const source = (await readFile(golden(info.script), 'utf8')).replaceAll('\r\n', '\n');
  expect(createHash('sha256').update(source).digest('hex'), `run ${info.script} again`).toBe(info.scriptSha256);
});
