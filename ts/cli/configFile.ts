// A configuration file: YAML or JSON with options as keys, or the run.json of an earlier run, whose `options` it takes.

import { readFile } from 'node:fs/promises';
import { parse } from 'yaml';
import { FerroError } from '../errors';

/**
 * The options in a file, unchecked.
 * @throws FILE_NOT_FOUND; INVALID_FILE for what is not YAML or holds no mapping
 */
export async function readConfigFile(path: string): Promise<object> {
  const text = await readFile(path, 'utf8').catch((cause: unknown) => {
    throw new FerroError('FILE_NOT_FOUND', `--config: the file must be readable, got ${JSON.stringify(path)}`, { cause });
  });
  return parseConfig(text, path);
}

/** Longest configuration file: the parser compares every key of a mapping with every other. */
const MAX_CHARACTERS = 1 << 15;

/** The options in the text of a configuration file; `path` is for messages. */
export function parseConfig(text: string, path: string): object {
  if (text.length > MAX_CHARACTERS) {
    throw new FerroError(
      'INVALID_FILE',
      `--config: ${JSON.stringify(path)} must have at most ${MAX_CHARACTERS} characters, got ${text.length}`,
    );
  }
  let content: unknown;
  try {
    content = parse(text, { maxAliasCount: 100, logLevel: 'error' });
  } catch (cause) {
    throw new FerroError('INVALID_FILE', `--config: ${JSON.stringify(path)} must be YAML or JSON`, { cause });
  }
  if (content === null || content === undefined) return {};
  if (typeof content !== 'object' || Array.isArray(content)) {
    throw new FerroError(
      'INVALID_FILE',
      `--config: ${JSON.stringify(path)} must hold options as keys, got ${Array.isArray(content) ? 'a list' : typeof content}`,
    );
  }
  const { options } = content as { options?: unknown };
  const isRun = typeof options === 'object' && options !== null && !Array.isArray(options);
  return isRun ? options : content;
}
