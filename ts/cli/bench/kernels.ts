// What single kernels reach: matrix products in their three layouts at the shapes of training, elementwise kernels from the caches and from memory,
// attention, the threads' barrier. Rates count two operations for a multiply-add, and the bytes that must be read and written.

import { assign, attentionQkv, compile, differentiate, type EngineHost, matmul, mul, sum } from '../../index';
import { elementwiseCases } from './elementwise';
import { repeatedProgram } from './repeated';
import { SIZES } from './sizes';
import { benchVariable, type Pace, QUICK, timeProgram } from './timing';

/** One measurement; rates are of the fastest burst. */
export interface KernelResult {
  group: 'gemm' | 'elementwise' | 'attention' | 'barrier';
  name: string;
  minUs: number;
  medianUs: number;
  /** Operations per second. */
  flops?: number;
  /** Of the register peak of all threads, 0 to 1. */
  shareOfPeak?: number;
  elementsPerSecond?: number;
  bytesPerSecond?: number;
}

/** A product C[m,n] = A·B over k. */
export interface Product {
  name: string;
  m: number;
  n: number;
  k: number;
}

/** The forward products of a size's step, in order; their gradients are the same sizes in the other layouts. */
export function productsOf(size: keyof typeof SIZES): Product[] {
  const { nEmbd: c, blockSize, batchSize, vocabSize } = SIZES[size];
  const m = blockSize * batchSize;
  return [
    { name: `${size} qkv`, m, n: 3 * c, k: c },
    { name: `${size} projection`, m, n: c, k: c },
    { name: `${size} mlp up`, m, n: 4 * c, k: c },
    { name: `${size} mlp down`, m, n: c, k: 4 * c },
    ...(vocabSize > 1000 ? [{ name: `${size} head`, m, n: vocabSize, k: c }] : []),
  ];
}

const cube = (n: number): Product => ({ name: 'cube', m: n, n, k: n });

/** Which kernels to measure and how long. */
export interface KernelOptions {
  /** Operations per second of one thread; undefined where it was not measured. */
  peak?: number;
  threads: number;
  sizes: readonly (keyof typeof SIZES)[];
  /** Only the smallest of each kind, once. */
  quick: boolean;
  onKernel: (name: string) => void;
}

const paceOf = (quick: boolean): Pace | undefined => (quick ? QUICK : undefined);

/** Matrix products: NN (forward), NT (gradient of the left operand), TN (gradient of the weights), for every forward product of the sizes and cubes. */
export async function benchGemm(host: EngineHost, options: KernelOptions): Promise<KernelResult[]> {
  const results: KernelResult[] = [];
  const products = [...options.sizes.flatMap(productsOf), ...[256, 512, 1024].map(cube)];
  for (const { name, m, n, k } of options.quick ? products.slice(0, 1) : products) {
    // The gradients of C[m,n] = A[m,k]·B[k,n]: dA[m,k] = dC·Bᵀ sums over n, dB[k,n] = Aᵀ·dC over m.
    const shapes = { NN: [m, n, k], NT: [m, k, n], TN: [k, n, m] } as const;
    for (const form of ['NN', 'NT', 'TN'] as const) results.push(await benchProduct(host, name, form, shapes[form], options));
  }
  return results;
}

async function benchProduct(
  host: EngineHost,
  label: string,
  form: 'NN' | 'NT' | 'TN',
  [m, n, k]: readonly [number, number, number],
  { peak, threads, quick, onKernel }: KernelOptions,
): Promise<KernelResult> {
  const name = `${form} ${m}×${n}×${k} ${label}`;
  onKernel(name);
  const a = benchVariable('a', form === 'TN' ? [k, m] : [m, k]);
  const b = benchVariable('b', form === 'NT' ? [n, k] : [k, n]);
  const out = benchVariable('out', [m, n], 'zeros');
  const product = matmul(a, b, { transposeA: form === 'TN', transposeB: form === 'NT' });
  const program = compile({ name, outputs: {}, effects: [assign(out, product)] });
  const { min, median } = await timeProgram(host, { program, variables: [a, b, out] }, paceOf(quick));
  const flops = (2 * m * n * k) / min;
  return { group: 'gemm', name, minUs: min * 1e6, medianUs: median * 1e6, flops, shareOfPeak: share(flops, peak, threads) };
}

