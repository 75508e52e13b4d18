// The loop of a fuzz target in TypeScript. It is guided by answers: an input whose answer (accepted, or the rule it broke) was not seen before becomes a base
// for later ones, and with FERRO_FUZZ_KEEP=1 a file of the corpus. What every input must get: an answer, typed, within a second, Object.prototype untouched.
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { type ErrorCode, REMEDIES } from 'ferroformer';
import { mutate, randomNumbers } from './json';

export interface Target {
  /** Folder of the corpus; names the test. */
  readonly name: string;
  /** Good inputs to start from. */
  readonly documents: readonly string[];
  /** Reads the input and uses what it read. Throws a FerroError where it is refused. */
  check(input: string): Promise<void>;
}

/** Codes that no input may cause: they say that the library is broken. */
const FAULTS: ReadonlySet<string> = new Set<ErrorCode>([
  'BAD_PROGRAM',
  'ENGINE_DIED',
  'ENGINE_CLOSED',
  'ENGINE_START_FAILED',
  'UNBOUND_VARIABLE',
]);
const LONGEST_MS = 1000;
const LONGEST_MESSAGE = 8100;
/** Larger inputs are no bases: what is made from them is slow and tells little. */
const LARGEST_BASE = 20_000;

const folder = (name: string) => fileURLToPath(new URL(`./corpus/${name}/`, import.meta.url));

/** The kept inputs of a target. They are text, a lone surrogate in them written as JSON does. */
export function corpus(name: string): string[] {
  return readdirSync(folder(name))
    .sort()
    .map((file) => JSON.parse(readFileSync(`${folder(name)}${file}`, 'utf8')) as string);
}

/** What a kind of answer has in common: the code, and the message without values. */
function kindOf(error: { code: string; message: string }): string {
  const before = error.message.indexOf(', got');
  const rule = error.message
    .slice(0, before < 0 ? 160 : before)
    .replace(/"(?:[^"\\]|\\.)*"/g, '""')
    .replace(/[\w/-]*[._/][\w./-]*/g, 'name')
    .replace(/\d+/g, '0');
  return `${error.code} ${rule}`;
}

/** The answer to one input. Throws an error that says what is wrong with it, if anything is. */
export async function answer(target: Target, input: string): Promise<string> {
  const once = async (): Promise<{ kind: string; ms: number }> => {
    const started = performance.now();
    let kind = 'accepted';
    try {
      await target.check(input);
    } catch (error) {
      const { name, code, message } = error as { name: string; code: string; message: string };
      if (name !== 'FerroError' || !Object.hasOwn(REMEDIES, code)) throw new Error(`no typed error but ${String(error)}`, { cause: error });
      if (FAULTS.has(code)) throw new Error(`the library is broken: ${code} ${message}`, { cause: error });
      if (message.length > LONGEST_MESSAGE) throw new Error(`a message of ${message.length} characters: ${message.slice(0, 200)}`);
      kind = kindOf({ code, message });
    }
    return { kind, ms: performance.now() - started };
  };
  const { kind, ms } = await once();
  // A busy machine may make one slow; three in a row it does not.
  if (ms > LONGEST_MS && (await once()).ms > LONGEST_MS && (await once()).ms > LONGEST_MS) throw new Error(`it takes ${Math.round(ms)} ms`);
  const polluted = Object.keys(Object.prototype).concat(Object.keys(Array.prototype));
  if (polluted.length > 0 || Reflect.get({}, 'polluted') !== undefined) throw new Error(`a prototype has got ${polluted.join(', ')}`);
  return kind;
}

/**
 * Tries mutated inputs until the runs or the seconds are over.
 * @returns how many it tried and the kinds of answers there were
 * @throws an error that shows the input, which is kept in .cache/fuzz
 */
export async function fuzz(target: Target, { runs, seconds, seed }: { runs: number; seconds: number; seed: number }) {
  const bases = [...target.documents, ...corpus(target.name)];
  const seen = new Set<string>();
  const random = randomNumbers(seed);
  const end = performance.now() + seconds * 1000;
  const attempt = async (input: string): Promise<boolean> => {
    try {
      const kind = await answer(target, input);
      return seen.size < seen.add(kind).size;
    } catch (cause) {
      const cache = fileURLToPath(new URL('../../.cache/fuzz/', import.meta.url));
      mkdirSync(cache, { recursive: true });
      writeFileSync(`${cache}${target.name}-failure.json`, JSON.stringify(input));
      const shown = input.length > 2000 ? `${input.slice(0, 2000)}…` : input;
      throw new Error(
        `${target.name}, seed ${seed}: ${(cause as Error).message}\nThe input (also .cache/fuzz/${target.name}-failure.json):\n${shown}`,
        { cause },
      );
    }
  };
  for (const base of bases) await attempt(base);
  let tried = 0;
  for (; tried < runs && performance.now() < end; tried++) {
    const input = mutate(bases, random);
    if (!(await attempt(input)) || input.length > LARGEST_BASE) continue;
    bases.push(input);
    if (process.env.FERRO_FUZZ_KEEP !== undefined)
      writeFileSync(`${folder(target.name)}${seed}-${tried}.json`, `${JSON.stringify(input)}\n`);
  }
  return { tried, kinds: [...seen] };
}
