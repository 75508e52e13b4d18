// Times single kernels: one program per kernel on variables that live in the engine, run many times in one message, so that neither copies nor messages
// are part of the time. Rates count the arithmetic (2 per multiply-add) or the bytes that must be read and written.

import { assign, attention, compile, gelu, layerNorm, logSoftmax, matmul, softmax, type Tensor } from '../graph';
import { type EngineHost, Variable } from '../index';

/** One kernel's time and rate. */
export interface KernelResult {
  name: string;
  microseconds: number;
  /** Units per second. */
  perSecond: number;
  unit: 'FLOP' | 'B';
}

interface KernelCase {
  name: string;
  inputs: readonly (readonly number[])[];
  build: (inputs: readonly Tensor[]) => Tensor;
  work: number;
  unit: 'FLOP' | 'B';
}

const F32 = 4;

function matmulCase(form: 'NN' | 'NT' | 'TN', m: number, n: number, k: number): KernelCase {
  const a = form === 'TN' ? [k, m] : [m, k];
  const b = form === 'NT' ? [n, k] : [k, n];
  const options = { transposeA: form === 'TN', transposeB: form === 'NT' };
  return {
    name: `matmul ${form} ${m}×${n}×${k}`,
    inputs: [a, b],
    build: ([x, y]) => matmul(x, y, options),
    work: 2 * m * n * k,
    unit: 'FLOP',
  };
}

function rowCase(name: string, rows: number, cols: number, build: (x: Tensor) => Tensor): KernelCase {
  return { name: `${name} ${rows}×${cols}`, inputs: [[rows, cols]], build: ([x]) => build(x), work: 2 * rows * cols * F32, unit: 'B' };
}

function attentionCase(batch: number, time: number, nHead: number, width: number): KernelCase {
  const shape = [batch, time, width];
  const build = ([q, k, v]: readonly Tensor[]) => attention(q, k, v, { nHead, causal: true });
  // Two products of T(T+1)/2 pairs of positions, width multiply-adds each.
  return {
    name: `causal attention ${batch}×${time}×${width}`,
    inputs: [shape, shape, shape],
    build,
    work: 2 * batch * time * (time + 1) * width,
    unit: 'FLOP',
  };
}

const CASES: readonly KernelCase[] = [
  ...(['NN', 'NT', 'TN'] as const).flatMap((form) => [matmulCase(form, 768, 384, 256), matmulCase(form, 1024, 1024, 1024)]),
  attentionCase(12, 64, 4, 128),
  attentionCase(4, 256, 6, 384),
  rowCase('softmax', 4096, 256, softmax),
  rowCase('log-softmax', 4096, 256, logSoftmax),
  rowCase('layer norm', 4096, 384, (x) => layerNorm(x)),
  rowCase('gelu', 4096, 512, (x) => gelu(x, 'tanh')),
];

const SECONDS = 0.4;

/** Times every kernel; `onKernel` hears each name before it runs. */
export async function benchKernels(host: EngineHost, onKernel: (name: string) => void): Promise<KernelResult[]> {
  const results: KernelResult[] = [];
  for (const kernel of CASES) {
    onKernel(kernel.name);
    results.push(await timeKernel(host, kernel));
  }
  return results;
}

async function timeKernel(host: EngineHost, kernel: KernelCase): Promise<KernelResult> {
  const init = { kind: 'normal', mean: 0, std: 1 } as const;
  const inputs = kernel.inputs.map((shape, i) => new Variable({ name: `bench.${i}`, shape: [...shape], trainable: false, init }));
  const result = kernel.build(inputs.map(({ tensor }) => tensor));
  const out = new Variable({ name: 'bench.out', shape: result.shape.map(Number), trainable: false, init: { kind: 'zeros' } });
  const variables = [...inputs, out];
  await host.allocate(variables, { seed: 1 });
  const handle = await host.load(compile({ name: `bench ${kernel.name}`, outputs: {}, effects: [assign(out, result)] }));
  try {
    const seconds = async (times: number): Promise<number> => {
      const started = performance.now();
      await host.run(Array.from({ length: times }, () => ({ handle })));
      return (performance.now() - started) / 1000;
    };
    await seconds(2);
    const once = (await seconds(4)) / 4;
    const times = Math.max(4, Math.ceil(SECONDS / 3 / once));
    const rounds = [await seconds(times), await seconds(times), await seconds(times)];
    const best = Math.min(...rounds) / times;
    return { name: kernel.name, microseconds: best * 1e6, perSecond: kernel.work / best, unit: kernel.unit };
  } finally {
    await host.unload(handle);
    await host.release(variables);
  }
}
