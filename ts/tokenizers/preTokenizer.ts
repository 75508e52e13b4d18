// The pre-tokenizers of byte-level tokenizer.json files as a list of splits by regular expressions. The splitting itself is done by the text kernels.
import { asObject, flagOf, flatten, invalid, type JsonObject, show, textOf, typeOf, unsupported } from './json';
import { PATTERNS } from './patterns';

/** What becomes of what a pattern matches, by the names of Hugging Face's tokenizers. */
const BEHAVIORS = ['Removed', 'Isolated', 'MergedWithPrevious', 'MergedWithNext', 'Contiguous'] as const;
export type SplitBehavior = (typeof BEHAVIORS)[number];

/** One split of every piece there is so far. */
export interface SplitStep {
  readonly pattern: string;
  readonly behavior: SplitBehavior;
  /** The pattern says what lies between the matches. */
  readonly invert: boolean;
}

/** How a text becomes the pieces within which pairs merge. */
export interface PreTokenizer {
  readonly steps: readonly SplitStep[];
  /** A text that does not begin with a space gets one. */
  readonly addPrefixSpace: boolean;
}

/** The text as a pre-tokenizer with `addPrefixSpace` reads it. */
export const withPrefixSpace = (text: string): string => (text.startsWith(' ') ? text : ` ${text}`);

const isolated = (pattern: string): SplitStep => ({ pattern, behavior: 'Isolated', invert: false });

function behaviorOf(value: unknown, name: string, fallback?: SplitBehavior): SplitBehavior {
  const found = BEHAVIORS.find((behavior) => behavior === (value ?? fallback));
  if (found === undefined) throw invalid(`${name}.behavior: must be one of ${BEHAVIORS.join(', ')}, got ${show(value)}`);
  return found;
}

const escaped = (text: string): string => text.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&');

function splitStep(part: JsonObject, name: string): SplitStep {
  const pattern = asObject(part.get('pattern'), `${name}.pattern`);
  const regex = pattern.has('Regex')
    ? textOf(pattern.get('Regex'), `${name}.pattern.Regex`)
    : escaped(textOf(pattern.get('String'), `${name}.pattern.String`));
  if (regex === '') throw invalid(`${name}.pattern: must not be empty, got ""`);
  return { pattern: regex, behavior: behaviorOf(part.get('behavior'), name), invert: flagOf(part.get('invert'), `${name}.invert`, false) };
}

/** The pre-tokenizer of a byte-level tokenizer.json: ByteLevel last, splits before it. @throws INVALID_TOKENIZER, UNSUPPORTED_TOKENIZER */
export function readPreTokenizer(value: unknown, name: string): PreTokenizer {
  const parts = flatten(value, 'pretokenizers', name);
  const steps: SplitStep[] = [];
  let addPrefixSpace = false;
  for (const [i, part] of parts.entries()) {
    const type = typeOf(part, name);
    if ((type === 'ByteLevel') !== (i === parts.length - 1)) {
      throw unsupported(
        `${name}: a byte-level BPE must have ByteLevel as its last pre-tokenizer, got ${show(parts.map((each) => each.get('type')))}`,
      );
    }
    if (type === 'ByteLevel') {
      addPrefixSpace = flagOf(part.get('add_prefix_space'), `${name}.add_prefix_space`, true);
      if (addPrefixSpace && steps.length > 0) throw unsupported(`${name}: add_prefix_space must be false after a split, got true`);
      if (flagOf(part.get('use_regex'), `${name}.use_regex`, true)) steps.push(isolated(PATTERNS.gpt2));
    } else if (type === 'Split') {
      steps.push(splitStep(part, name));
    } else if (type === 'Digits') {
      steps.push(isolated(flagOf(part.get('individual_digits'), `${name}.individual_digits`, false) ? '\\p{N}' : '\\p{N}+'));
    } else if (type === 'Punctuation') {
      const behavior = behaviorOf(part.get('behavior'), name, 'Isolated');
      steps.push({ pattern: '[!-/:-@\\[-`{-~\\p{P}]', behavior, invert: false });
    } else {
      throw unsupported(`${name}: must be ByteLevel, Split, Digits, Punctuation or a Sequence, got ${show(type)}`);
    }
  }
  if (parts.length === 0) throw unsupported(`${name}: a byte-level BPE must have a ByteLevel pre-tokenizer, got none`);
  return { steps, addPrefixSpace };
}

/** Whether a BPE model's pre-tokenizer works on bytes: then it is read here, else it belongs to the optional package. */
export function isByteLevel(value: unknown): boolean {
  try {
    return flatten(value, 'pretokenizers', '').some((part) => part.get('type') === 'ByteLevel');
  } catch {
    return false;
  }
}
