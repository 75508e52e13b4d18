// Byte-level BPE written for reading, not for speed: what the text kernels are compared with in tests. It splits with the JavaScript engine's own regular
// expressions, whose Unicode tables may be newer than the kernels', and merges a word by looking for its strongest pair again and again.
import type { BpeModel } from '../bpeModel';
import { byteAlphabet, bytesOfToken, tokenOfBytes } from '../byteAlphabet';
import type { SplitStep } from '../preTokenizer';

/** White_Space, which JavaScript's \s is not (it lacks U+0085 and has U+FEFF). */
const SPACE = '\\t-\\r \\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000';

/** A pattern of Rust's or Oniguruma's kind as a JavaScript regular expression. */
export function toRegExp(pattern: string): RegExp {
  const insensitive = pattern.replace(
    /\(\?i:([^()]*)\)/g,
    (_, group: string) => `(?:${group.replace(/[a-z]/g, (letter) => `[${letter}${letter.toUpperCase()}${letter === 's' ? 'ſ' : ''}]`)})`,
  );
  let out = '';
  let inClass = false;
  for (let i = 0; i < insensitive.length; i++) {
    const two = insensitive.slice(i, i + 2);
    if (two === '\\s' || two === '\\S') {
      if (two === '\\S' && inClass) throw new Error(`toRegExp: \\S in a class, got ${pattern}`);
      out += inClass ? SPACE : two === '\\s' ? `[${SPACE}]` : `[^${SPACE}]`;
      i++;
    } else if (two[0] === '\\') {
      out += two;
      i++;
    } else {
      if (two[0] === '[') inClass = true;
      if (two[0] === ']') inClass = false;
      out += two[0];
    }
  }
  return new RegExp(out, 'gu');
}

/** The pieces of one split, in the manner of Hugging Face's `NormalizedString::split`. */
export function splitOnce(text: string, { pattern, behavior, invert }: SplitStep): string[] {
  const spans: { text: string; match: boolean }[] = [];
  let done = 0;
  for (const match of text.matchAll(toRegExp(pattern))) {
    if (match[0] === '') continue;
    if (match.index > done) spans.push({ text: text.slice(done, match.index), match: invert });
    spans.push({ text: match[0], match: !invert });
    done = match.index + match[0].length;
  }
  if (done < text.length) spans.push({ text: text.slice(done), match: invert });
  const pieces: string[] = [];
  let last: boolean | null = null;
  for (const [i, span] of spans.entries()) {
    const joins =
      behavior === 'Contiguous'
        ? last === span.match
        : behavior === 'MergedWithPrevious'
          ? span.match && last === false
          : behavior === 'MergedWithNext'
            ? i > 0 && last === true && !span.match
            : false;
    if (joins) pieces[pieces.length - 1] += span.text;
    else if (behavior !== 'Removed' || !span.match) pieces.push(span.text);
    last = span.match;
  }
  return pieces;
}

/** The reference encoder. */
export class ReferenceBpe {
  readonly #model: BpeModel;
  readonly #steps: readonly SplitStep[];
  readonly #ranks = new Map<string, { rank: number; merged: number }>();

  constructor(model: BpeModel, steps: readonly SplitStep[]) {
    this.#model = model;
    this.#steps = steps;
    for (let i = 0; i < model.merges.length / 3; i++) {
      const [left, right, merged] = model.merges.subarray(3 * i, 3 * i + 3);
      this.#ranks.set(`${left} ${right}`, { rank: i, merged });
    }
  }

  encode(text: string): Int32Array {
    const whole = text.replace(/\p{Surrogate}/gu, '\ufffd');
    const pieces = this.#steps.reduce((list, step) => list.flatMap((piece) => splitOnce(piece, step)), whole === '' ? [] : [whole]);
    return Int32Array.from(pieces.flatMap((piece) => this.#word(piece)));
  }

  #word(piece: string): number[] {
    const bytes = new TextEncoder().encode(piece);
    const whole = this.#model.idOf.get(tokenOfBytes(bytes));
    if (this.#model.ignoreMerges && whole !== undefined) return [whole];
    const ids = Array.from(bytes, (byte) => this.#model.idOf.get(tokenOfBytes(Uint8Array.of(byte)))!);
    for (;;) {
      let best = -1;
      let found = { rank: Number.POSITIVE_INFINITY, merged: -1 };
      for (let i = 0; i + 1 < ids.length; i++) {
        const merge = this.#ranks.get(`${ids[i]} ${ids[i + 1]}`);
        if (merge !== undefined && merge.rank < found.rank) [best, found] = [i, merge];
      }
      if (best < 0) return ids;
      ids.splice(best, 2, found.merged);
    }
  }
}

/** The bytes of the first 256 ids: in the order of the characters that stand for them, as in GPT-2's vocabulary. */
export const byteOrder = (): Uint8Array => Uint8Array.from([...byteAlphabet()].sort(), (character) => bytesOfToken(character)![0]);

/** The reference trainer: counts all pairs anew after each merge; of equally frequent pairs the one with the smaller ids is merged first. */
export class ReferenceTrainer {
  readonly #words = new Map<string, number>();
  readonly #step: SplitStep;

  constructor(pattern: string) {
    this.#step = { pattern, behavior: 'Isolated', invert: false };
  }

  feed(text: string): void {
    const words = splitOnce(text.replace(/\p{Surrogate}/gu, '\ufffd'), this.#step);
    for (const word of words) this.#words.set(word, (this.#words.get(word) ?? 0) + 1);
  }

  /** Merges as left, right, merged. */
  train(vocabSize: number, minFrequency: number): Uint32Array {
    const tokens = Array.from(byteOrder(), (byte) => tokenOfBytes(Uint8Array.of(byte)));
    const words = Array.from(this.#words, ([word, count]) => {
      const letters = tokenOfBytes(new TextEncoder().encode(word));
      return { ids: Array.from(letters, (letter) => tokens.indexOf(letter)), count };
    });
    const merges: number[] = [];
    while (tokens.length < vocabSize) {
      const best = strongest(words, minFrequency);
      if (best === null) break;
      const [left, right] = best;
      const token = tokens[left] + tokens[right];
      if (!tokens.includes(token)) tokens.push(token);
      const merged = tokens.indexOf(token);
      merges.push(left, right, merged);
      for (const word of words) word.ids = mergePair(word.ids, left, right, merged);
    }
    return Uint32Array.from(merges);
  }
}

/** The most frequent pair; null where none is frequent enough. */
function strongest(words: readonly { ids: readonly number[]; count: number }[], minFrequency: number): [number, number] | null {
  const counts = new Map<number, number>();
  for (const { ids, count } of words) {
    for (let i = 0; i + 1 < ids.length; i++) {
      const key = ids[i] * 2 ** 22 + ids[i + 1];
      counts.set(key, (counts.get(key) ?? 0) + count);
    }
  }
  let best = -1;
  for (const [key, count] of counts) {
    const other = best < 0 ? 0 : counts.get(best)!;
    if (count >= minFrequency && (count > other || (count === other && key < best))) best = key;
  }
  return best < 0 ? null : [Math.floor(best / 2 ** 22), best % 2 ** 22];
}

function mergePair(ids: readonly number[], left: number, right: number, merged: number): number[] {
  const out: number[] = [];
  for (let i = 0; i < ids.length; i++) {
    if (ids[i] === left && ids[i + 1] === right) {
      out.push(merged);
      i++;
    } else out.push(ids[i]);
  }
  return out;
}
