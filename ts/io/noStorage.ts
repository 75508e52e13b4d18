// "#storage" where there is no file system (browsers): every call says so. Models leave a page through `toFiles()`. The Node side, with what
// each function does, is node/storage.ts; the types here are its types, so that both can stand for "#storage".
import { FerroError } from '../errors';
import type * as storage from './node/storage';

function refuse(op: string): never {
  throw new FerroError(
    'UNSUPPORTED_RUNTIME',
    `${op}: folders on disk exist in Node only; in a page use toFiles() and a list of Files, a URL or a directory handle`,
  );
}

export const openRun: typeof storage.openRun = async () => refuse('outputDir');
export const saveFolder: typeof storage.saveFolder = async () => refuse('save');
export const openModelFolder: typeof storage.openModelFolder = async () => refuse('GPT.fromPretrained');
