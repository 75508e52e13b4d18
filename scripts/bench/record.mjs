// Records: bench/record/YYYY-MM-DD-NAME.json, one for each kept run of `npm run bench`. Lists of numbers stay on one line, so that records can be read and
// compared by people.
import { existsSync } from 'node:fs';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { ROOT } from '../lib/run.mjs';

export const RECORDS = join(ROOT, 'bench/record');

/** Where the record of today with this name is. */
export function recordPath(name, date = new Date()) {
  if (!/^[a-z0-9][a-z0-9-]*$/i.test(name))
    throw new Error(`--record must be a name of letters, digits and dashes, got ${JSON.stringify(name)}`);
  return join(RECORDS, `${date.toISOString().slice(0, 10)}-${name}.json`);
}

/** JSON with two spaces, lists of numbers and nulls on one line, numbers to seven digits. */
export function recordText(record) {
  const text = JSON.stringify(
    record,
    (_, value) => (typeof value === 'number' && !Number.isInteger(value) ? Number(value.toPrecision(7)) : value),
    2,
  );
  return `${text.replace(/\[\s*((?:-?[\d.e+-]+|null)(?:,\s*(?:-?[\d.e+-]+|null))*)\s*\]/g, (_, list) => `[${list.replace(/\s+/g, ' ')}]`)}\n`;
}

/** Writes a record, whole or not at all. */
export async function writeRecord(path, record) {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(`${path}.tmp`, recordText(record));
  await rename(`${path}.tmp`, path);
}

/** A record, or undefined where there is none. */
export async function readRecord(path) {
  return existsSync(path) ? JSON.parse(await readFile(path, 'utf8')) : undefined;
}
