// For tests: temporary folders, sets of files of which all carry the same version, and scripts of this folder as plain JavaScript for child processes.
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'vite';
import { afterAll } from 'vitest';
import type { FileData } from '../../files';

/** A new folder, removed after the tests of the file. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'ferro-io-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** A set of files that tells its version in every byte. */
export function versionFiles(version: number): Map<string, FileData> {
  const text = `version ${version}\n`;
  return new Map<string, FileData>([
    ['config.json', text],
    ['weights.bin', [new TextEncoder().encode(text), new TextEncoder().encode(text.repeat(500))]],
    ['empty', ''],
    ['blob.txt', new Blob([text.repeat(50)])],
  ]);
}

/** The version of a folder's files. Throws if files are missing, cut or of different versions. */
export function versionOf(folder: string): number {
  const version = Number(/^version (\d+)\n$/.exec(readFileSync(join(folder, 'config.json'), 'utf8'))?.[1]);
  const text = `version ${version}\n`;
  const whole =
    readFileSync(join(folder, 'weights.bin'), 'utf8') === text.repeat(501) &&
    readFileSync(join(folder, 'blob.txt'), 'utf8') === text.repeat(50) &&
    readFileSync(join(folder, 'empty'), 'utf8') === '';
  if (!whole || Number.isNaN(version)) throw new Error(`${folder} is a mixture: ${readdirSync(folder)}`);
  return version;
}

/** Names in a folder that a writer left: temporary ones and old ones. */
export function leftovers(folder: string): string[] {
  return readdirSync(folder).filter((name) => /\.tmp-|\.old$/.test(name));
}

/** A TypeScript file of this folder as a script that `node` runs. */
export async function scriptOf(name: string, outFolder: string): Promise<string> {
  await build({
    configFile: false,
    logLevel: 'error',
    build: {
      ssr: fileURLToPath(new URL(name, import.meta.url)),
      outDir: outFolder,
      emptyOutDir: false,
      rollupOptions: { output: { entryFileNames: '[name].mjs' } },
    },
  });
  return join(outFolder, name.replace(/\.ts$/, '.mjs'));
}
