// Small helpers of the public tests about training and generating: engines and folders that end with the test, hashes, texts.
import { createHash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Engine, EngineOptions, GPT } from 'ferroformer';
import { afterAll, onTestFinished } from 'vitest';
import { startEngine } from './engine';

let shared: Promise<Engine> | undefined;
afterAll(async () => (await shared)?.close());

/** The engine that the tests of a file have in common: starting one takes longer than many a test. Not to be closed, and not for tests about engines and bytes. */
export function sharedEngine(): Promise<Engine> {
  shared ??= startEngine();
  return shared;
}

/** Starts an engine of the test's own, which is closed when it ends. */
export async function openEngine(options: EngineOptions = {}): Promise<Engine> {
  const engine = await startEngine(options);
  onTestFinished(() => engine.close());
  return engine;
}

/** A folder that is removed when the test ends. */
export async function scratch(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'ferroformer-test-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** SHA-256 over the names and bytes of all parameters. */
export async function hashParameters(model: Pick<GPT, 'parameters'>): Promise<string> {
  const hash = createHash('sha256');
  for (const [name, parameter] of model.parameters) {
    const data = await parameter.data();
    hash.update(name).update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  }
  return hash.digest('hex');
}

/** A text to train on: English-like, no two windows equal, made by a linear congruential generator with a fixed seed. */
export function makeText(characters: number): string {
  const words = [
    'the ',
    'whale ',
    'and ',
    'sea ',
    'of ',
    'a ',
    'ship ',
    'was ',
    'in ',
    'white ',
    'old ',
    'captain ',
    'said ',
    'there ',
    'upon ',
    'his.\n',
  ];
  let text = '';
  let state = 12345;
  while (text.length < characters) {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    text += words[(state >>> 16) % words.length];
  }
  return text.slice(0, characters);
}

/** With FERRO_MEASURE=1 a test prints what it measured, for docs/measurements.md. */
export function measured(what: string, value: number): number {
  if (process.env.FERRO_MEASURE !== undefined) console.log(`measured: ${what}: ${value.toExponential(2)}`);
  return value;
}
