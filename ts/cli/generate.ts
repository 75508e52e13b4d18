// `ferroformer generate`: text from a saved model, streamed to standard output as it is written. A causal model continues the prompt; for an encoder-decoder the prompt is the
// source, and only what is written is printed.

import type { Command } from 'commander';
import { loadModel, Transformer } from '../index';
import { COMMAND_OPTIONS, type OptionValues, SAMPLING_OPTIONS } from '../options';
import { addFlags, pickGiven, readCommandOptions, required, requireOne } from './flags';
import { Output } from './output';
import { noteUnexpected, withEngine } from './session';

const NAMES = COMMAND_OPTIONS.generate;
type Values = OptionValues<(typeof NAMES)[number]>;

/** Adds the command. */
export function addGenerate(program: Command): void {
  const command = program.command('generate').description('write text with a saved model');
  addFlags(command, NAMES).action(async (parsed) => {
    const { values, given } = await readCommandOptions('generate', parsed, NAMES);
    await generate(new Output(values.json), values, given);
  });
}

async function generate(output: Output, values: Values, given: Partial<Values>): Promise<void> {
  const source = required('generate', values.model, 'model');
  const { promptIds } = values;
  const prompts = values.prompt === undefined ? [] : [values.prompt].flat();
  requireOne('generate', [prompts[0], promptIds], ['prompt', 'prompt-ids']);
  await withEngine(values, output, async (engine) => {
    const model = await loadModel(engine, source, { quantize: values.quantize });
    noteUnexpected(output, model);
    const continues = !(model instanceof Transformer);
    const tokenizer = model instanceof Transformer ? model.targetTokenizer : model.tokenizer;
    // Only what was given: the library draws a seed where there is none, and tells it.
    const options = pickGiven(given, SAMPLING_OPTIONS);
    const started = performance.now();
    const stream = model.generate(promptIds ?? (prompts.length === 1 ? prompts[0] : prompts), options);
    const prompt = prompts.length > 1 ? prompts : prompts[0];
    const several = prompts.length > 1 || values.numReturnSequences > 1 || values.numBeams > 1;
    if (output.json || several) {
      const { sequences, ...first } = await stream;
      const tokens = sequences.reduce((sum, { ids }) => sum + ids.length, 0);
      const tokensPerSecond = Math.round(tokens / ((performance.now() - started) / 1000));
      const promptOf = (i: number) => prompts[Math.floor(i / values.numReturnSequences)] ?? '';
      const texts = sequences.map(({ text, ids }, i) => (continues ? promptOf(i) : '') + (tokenizer === null ? ids.join() : text));
      output.result({ ...first, prompt, promptIds, tokensPerSecond, sequences }, texts.join('\n---\n'));
      if (!output.json) output.note(`${tokens} tokens, ${tokensPerSecond} tokens/s, seed ${first.seed}`);
      return;
    }
    if (continues) output.piece(prompts[0] ?? '');
    for await (const piece of stream) output.piece(tokenizer === null ? `${piece.index > 0 ? ',' : ''}${piece.id}` : piece.text);
    output.piece('\n');
    const { ids, seed } = await stream;
    output.note(`${ids.length} tokens, ${Math.round(ids.length / ((performance.now() - started) / 1000))} tokens/s, seed ${seed}`);
  });
}
