// Which flags are for which tasks: one that means nothing to the task is refused, not passed over.
import { FerroError } from '../../errors';
import type { TaskName } from '../../io';
import { GPT_CONFIG_OPTIONS, OPTIONS, type OptionName, TRANSFORMER_FLAGS } from '../../options';

const ROWS: readonly TaskName[] = ['sft', 'classify', 'seq2seq', 'dpo'];
const DECODERS: readonly TaskName[] = ['lm', 'sft', 'classify', 'dpo'];
const WRITTEN: readonly TaskName[] = ['sft', 'seq2seq'];

const common = new Set<OptionName>(GPT_CONFIG_OPTIONS.filter((name) => (TRANSFORMER_FLAGS as readonly OptionName[]).includes(name)));

const TASKS_OF: ReadonlyMap<OptionName, readonly TaskName[]> = new Map<OptionName, readonly TaskName[]>([
  ...GPT_CONFIG_OPTIONS.filter((name) => !common.has(name) && name !== 'vocabSize').map((name) => [name, DECODERS] as const),
  ...TRANSFORMER_FLAGS.filter((name) => !common.has(name)).map((name) => [name, ['seq2seq']] as const),
  ...(['columns', 'header', 'template', 'taskPrefix', 'overflow', 'splitBy', 'groupByLength'] as const).map(
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
  ['quantize', ['lm', 'sft', 'dpo']],
]);

/** @throws INVALID_OPTION for a given option that is for other tasks */
export function refuseOthers(command: string, task: TaskName, given: object): void {
  for (const name of Object.keys(given) as OptionName[]) {
    const tasks = TASKS_OF.get(name);
    if (tasks === undefined || tasks.includes(task)) continue;
    throw new FerroError(
      'INVALID_OPTION',
      `${command}: "--${OPTIONS[name].flag}" must be given with --task ${tasks.join(' or ')}, got it with ${task}`,
    );
  }
}
