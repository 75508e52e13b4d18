// `ferroformer tokenizer train | encode | decode`: a byte-level BPE from text files, ids of a text, text of ids. Large files go through in pieces.

import { readFile } from 'node:fs/promises';
import type { Command } from 'commander';
import { readText } from '../data';
import { FerroError } from '../errors';
import { writeFolder } from '../io/node';
import { type OptionValues, TOKENIZER_COMMAND_OPTIONS } from '../options';
import { openTokenizer, trainTokenizer } from './data';
import { addFlags, readCommandOptions, required, requireOne } from './flags';
import { formatCount, formatSeconds } from './format';
import { Output } from './output';

const { train: TRAIN, encode: ENCODE, decode: DECODE } = TOKENIZER_COMMAND_OPTIONS;
type Train = OptionValues<(typeof TRAIN)[number]>;
type Encode = OptionValues<(typeof ENCODE)[number]>;
type Decode = OptionValues<(typeof DECODE)[number]>;

/** Characters of `--text` encoded at once. */
const PIECE = 1 << 20;

/** Adds the command and the three under it. */
export function addTokenizer(program: Command): void {
  const command = program.command('tokenizer').description('train a byte-level BPE on text files; ids of a text, text of ids');
  command.helpCommand(false);
  addFlags(command.command('train').description('train a byte-level BPE and write it as Hugging Face has it'), TRAIN).action(
    async (parsed) => {
      const { values } = await readCommandOptions('tokenizer train', parsed, TRAIN);
      await train(new Output(values.json), values);
    },
  );
  addFlags(command.command('encode').description('the ids of a text; a JSON list with --json'), ENCODE).action(async (parsed) => {
    const { values } = await readCommandOptions('tokenizer encode', parsed, ENCODE);
    await encode(new Output(values.json), values);
  });
  addFlags(command.command('decode').description('the text of ids, exactly (no line break is added)'), DECODE).action(async (parsed) => {
    const { values } = await readCommandOptions('tokenizer decode', parsed, DECODE);
    await decode(new Output(values.json), values);
  });
}

async function train(output: Output, values: Train): Promise<void> {
  const data = required('tokenizer train', values.data, 'data');
  const outputDir = required('tokenizer train', values.outputDir, 'out');
  const started = performance.now();
  const { vocabSize, specialTokens, minFrequency, pattern } = values;
  const tokenizer = await trainTokenizer(data, { vocabSize, specialTokens, minFrequency, pattern });
  const seconds = (performance.now() - started) / 1000;
  const files = tokenizer.toFiles({ vocabAndMerges: true });
  await writeFolder(outputDir, files);
  output.result(
    { outputDir, vocabSize: tokenizer.vocabSize, hash: tokenizer.hash, files: [...files.keys()], seconds },
    `${formatCount(tokenizer.vocabSize)} tokens after ${formatSeconds(seconds)}: ${outputDir} (${[...files.keys()].join(', ')})`,
  );
}

/** The text of `--file` or `--text` in pieces; an empty file is an empty text. */
async function* textOf({ file, text }: Encode): AsyncGenerator<string> {
  if (file !== undefined) yield* readText(file);
  else for (let at = 0; at < text!.length; at += PIECE) yield text!.slice(at, at + PIECE);
}

async function encode(output: Output, values: Encode): Promise<void> {
  requireOne('tokenizer encode', [values.file, values.text], ['file', 'text']);
  const tokenizer = await openTokenizer(required('tokenizer encode', values.tokenizerName, 'tokenizer'));
  const { addSpecialTokens, allowSpecial } = values;
  const encoder = tokenizer.encoder({ addSpecialTokens, allowSpecial });
  let first = true;
  const separator = output.json ? ',' : ' ';
  const write = async (ids: Int32Array) => {
    if (ids.length === 0) return;
    await output.write(`${first ? '' : separator}${ids.join(separator)}`);
    first = false;
  };
  if (output.json) await output.write('[');
  for await (const piece of textOf(values)) await write(encoder.push(piece));
  await write(encoder.flush());
  await output.write(output.json ? ']\n' : '\n');
}

/** Ids of a file: a JSON list, or numbers with commas or white space between them. @throws INVALID_FILE */
async function idsOf(file: string): Promise<number[]> {
  const text = await readFile(file, 'utf8').catch((cause: unknown) => {
    throw new FerroError('FILE_NOT_FOUND', `tokenizer decode: "--file" must be a file, got ${JSON.stringify(file)}`, { cause });
  });
  const parts = text
    .trim()
    .replace(/^\[|\]$/g, '')
    .split(/[\s,]+/);
  return parts.flatMap((part, i) => {
    if (part === '' && (i === 0 || i === parts.length - 1)) return [];
    if (!/^\d{1,15}$/.test(part))
      throw new FerroError('INVALID_FILE', `${file}: must hold token ids, got ${JSON.stringify(part.slice(0, 40))} at place ${i}`);
    return [Number(part)];
  });
}

async function decode(output: Output, values: Decode): Promise<void> {
  requireOne('tokenizer decode', [values.file, values.ids], ['file', 'ids']);
  const tokenizer = await openTokenizer(required('tokenizer decode', values.tokenizerName, 'tokenizer'));
  const text = tokenizer.decode(values.ids ?? (await idsOf(values.file!)), { skipSpecialTokens: values.hideSpecialTokens });
  await output.write(output.json ? `${JSON.stringify({ text })}\n` : text);
}
