// Which flags are for which tasks: one that means nothing to the task is refused, not passed over.
import { FerroError } from '../../errors';
import type { TaskName } from '../../io';
import { CONTEXT_OPTIONS, GPT_CONFIG_OPTIONS, OPTIONS, type OptionName, TRANSFORMER_FLAGS } from '../../options';

const ROWS: readonly TaskName[] = ['sft', 'classify', 'seq2seq', 'dpo'];
const DECODERS: readonly TaskName[] = ['lm', 'sft', 'classify', 'dpo'];
const WRITTEN: readonly TaskName[] = ['sft', 'seq2seq'];
const CAUSAL: readonly TaskName[] = ['lm', 'sft', 'dpo'];

const common = new Set<OptionName>(GPT_CONFIG_OPTIONS.filter((name) => (TRANSFORMER_FLAGS as readonly OptionName[]).includes(name)));

const TASKS_OF: ReadonlyMap<OptionName, readonly TaskName[]> = new Map<OptionName, readonly TaskName[]>([
  ...GPT_CONFIG_OPTIONS.filter((name) => !common.has(name) && name !== 'vocabSize').map((name) => [name, DECODERS] as const),
  ...TRANSFORMER_FLAGS.filter((name) => !common.has(name)).map((name) => [name, ['seq2seq']] as const),
  ...(['columns', 'header', 'dataFormat', 'template', 'taskPrefix', 'overflow', 'splitBy', 'groupByLength'] as const).map(
    (name) => [name, ROWS] as const,
  ),
  ...(['metrics', 'maxNewTokens', 'numBeams', 'lengthPenalty', 'stopStrings'] as const).map((name) => [name, WRITTEN] as const),
  ['taskTokens', ['sft', 'classify', 'dpo']],
  ['endOfText', ['sft', 'dpo']],
  ['packing', ['sft']],
  ['labels', ['classify']],
  ['pooling', ['classify']],
  ['beta', ['dpo']],
  ['lossType', ['dpo']],
  ['labelSmoothing', ['seq2seq', 'dpo']],
  ['targetTokenizerName', ['seq2seq']],
  ['quantize', CAUSAL],
  ['stride', ['lm']],
  ['predictions', ['sft', 'classify', 'seq2seq']],
]);

/** Of a saved model only a language model's context may be changed. */
const CONTEXT: ReadonlySet<OptionName> = new Set(CONTEXT_OPTIONS);

/** @throws INVALID_OPTION for a given option that is for other tasks */
export function refuseOthers(command: string, task: TaskName, given: object): void {
  for (const name of Object.keys(given) as OptionName[]) {
    const tasks = command === 'eval' && CONTEXT.has(name) ? CAUSAL : TASKS_OF.get(name);
    if (tasks === undefined || tasks.includes(task)) continue;
    throw new FerroError(
      'INVALID_OPTION',
      `${command}: "--${OPTIONS[name].flag}" must be given with --task ${tasks.join(' or ')}, got it with ${task}`,
    );
  }
}
