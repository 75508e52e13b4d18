// The list of what runs once: an entry of a file that has moved would leave it to run everywhere, and nobody would see why the tests take long.
import { existsSync, readdirSync, statSync } from 'node:fs';
import { expect, test } from 'vitest';
import { ONCE } from './once';

test.each(Object.entries(ONCE))('%s is there, and has tests', (path, reason) => {
  const place = new URL(`../${path}`, import.meta.url);
  expect(existsSync(place)).toBe(true);
  const files = statSync(place).isDirectory() ? readdirSync(place, { recursive: true }).map(String) : [path];
  expect(files.filter((file) => file.endsWith('.test.ts'))).not.toEqual([]);
  expect(reason).not.toBe('');
});
