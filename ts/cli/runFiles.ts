// What the command line adds to the Trainer's run directory: the options a run was started with (in run.json), the samples, the report.

import { appendFile, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { FerroError } from '../errors';
import { parseJson } from '../json';
import { readJsonLines, type Sample } from './report';

/** run.json of a directory; undefined where there is none. @throws INVALID_FILE */
export async function readRunJson(directory: string): Promise<Record<string, unknown> | undefined> {
  const path = join(directory, 'run.json');
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return undefined;
    throw error;
  });
  if (text === undefined) return undefined;
  try {
    const value: unknown = parseJson(text);
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  } catch (cause) {
    throw new FerroError('INVALID_FILE', `run.json: must be JSON, got another text in ${JSON.stringify(path)}`, { cause });
  }
  throw new FerroError('INVALID_FILE', `run.json: must hold an object, got another value in ${JSON.stringify(path)}`);
}

/** Adds the options that a run was started with to its run.json, so that `--resume` and `--config run.json` need no flags. */
export async function writeRunOptions(directory: string, options: Record<string, unknown>): Promise<void> {
  const run = (await readRunJson(directory)) ?? {};
  const path = join(directory, 'run.json');
  await writeFile(`${path}.tmp`, `${JSON.stringify({ ...run, options }, null, 2)}\n`);
  await rename(`${path}.tmp`, path);
}

/** Adds a sample to samples.jsonl. */
export async function appendSample(directory: string, sample: Sample): Promise<void> {
  await appendFile(join(directory, 'samples.jsonl'), `${JSON.stringify(sample)}\n`);
}

/** Drops the samples after `step`: what a resumed run writes again. */
export async function truncateSamples(directory: string, step: number): Promise<void> {
  const path = join(directory, 'samples.jsonl');
  const samples = await readJsonLines<Sample>(path);
  const kept = samples.filter((sample) => sample.step <= step);
  if (kept.length === samples.length) return;
  await writeFile(`${path}.tmp`, kept.map((sample) => `${JSON.stringify(sample)}\n`).join(''));
  await rename(`${path}.tmp`, path);
}
