// `ferroformer bench`: how fast this machine is, through the same library that users call: the register peak, single kernels as shares of it, training
// steps, decoding. The measured arithmetic per second of a step is kept for `plan`. What is measured and how: bench/.

import type { Command } from 'commander';
import type { Engine } from '../index';
import { COMMAND_OPTIONS, type OptionValues } from '../options';
import { benchAttention, benchBarrier, benchElementwise, benchGemm, type KernelOptions, type KernelResult } from './bench/kernels';
import { measurePeak, type PeakResult, peakOf } from './bench/peak';
import { type Profile, profileStep } from './bench/profile';
import { benchDecode, benchStep, type DecodeTiming, type StepTiming } from './bench/steps';
import { benchTables } from './bench/tables';
import { QUICK } from './bench/timing';
import { writeCalibration } from './calibration';
import { addFlags, readCommandOptions } from './flags';
import { Output } from './output';
import { describeEngine, withEngine } from './session';

const NAMES = COMMAND_OPTIONS.bench;
type Values = OptionValues<(typeof NAMES)[number]>;

/** Adds the command. */
export function addBench(program: Command): void {
  const command = program.command('bench').description('measure this machine: kernels, training steps, decoding');
  addFlags(command, NAMES).action(async (parsed) => {
    const { values } = await readCommandOptions('bench', parsed, NAMES);
    await bench(new Output(values.json), values);
  });
}

const DECODED_TOKENS = 200;
const QUICK_TOKENS = 4;

async function bench(output: Output, values: Values): Promise<void> {
  const wants = (part: Values['parts'][number]) => values.parts.includes(part);
  await withEngine(values, output, async (engine) => {
    const { threads, build, fused, runtime, simd, vectorBits, registerTile } = engine.info;
    output.note(describeEngine(engine));
    let peaks: PeakResult[] = [];
    if (wants('peak') || wants('gemm') || wants('attention') || values.profile) {
      output.note('register peak …');
      peaks = await measurePeak({ ...values, simd }, values.quick ? QUICK : undefined);
    }
    const peak = peaks.length === 0 ? undefined : peakOf(peaks);
    const kernels = await measureKernels(engine, values, {
      peak,
      threads,
      sizes: values.sizes,
      quick: values.quick,
      onKernel: (name) => output.note(`${name} …`),
    });
    const steps: StepTiming[] = [];
    const profiles: Profile[] = [];
    for (const size of wants('steps') || values.profile ? values.sizes : []) {
      output.note(`training step, size ${size} …`);
      const { timing, during } = await benchStep(engine, size, values.benchSteps, async (model) =>
        values.profile ? profileStep(engine.host, model, size, peak) : undefined,
      );
      steps.push(timing);
      if (during !== undefined) profiles.push(during);
    }
    const decode: DecodeTiming[] = [];
    for (const preset of wants('decode') ? values.decode : []) {
      output.note(`decoding, ${preset} …`);
      decode.push(await benchDecode(engine, preset, values.quick ? QUICK_TOKENS : DECODED_TOKENS));
    }
    const largest = steps.at(-1);
    if (largest !== undefined) await writeCalibration({ flopsPerSecond: largest.flopsPerSecond, threads, build, runtime });
    const result = { peak: peaks, kernels, steps, decode, profiles };
    output.result({ threads, build, fused, runtime, simd, vectorBits, registerTile, peakFlops: peak, ...result }, benchTables(result));
  });
}

async function measureKernels(engine: Engine, { parts }: Values, options: KernelOptions): Promise<KernelResult[]> {
  const results: KernelResult[] = [];
  if (parts.includes('gemm')) results.push(...(await benchGemm(engine.host, options)));
  if (parts.includes('elementwise')) results.push(...(await benchElementwise(engine.host, options)));
  if (parts.includes('attention')) results.push(...(await benchAttention(engine.host, options)));
  if (parts.includes('barrier')) results.push(...(await benchBarrier(engine.host)));
  return results;
}
