// Texts as the metrics of the field take them apart, which were all written in Python: its white space, its code points, counts of n-grams.

/** Characters that Python's str.split() splits at: JavaScript's \s without U+FEFF, and also U+001C to U+001F and U+0085. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are Python's white space
const SPACES = /[\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+/u;

/** The pieces between white space; none of them is empty. */
export function words(text: string): string[] {
  return text.split(SPACES).filter((word) => word !== '');
}

/** A text without the white space at its end. */
export function stripEnd(text: string): string {
  let end = text.length;
  while (end > 0 && SPACES.test(text[end - 1])) end--; // a pattern with $ would try every run of spaces from each of its characters
  return text.slice(0, end);
}

/** Characters (code points) of a text without its white space. */
export function visibleCharacters(text: string): string[] {
  return Array.from(words(text).join(''));
}

/** How often each item occurs. */
export type Counts = Map<string, number>;

/** Adds one occurrence. */
function count(counts: Counts, item: string): void {
  counts.set(item, (counts.get(item) ?? 0) + 1);
}

/** Occurrences of each item. */
export function countItems(items: Iterable<string>): Counts {
  const counts: Counts = new Map();
  for (const item of items) count(counts, item);
  return counts;
}

/** Runs of n items, joined by `separator`, which occurs in none of them (or is empty where all items are equally long). */
export function countRuns(items: readonly string[], n: number, separator: string): Counts {
  const counts: Counts = new Map();
  for (let i = 0; i + n <= items.length; i++) count(counts, items.slice(i, i + n).join(separator));
  return counts;
}

/** Occurrences that two multisets have in common. */
export function common(a: Counts, b: Counts): number {
  let total = 0;
  for (const [item, n] of a) total += Math.min(n, b.get(item) ?? 0);
  return total;
}

/** All occurrences. */
export function size(counts: Counts): number {
  let total = 0;
  for (const n of counts.values()) total += n;
  return total;
}
