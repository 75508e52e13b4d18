// Where a text that comes in pieces may be cut so that its parts, encoded one by one, have the ids of the whole. Pure functions of text.
import type { AddedToken } from './addedTokens';
import type { Normalizer } from './normalizers';
import { PATTERNS, type PatternName } from './patterns';
import type { PreTokenizer } from './preTokenizer';

/** Finds the last place in `text`, after `from`, where it may be cut; 0 where there is none. */
export type CutFinder = (text: string, from: number) => number;

const SPACE = 0x20;
const LINE_FEED = 0x0a;

/** White space of any kind, or half of a character: nothing is decided next to these. */
function undecided(code: number): boolean {
  return (
    code <= 0x20 ||
    code === 0x85 ||
    code === 0xa0 ||
    code === 0x1680 ||
    (code >= 0x2000 && code <= 0x206f) ||
    code === 0x3000 ||
    code === 0xfeff ||
    (code >= 0xd800 && code <= 0xdbff)
  );
}

/** Letters and digits of ASCII, and the ideographs (which no rule joins to a line break before them). */
function startsWord(code: number): boolean {
  return (
    (code >= 0x30 && code <= 0x39) || (code >= 0x41 && code <= 0x5a) || (code >= 0x61 && code <= 0x7a) || (code >= 0x4e00 && code <= 0x9fff)
  );
}

/** Splits that never join what is not white space to a space after it, nor a single line break to a letter after it. */
const LOCAL_PATTERNS: ReadonlySet<string> = new Set([
  ...Object.values(PATTERNS),
  '\\p{N}',
  '\\p{N}+',
  '\\p{N}{1,3}',
  '[!-/:-@\\[-`{-~\\p{P}]',
]);
const LOCAL_NORMALIZERS: ReadonlySet<string> = new Set(['NFC', 'NFD', 'NFKC', 'NFKD', 'Lowercase']);

/** An added token may reach over the cut: its text holds a space, or it takes the white space behind it. */
function mayReachOver(before: string, token: { readonly text: string; readonly rstrip: boolean }): boolean {
  if (token.rstrip && before.endsWith(token.text)) return true;
  for (let at = token.text.search(/[ \n]/); at > 0; ) {
    if (before.endsWith(token.text.slice(0, at)) || before.endsWith(token.text.slice(0, at + 1))) return true;
    const next = token.text.slice(at + 1).search(/[ \n]/);
    at = next < 0 ? 0 : at + 1 + next;
  }
  return false;
}

/**
 * How texts of a tokenizer may be cut: before a space that follows something else, and after a line break that stands alone before a letter. That holds for
 * every pattern in use; with a pattern, a normalizer or a split that is not known nothing is decided before the end.
 * @param added tokens to look for, with the text they have where they are looked for
 */
export function cutFinder(
  { steps, addPrefixSpace }: PreTokenizer,
  normalizer: Normalizer | null,
  added: readonly { readonly token: AddedToken; readonly text: string }[],
): CutFinder {
  const localSteps = steps.every(
    ({ pattern, behavior }) => LOCAL_PATTERNS.has(pattern) && (behavior === 'Isolated' || behavior === 'Removed'),
  );
  const localNormalizer = normalizer === null || normalizer.description.every(([type]) => LOCAL_NORMALIZERS.has(type));
  if (steps.length === 0 || !localSteps || !localNormalizer) return () => 0;
  const reaching = added
    .map(({ token, text }) => ({ text, rstrip: token.rstrip }))
    .filter(({ text, rstrip }) => rstrip || /[ \n]/.test(text));
  const lines = !addPrefixSpace && !added.some(({ token }) => token.lstrip);
  return (text, from) => {
    for (let at = text.length - 1; at > from; at--) {
      const code = text.charCodeAt(at);
      const before = text.charCodeAt(at - 1);
      const afterWord = code === SPACE && !undecided(before);
      const afterLine = lines && before === LINE_FEED && startsWord(code) && at > 1 && !undecided(text.charCodeAt(at - 2));
      if (!afterWord && !afterLine) continue;
      const start = text.slice(0, at);
      if (!reaching.some((token) => mayReachOver(start, token))) return at;
    }
    return 0;
  };
}

/**
 * Joins and cuts the pieces of one text so that no word lies in two of them; memory is about a piece's where the text has spaces or line breaks.
 * @param pattern how the text is split into words: a rule's name or a regular expression
 */
export async function* cutPieces(pieces: AsyncIterable<string> | Iterable<string>, pattern: string): AsyncGenerator<string> {
  const regex = Object.hasOwn(PATTERNS, pattern) ? PATTERNS[pattern as PatternName] : pattern;
  const cut = cutFinder({ steps: [{ pattern: regex, behavior: 'Isolated', invert: false }], addPrefixSpace: false }, null, []);
  let held = '';
  for await (const piece of pieces) {
    const from = Math.max(0, held.length - 1);
    held += piece;
    const at = cut(held, from);
    if (at > 0) yield held.slice(0, at);
    held = held.slice(at);
  }
  if (held !== '') yield held;
}
