// From a row's segments to token ids. A segment is a stretch of text of which is known whether it counts in the loss and whether it is the template's own: only
// there are special tokens looked for, so that a user's text can never end a turn.
import type { Tokenizer } from '../../tokenizers';
import { type AddedToken, AddedTokenFinder } from '../../tokenizers/addedTokens';

export interface Segment {
  readonly text: string;
  /** Whether its tokens are learned. */
  readonly counted: boolean;
  /** The template's own text: special tokens of the tokenizer in it are special tokens. */
  readonly own?: boolean;
  /** The end of a text: the tokens of `endIds` in place of a text. */
  readonly end?: boolean;
  /** What parts a prompt from its completion: left out where the one does not stand behind the other (a classifier's text, an encoder's source and its target). */
  readonly border?: boolean;
}

/** Segments of texts that stand alone. */
export const withoutBorder = (segments: readonly Segment[]): Segment[] => segments.filter(({ border }) => !border);

/** A row as ids. */
export interface Encoded {
  readonly ids: readonly number[];
  /** For each id 1 where it is learned, else 0. */
  readonly counted: readonly number[];
}

/** The special tokens of a tokenizer; none where it does not know any. */
export function specialTokens(tokenizer: Tokenizer): readonly AddedToken[] {
  const { addedTokens = [] } = tokenizer as { addedTokens?: readonly AddedToken[] };
  return addedTokens.filter((token) => token.special);
}

/** Encodes segments with one tokenizer. */
export class SegmentEncoder {
  readonly tokenizer: Tokenizer;
  readonly #endIds: readonly number[];
  readonly #finder: AddedTokenFinder | null;

  /** @param endIds what the end of a text is; none where it has no token */
  constructor(tokenizer: Tokenizer, endIds: readonly number[]) {
    this.tokenizer = tokenizer;
    this.#endIds = endIds;
    const special = specialTokens(tokenizer);
    this.#finder = special.length === 0 ? null : new AddedTokenFinder(special.map((token) => ({ token, text: token.content })));
  }

  /**
   * The ids of segments in order. Neighbours of which both or neither count are encoded as one text; where that changes, the text is cut: a prompt has the
   * same ids whatever follows it, in training as in generation. The first of these stretches gets the special tokens that the tokenizer puts around a text
   * (as `generate` does with a text prompt), unless the template has special tokens of its own there.
   */
  encode(segments: readonly Segment[]): Encoded {
    const ids: number[] = [];
    const counted: number[] = [];
    let first = true;
    for (let from = 0; from < segments.length; ) {
      let to = from + 1;
      while (to < segments.length && segments[to].counted === segments[from].counted) to++;
      const before = ids.length;
      this.#stretch(segments.slice(from, to), first && !segments[from].counted, ids);
      for (let i = before; i < ids.length; i++) counted.push(segments[from].counted ? 1 : 0);
      if (segments.slice(from, to).some(({ text }) => text !== '')) first = false;
      from = to;
    }
    return { ids, counted };
  }

  #stretch(segments: readonly Segment[], addSpecialTokens: boolean, ids: number[]): void {
    // Texts and tokens in turn; texts that touch are one.
    const parts: (string | readonly number[])[] = [];
    const add = (part: string | readonly number[]) => {
      const last = parts.at(-1);
      if (typeof part === 'string' && typeof last === 'string') parts[parts.length - 1] = last + part;
      else if (part.length > 0) parts.push(part);
    };
    for (const { text, own, end } of segments) {
      if (end) add(this.#endIds);
      else if (!own || this.#finder === null) add(text);
      else for (const section of this.#finder.split(text, () => true)) add('token' in section ? [section.token.id] : section.text);
    }
    const alone = parts.length === 1 && addSpecialTokens;
    for (const part of parts) {
      const encoded = typeof part === 'string' ? this.tokenizer.encode(part, { addSpecialTokens: alone }) : part;
      for (const id of encoded) ids.push(id);
    }
  }
}
