// `ferroformer plan`: what a training run would cost, before it starts. The numbers come from the library's estimate; a time is told once `bench` has
// measured this machine.

import type { Command } from 'commander';
import { adapterFromFlags } from '../adapters';
import {
  estimate,
  type ModelConfigOptions,
  type PlannedAdapter,
  parameterNames,
  resolveModelConfig,
  resolveSeq2SeqConfig,
  type Seq2SeqConfig,
  type Seq2SeqConfigOptions,
} from '../models';
import { COMMAND_OPTIONS, GPT_CONFIG_OPTIONS, type OptionValues, snakeCase, TRANSFORMER_FLAGS } from '../options';
import { matchParameters } from '../train';
import { readCalibration } from './calibration';
import { chooseTokenizer } from './data';
import { addFlags, pickGiven, readCommandOptions } from './flags';
import { formatBytes, formatCount, formatScale, formatSeconds, formatTable } from './format';
import { Output } from './output';
import { refuseOthers } from './tasks/belongs';
import { DEFAULT_SIZE } from './tasks/seq2seq';

const NAMES = COMMAND_OPTIONS.plan;
type Values = OptionValues<(typeof NAMES)[number]>;

/** Characters of a typical English text: the vocabulary where none is given. */
const DEFAULT_VOCABULARY = 65;
const ADDRESS_SPACE = 4 * 1024 ** 3;

/** Adds the command. */
export function addPlan(program: Command): void {
  const command = program.command('plan').description('parameters, arithmetic, memory and time of a training run, without running it');
  addFlags(command, NAMES).action(async (parsed) => {
    const { values, given } = await readCommandOptions('plan', parsed, NAMES);
    refuseOthers('plan', values.task ?? 'lm', given);
    await plan(new Output(values.json), values, given);
  });
}

/** f32 numbers that the optimizer keeps for each parameter. */
function optimizerSlots({ optim, momentum }: Values): number {
  if (optim === 'adamw') return 2;
  return momentum > 0 ? 1 : 0;
}

async function vocabularyOf(values: Values): Promise<number> {
  if (values.vocabSize !== undefined) return values.vocabSize;
  const name = values.tokenizerName ?? 'char';
  if (values.data === undefined && name === 'char') return values.preset?.startsWith('gpt2') ? 50257 : DEFAULT_VOCABULARY;
  return (await chooseTokenizer(name, values.data ?? [])).vocabSize;
}

/** An encoder-decoder with one vocabulary for both sides, of the size that `train --task seq2seq` makes. */
function planTransformer(given: Partial<Values>, vocabSize: number): Seq2SeqConfig {
  const flags = pickGiven(given, TRANSFORMER_FLAGS) as Seq2SeqConfigOptions;
  return resolveSeq2SeqConfig({ ...DEFAULT_SIZE, shareEmbeddings: true, ...flags, inputDim: vocabSize, outputDim: vocabSize }, 'plan');
}

/** The adapter that `train` with these flags would make. */
function plannedAdapter(values: Values): PlannedAdapter | undefined {
  const flags = adapterFromFlags(values, 'plan');
  if (flags === null) return undefined;
  const { rank, alpha, dropout, targetModules } = flags;
  return { rank, alpha, dropout, targetModules };
}

async function plan(output: Output, values: Values, given: Partial<Values>): Promise<void> {
  const { batchSize, gradientAccumulationSteps, gradientCheckpointing } = values;
  const preset = values.preset ?? 'gpt-micro';
  const vocabSize = await vocabularyOf(values);
  const config =
    values.task === 'seq2seq'
      ? planTransformer(given, vocabSize)
      : resolveModelConfig({ ...pickGiven(given, GPT_CONFIG_OPTIONS), preset, vocabSize } as ModelConfigOptions, 'plan');
  const frozen = values.freeze === undefined ? [] : matchParameters('plan', 'freeze', values.freeze, parameterNames(config));
  const accumulation = { gradientAccumulationSteps, gradientCheckpointing };
  const adapter = plannedAdapter(values);
  const cost = estimate(config, {
    batchSize,
    ...accumulation,
    optimizerSlots: optimizerSlots(values),
    frozen,
    adapter,
    quantize: values.quantize,
  });
  const tokensPerStep = batchSize * gradientAccumulationSteps * config.blockSize;
  const calibration = await readCalibration();
  const secondsPerStep = calibration === undefined ? undefined : cost.flops.perStep / calibration.flopsPerSecond;
  const maxSteps = values.maxSteps;
  const seconds = secondsPerStep === undefined || maxSteps === undefined ? undefined : secondsPerStep * maxSteps;
  const fits = cost.memory.peak <= (values.maxMemoryBytes ?? ADDRESS_SPACE);
  const { config: _file, json: _json, ...options } = { ...given, ...config, batchSize, gradientAccumulationSteps, gradientCheckpointing };
  output.result(
    {
      ...cost,
      tokensPerStep,
      fits,
      secondsPerStep,
      tokensPerSecond: secondsPerStep === undefined ? undefined : tokensPerStep / secondsPerStep,
      seconds,
      options,
    },
    describe(cost, options, { tokensPerStep, fits, secondsPerStep, maxSteps }),
  );
}

interface Timing {
  tokensPerStep: number;
  fits: boolean;
  secondsPerStep?: number;
  maxSteps?: number;
}

function describe(cost: ReturnType<typeof estimate>, options: object, { tokensPerStep, fits, secondsPerStep, maxSteps }: Timing): string {
  const { parameters, flops, memory } = cost;
  const rows = (title: string, table: [string, string][]) => `${title}\n${formatTable(table.map(([name, value]) => [`  ${name}`, value]))}`;
  const time: [string, string][] =
    secondsPerStep === undefined
      ? [['unknown', 'run `ferroformer bench` once to measure this machine']]
      : [
          ['per step', `${(secondsPerStep * 1000).toFixed(1)} ms`],
          ['speed', `${formatCount(tokensPerStep / secondsPerStep)} tokens/s`],
          ...(maxSteps === undefined
            ? []
            : [[`${formatCount(maxSteps)} steps`, formatSeconds(secondsPerStep * maxSteps)] as [string, string]]),
        ];
  return [
    rows(
      'parameters',
      Object.entries(parameters).map(([part, n]) => [words(part), formatCount(n)]),
    ),
    rows('arithmetic', [
      ['per token', `${formatScale(flops.perToken)}FLOP`],
      ['per step', `${formatScale(flops.perStep)}FLOP`],
      ['tokens per step', formatCount(tokensPerStep)],
    ]),
    rows(
      'memory',
      Object.entries(memory).map(([part, n]) => [words(part), formatBytes(n)]),
    ),
    fits ? '' : `  does not fit: the engine's memory ends at ${formatBytes(ADDRESS_SPACE)}`,
    rows('on disk', [
      ['model', formatBytes(cost.modelBytes)],
      ...(cost.int8Bytes === undefined ? [] : [['model in int8 blocks', formatBytes(cost.int8Bytes)] as [string, string]]),
      ['checkpoint', formatBytes(cost.checkpointBytes)],
    ]),
    rows('time', time),
    rows(
      'options',
      Object.entries(options).map(([name, value]) => [snakeCase(name), String(value)]),
    ),
  ]
    .filter((part) => part !== '')
    .join('\n');
}

/** `tokenEmbedding` as "token embedding". */
function words(name: string): string {
  return snakeCase(name).replaceAll('_', ' ');
}
