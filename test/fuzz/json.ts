// Hostile JSON made from good JSON: a document as a tree whose leaves are pieces of text, so that it can hold what no JavaScript value holds (equal keys,
// 4.0, integers beyond 2^53, lone surrogates), and edits of such trees and of their text. Everything comes from the random numbers it is given.
import { parseJson } from '../../ts/json';

/** A list, an object with its keys in order (as JSON strings, equal ones allowed), or the text of any other value. */
export type Tree = string | { list: Tree[] } | { members: [key: string, value: Tree][] };

/** 32-bit random numbers from a seed (mulberry32, public domain). */
export function randomNumbers(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let x = Math.imul(state ^ (state >>> 15), state | 1);
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
    return ((x ^ (x >>> 14)) >>> 0) % below;
  };
}

export function toTree(value: unknown): Tree {
  if (Array.isArray(value)) return { list: value.map(toTree) };
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  return { members: Object.entries(value).map(([key, member]) => [JSON.stringify(key), toTree(member)]) };
}

export function toText(tree: Tree): string {
  if (typeof tree === 'string') return tree;
  if ('list' in tree) return `[${tree.list.map(toText).join(',')}]`;
  return `{${tree.members.map(([key, value]) => `${key}:${toText(value)}`).join(',')}}`;
}

// biome-ignore format: a table
const VALUES = [
  '0', '1', '-1', '2', '3', '7', '1e3', '4.0', '4e0', '-0', '0.5', '1e-320', '1e308', '1e999', '-1e999', '255', '256', '65536', '2147483647', '2147483648', '4294967296',
  '9007199254740991', '9007199254740992', '9007199254740993', '18446744073709551615', '18446744073709551616', '1000000000', '123456789012345678901234567890', '01', '+1', '.5',
  'true', 'false', 'null', 'NaN', 'Infinity', 'undefined', '""', '"1"', '" "', '"a"', '"constructor"', '"__proto__"', '"toString"', '"hasOwnProperty"', '"../../etc/passwd"', '"/dev/zero"',
  '"\\u0000"', '"\\ud800"', '"\\udc00\\ud800"', '"\\ufeff"', '"\ufffd"', '"\\x41"', '"(((((((((("', '"[^"', '"(a+)+$"', '"\\\\p{L}"', '"F32"', '"BF16"', '"I64"', '"gpt2"', '"llama"', '"BPE"',
  '[]', '{}', '[[]]', '[null]', '[0]', '[0,0]', '[-1,1]', '{"a":1,"a":2}', '{"__proto__":{"polluted":1}}', '{"constructor":{"prototype":{"polluted":1}}}', '"\n"', '"',
];

/** Values whose size is the point, made when they are wanted. */
const LARGE: readonly (() => string)[] = [
  () => '['.repeat(5_000) + ']'.repeat(5_000),
  () => `${'{"a":'.repeat(3_000)}1${'}'.repeat(3_000)}`,
  () => `"${'a'.repeat(200_000)}"`,
  () => `"${'\\ud83d\\ude00'.repeat(5_000)}"`,
  () => `[${'1,'.repeat(50_000)}1]`,
  () => `{${Array.from({ length: 5_000 }, (_, i) => `"k${i}":${i}`).join(',')}}`,
  () => '9'.repeat(10_000),
];

const KEYS = [
  '"__proto__"',
  '"constructor"',
  '"toString"',
  '""',
  '"\\u0000"',
  '"../x"',
  '"a"',
  '"type"',
  '"0"',
  '"-1"',
  '"shape"',
  '"dtype"',
  '"\\ud800"',
];

/** Every place in a tree that a value can be taken from or put into. */
interface Place {
  holder: Tree[] | [string, Tree][];
  index: number;
  get(): Tree;
  set(value: Tree): void;
}

function places(tree: Tree, found: Place[]): Place[] {
  if (typeof tree === 'string') return found;
  if ('list' in tree) {
    tree.list.forEach((item, index) => {
      found.push({
        holder: tree.list,
        index,
        get: () => tree.list[index],
        set: (value) => {
          tree.list[index] = value;
        },
      });
      places(item, found);
    });
  } else {
    for (const [index, member] of tree.members.entries()) {
      found.push({
        holder: tree.members,
        index,
        get: () => member[1],
        set: (value) => {
          member[1] = value;
        },
      });
      places(member[1], found);
    }
  }
  return found;
}

/** One random edit of a tree, in place; `donors` are other documents to take pieces from. */
function edit(tree: Tree, donors: readonly Tree[], random: (below: number) => number): void {
  const all = places(tree, []);
  if (all.length === 0) return;
  const place = all[random(all.length)];
  const pick = <T>(list: readonly T[]): T => list[random(list.length)];
  const kind = random(12);
  if (kind <= 4) place.set(pick(VALUES));
  else if (kind === 5) place.holder.splice(place.index, 1);
  else if (kind === 6) (place.holder as unknown[]).splice(random(place.holder.length + 1), 0, structuredClone(place.holder[place.index]));
  else if (kind === 7) place.set(structuredClone(pick(all).get()));
  else if (kind === 8) place.set(structuredClone(pick([place, ...places(pick(donors), [])]).get()));
  else if (kind === 9) {
    const member = place.holder[place.index];
    if (Array.isArray(member)) member[0] = pick(KEYS);
  } else if (kind === 10) place.set(random(2) === 0 ? { list: [place.get()] } : { members: [[pick(KEYS), place.get()]] });
  else if (random(8) === 0) place.set(pick(LARGE)());
  else {
    const value = place.get();
    // A number nearby is more often almost right than a strange one.
    const isNumber = typeof value === 'string' && /^-?\d{1,15}$/.test(value);
    place.set(isNumber ? String(Number(value) + random(5) - 2) : pick(VALUES));
  }
}

/** One random edit of a text: cut, a character changed, something in front or behind. */
function editText(text: string, random: (below: number) => number): string {
  const at = random(text.length + 1);
  const strange = ['\0', '\ufeff', '\ud800', '"', '{', ']', ',', '\\', '\n', 'e', '9', '-', '\u2028', 'é'];
  switch (random(5)) {
    case 0:
      return text.slice(0, at);
    case 1:
      return text.slice(0, at) + strange[random(strange.length)] + text.slice(at + 1);
    case 2:
      return text.slice(0, at) + strange[random(strange.length)] + text.slice(at);
    case 3:
      return text + strange[random(strange.length)];
    default:
      return text.slice(0, at) + text.slice(random(text.length + 1));
  }
}

/** A document made from one of these by a few edits: mostly of the tree, sometimes of the text. A document that is no JSON is edited as text. */
export function mutate(documents: readonly string[], random: (below: number) => number): string {
  const parse = (text: string): Tree | undefined => {
    try {
      return toTree(parseJson(text)); // what nests deeply is edited as text
    } catch {
      return undefined;
    }
  };
  const base = documents[random(documents.length)];
  const tree = parse(base);
  if (tree === undefined || random(8) === 0) return editText(base, random);
  const donor = parse(documents[random(documents.length)]) ?? tree;
  for (let edits = 1 + random(4); edits > 0; edits--) edit(tree, [donor], random);
  const text = toText(tree);
  return random(20) === 0 ? editText(text, random) : text;
}
