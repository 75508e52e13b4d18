// "#storage" where there is no file system (browsers): every call says so. Models leave a page through `toFiles()`. The Node side, with what
// each function does, is node/storage.ts.
import { FerroError } from '../errors';

function refuse(op: string): never {
  throw new FerroError(
    'UNSUPPORTED_RUNTIME',
    `${op}: folders on disk exist in Node only; in a page use toFiles() and a list of Files, a URL or a directory handle`,
  );
}

export const openRun = (): Promise<never> => refuse('outputDir');
export const saveFolder = (): Promise<never> => refuse('save');
export const openModelFolder = (): Promise<never> => refuse('GPT.fromPretrained');
