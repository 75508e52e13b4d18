#!/usr/bin/env node
// The command line's entry: commands, exit codes, and how errors are shown. Each command is in a file of its own.

import { Command, CommanderError } from 'commander';
import { COMMAND_OPTIONS, nearest, OPTIONS, type OptionName } from '../options';
import { VERSION } from '../version';
import { addBench } from './bench';
import { addDemo } from './demo';
import { addEval } from './eval';
import { describeError, EXIT, exitCodeOf } from './exit';
import { addExport } from './export';
import { normaliseArguments } from './flags';
import { addGenerate } from './generate';
import { addNotBuilt } from './notBuilt';
import { addPlan } from './plan';
import { addTokenizer } from './tokenizer';
import { addTrain } from './train';

function makeProgram(finish: (code: number) => void): Command {
  const program = new Command('ferroformer')
    .description('Train, fine-tune and run GPTs: Rust kernels in WebAssembly, modules in TypeScript.')
    .version(VERSION)
    .helpOption('-h, --help', 'show help')
    .helpCommand('help [command]', 'show help for a command')
    .exitOverride()
    .showSuggestionAfterError(false)
    .configureHelp({ helpWidth: 120 })
    .configureOutput({ outputError: () => {} }); // told in `usageError`
  addTrain(program, finish);
  addGenerate(program);
  addEval(program);
  addExport(program);
  addPlan(program);
  addBench(program);
  addTokenizer(program);
  addDemo(program, finish);
  addNotBuilt(program);
  return program;
}

/** What is wrong with the arguments, with the nearest thing that exists. */
function usageError(error: CommanderError, command: string | undefined): string {
  const unknown = /unknown option '-*([^'=]+)/.exec(error.message);
  const names = command !== undefined && command in COMMAND_OPTIONS ? COMMAND_OPTIONS[command as keyof typeof COMMAND_OPTIONS] : [];
  if (unknown !== null && names.length > 0) {
    const near = nearest(unknown[1], names) as OptionName;
    return `error UNKNOWN_OPTION: ${command}: options must be known ones, got "--${unknown[1]}" (the nearest is "--${OPTIONS[near].flag}")`;
  }
  if (error.code === 'commander.unknownCommand') {
    const wrong = /'([^']+)'/.exec(error.message)?.[1] ?? '';
    return `error: the command must be a known one, got "${wrong}" (the nearest is "${nearest(wrong, Object.keys(COMMAND_OPTIONS))}")`;
  }
  return error.message;
}

/** Runs the command line; answers the exit code. */
export async function main(argv: readonly string[]): Promise<number> {
  let code: number = EXIT.ok;
  const program = makeProgram((result) => {
    code = result;
  });
  const command = argv.find((argument) => !argument.startsWith('-'));
  const names = command !== undefined && command in COMMAND_OPTIONS ? COMMAND_OPTIONS[command as keyof typeof COMMAND_OPTIONS] : [];
  try {
    await program.parseAsync(normaliseArguments(argv, names), { from: 'user' });
  } catch (error) {
    if (error instanceof CommanderError) {
      if (error.exitCode === 0) return EXIT.ok; // --help, --version
      if (error.code !== 'commander.help') process.stderr.write(`${usageError(error, command)}\n`);
      return EXIT.usage;
    }
    process.stderr.write(`${describeError(error)}\n`);
    return exitCodeOf(error);
  }
  return code;
}

// A reader that closes early (`| head`) ends the command quietly.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(EXIT.ok);
  throw error;
});

process.exitCode = await main(process.argv.slice(2));
