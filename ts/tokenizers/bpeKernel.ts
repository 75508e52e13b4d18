// Between a byte-level BPE and the text kernels: what their encoder is made from, how splits are described to them, and their errors as ours.
import { type ErrorCode, FerroError } from '../errors';
import { loadText } from '../text';
import type { BpeModel } from './bpeModel';
import { bytesOfToken } from './byteAlphabet';
import type { SplitBehavior, SplitStep } from './preTokenizer';
import { byteTable, NO_BYTES } from './tokenBytes';

/** Encodes text without added tokens. */
export interface BpeEncoder {
  /** @throws UNKNOWN_CHARACTER for a byte that no token of the vocabulary stands for */
  encode(text: string): Int32Array;
}

const LETTERS: Record<SplitBehavior, string> = {
  Isolated: 'I',
  Removed: 'R',
  MergedWithPrevious: 'P',
  MergedWithNext: 'N',
  Contiguous: 'C',
};

/** Splits as the text kernels read them: a letter for the behavior, `!` where it is inverted, the pattern; NUL between two. */
export function describeSplits(steps: readonly SplitStep[]): string {
  for (const { pattern } of steps) {
    if (pattern.includes('\0'))
      throw new FerroError('UNSUPPORTED_TOKENIZER', 'split: a pattern must not hold NUL, got one that does; write \\x00');
  }
  return steps.map(({ pattern, behavior, invert }) => `${LETTERS[behavior]}${invert ? '!' : ':'}${pattern}`).join('\0');
}

/** How the kernels' errors begin, and what they are here. */
const CODES: readonly [start: string, code: ErrorCode][] = [
  ['UNSUPPORTED_PATTERN', 'UNSUPPORTED_TOKENIZER'],
  ['PATTERN_TOO_SLOW', 'UNSUPPORTED_TOKENIZER'],
  ['INVALID_VOCABULARY', 'INVALID_TOKENIZER'],
  ['MISSING_BYTE', 'UNKNOWN_CHARACTER'],
];

/** An error of the text kernels as one of ours; anything else stays what it is. */
export function fromKernel(error: unknown): unknown {
  const text = error instanceof Error ? error.message : String(error);
  const found = CODES.find(([start]) => text.startsWith(`${start}: `));
  return found === undefined ? error : new FerroError(found[1], text.slice(found[0].length + 2));
}

/** Runs what may throw one of the kernels' errors. */
export function withKernelErrors<T>(run: () => T): T {
  try {
    return run();
  } catch (error) {
    throw fromKernel(error);
  }
}

/** Tokens that bytes can make, and the merges between them: others (with characters that stand for no byte) are never met in a text. */
function kernelModel({ tokens, merges }: BpeModel): { parts: Uint8Array[]; merges: Uint32Array } {
  const parts = Array.from(tokens, (token) => (token === undefined ? NO_BYTES : (bytesOfToken(token) ?? NO_BYTES)));
  const made = (i: number) => parts[merges[i]].length > 0 && parts[merges[i + 1]].length > 0 && parts[merges[i + 2]].length > 0;
  let kept = 0;
  const list = new Uint32Array(merges.length);
  for (let i = 0; i < merges.length; i += 3) {
    if (!made(i)) continue;
    for (let j = 0; j < 3; j++) list[kept++] = merges[i + j];
  }
  return { parts, merges: list.subarray(0, kept) };
}

/** The kernels' encoder of a model. @throws UNSUPPORTED_TOKENIZER for a pattern that they do not have, INVALID_TOKENIZER */
export async function openEncoder(model: BpeModel, steps: readonly SplitStep[]): Promise<BpeEncoder> {
  const { parts, merges } = kernelModel(model);
  const { bytes, offsets } = byteTable(parts);
  const lengths = Uint32Array.from(parts, (_, id) => offsets[id + 1] - offsets[id]);
  const { Bpe } = await loadText();
  const bpe = withKernelErrors(() => new Bpe(describeSplits(steps), model.ignoreMerges, bytes, lengths, merges));
  return { encode: (text) => withKernelErrors(() => bpe.encode(text)) };
}
