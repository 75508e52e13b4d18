// What `bench` measured on this machine and `plan` uses: arithmetic per second of a training step. Kept in the user's cache folder, never in a project.

import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';

/** One measurement. */
export interface Calibration {
  /** Floating-point operations per second of whole training steps. */
  flopsPerSecond: number;
  threads: number;
  build: string;
  runtime: string;
}

/** Where it is kept: FERRO_CACHE, else the system's place for caches. */
export function calibrationPath(env: NodeJS.ProcessEnv = process.env): string {
  const base = env.FERRO_CACHE ?? join(env.XDG_CACHE_HOME ?? env.LOCALAPPDATA ?? join(homedir(), '.cache'), 'ferroformer');
  return join(base, 'calibration.json');
}

/** The last measurement; undefined where there is none or it cannot be read. */
export async function readCalibration(path: string = calibrationPath()): Promise<Calibration | undefined> {
  try {
    const value = JSON.parse(await readFile(path, 'utf8')) as Partial<Calibration>;
    const { flopsPerSecond } = value;
    return typeof flopsPerSecond === 'number' && flopsPerSecond > 0 ? (value as Calibration) : undefined;
  } catch {
    return undefined; // never measured, or not ours
  }
}

/** Keeps a measurement. */
export async function writeCalibration(calibration: Calibration, path: string = calibrationPath()): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(`${path}.tmp`, `${JSON.stringify(calibration, null, 2)}\n`);
  await rename(`${path}.tmp`, path);
}