const share = (flops: number, peak: number | undefined, threads: number): number | undefined =>
  peak === undefined ? undefined : flops / (peak * threads);

/** Elementwise kernels, each with little data (from the caches) and with much (from memory). */
export async function benchElementwise(host: EngineHost, { quick, onKernel }: KernelOptions): Promise<KernelResult[]> {
  const results: KernelResult[] = [];
  for (const place of quick ? (['cache'] as const) : (['cache', 'memory'] as const)) {
    for (const { name, elements, bytesPerElement, instruction, repeats } of elementwiseCases(place)) {
      onKernel(`${name} (${place})`);
      const out = benchVariable('out', [1], 'zeros');
      const program = repeatedProgram(name, instruction, repeats, out);
      const variables = [...new Set([...Object.values(instruction.inputs), out])];
      const timing = await timeProgram(host, { program, variables, scalars: { lr: 1e-9 } }, paceOf(quick));
      const [min, median] = [timing.min / repeats, timing.median / repeats];
      results.push({
        group: 'elementwise',
        name: `${name} (${place})`,
        minUs: min * 1e6,
        medianUs: median * 1e6,
        elementsPerSecond: elements / min,
        bytesPerSecond: (elements * bytesPerElement) / min,
      });
    }
  }
  return results;
}

const ATTENTIONS = [
  { batch: 12, time: 64, nHead: 4, width: 128 },
  { batch: 4, time: 256, nHead: 6, width: 384 },
  { batch: 1, time: 1024, nHead: 6, width: 384 },
];

/** Causal attention as in a training step (three parts of one buffer), forward and backward, at three lengths. */
export async function benchAttention(host: EngineHost, { peak, threads, quick, onKernel }: KernelOptions): Promise<KernelResult[]> {
  const results: KernelResult[] = [];
  for (const { batch, time, nHead, width } of quick ? ATTENTIONS.slice(0, 1) : ATTENTIONS) {
    const shape = `${batch}×${time}×${width}, ${nHead} heads`;
    onKernel(`attention ${shape}`);
    const qkv = benchVariable('qkv', [batch, time, 3 * width]);
    const upstream = benchVariable('upstream', [batch, time, width]);
    const out = benchVariable('out', [batch, time, width], 'zeros');
    const gradient = benchVariable('gradient', [batch, time, 3 * width], 'zeros');
    const result = attentionQkv(qkv, { nHead, causal: true });
    const forward = compile({ name: 'attention', outputs: {}, effects: [assign(out, result)] });
    const d = differentiate(sum(mul(result, upstream)), [qkv]).get(qkv);
    if (d === undefined) throw new Error('attention has a gradient');
    const both = compile({ name: 'attention both ways', outputs: {}, effects: [assign(out, result), assign(gradient, d)] });
    const variables = [qkv, upstream, out, gradient];
    const first = await timeProgram(host, { program: forward, variables }, paceOf(quick));
    const all = await timeProgram(host, { program: both, variables }, paceOf(quick));
    // A product over the pairs of positions that see each other: T(T+1)/2 pairs, `width` multiply-adds each. Two forward, five backward (Q·K again).
    const product = batch * time * (time + 1) * width;
    const row = (name: string, min: number, median: number, products: number): KernelResult => {
      const flops = (products * product) / min;
      return { group: 'attention', name, minUs: min * 1e6, medianUs: median * 1e6, flops, shareOfPeak: share(flops, peak, threads) };
    };
    results.push(row(`forward ${shape}`, first.min, first.median, 2));
    results.push(row(`backward ${shape}`, all.min - first.min, all.median - first.median, 5));
  }
  return results;
}

/** One meeting of all threads. */
export async function benchBarrier(host: EngineHost): Promise<KernelResult[]> {
  const times: number[] = [];
  for (let i = 0; i < 15; i++) times.push(await host.measureBarrier(1000));
  times.sort((a, b) => a - b);
  return [{ group: 'barrier', name: 'barrier', minUs: times[0], medianUs: times[times.length >> 1] }];
}
