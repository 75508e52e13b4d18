// The normalizers that byte-level tokenizer.json files carry: functions from text to text. Unicode normalization is the JavaScript engine's own: engines
// with different versions of Unicode may differ in characters assigned in between (normal forms of assigned characters never change).
import { flagOf, flatten, type JsonObject, objectOrNull, show, textOf, typeOf, unsupported } from './json';

/** What happens to a text before it is split. */
export interface Normalizer {
  /** The steps in order with every default filled in: equal descriptions mean equal results. */
  readonly description: readonly (readonly string[])[];
  apply(text: string): string;
}

type Step = { readonly description: readonly string[]; readonly apply: (text: string) => string };

/** White_Space as the inside of a character class; the same since Unicode 6.3. */
export const WHITE_SPACE = '\\t-\\r \\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000';
const AT_START = new RegExp(`^[${WHITE_SPACE}]+`);
const AT_END = new RegExp(`[${WHITE_SPACE}]+$`);

/** Lower case character by character, as Rust's char::to_lowercase: without the rule for a final sigma. */
function lowerCase(text: string): string {
  if (!/Σ/.test(text)) return text.toLowerCase();
  return Array.from(text, (character) => character.toLowerCase()).join('');
}

function replaceStep(part: JsonObject, name: string): Step {
  const pattern = objectOrNull(part.get('pattern'), `${name}.pattern`);
  const from = pattern?.get('String');
  if (typeof from !== 'string' || from === '') throw unsupported(`${name}.pattern: must be {"String": text}, got ${show(pattern)}`);
  const to = textOf(part.get('content'), `${name}.content`);
  return { description: ['Replace', from, to], apply: (text) => text.replaceAll(from, () => to) };
}

function readStep(part: JsonObject, name: string): Step {
  const type = typeOf(part, name);
  switch (type) {
    case 'NFC':
    case 'NFD':
    case 'NFKC':
    case 'NFKD':
      return { description: [type], apply: (text) => text.normalize(type) };
    case 'Lowercase':
      return { description: [type], apply: lowerCase };
    case 'Prepend': {
      const prefix = textOf(part.get('prepend'), `${name}.prepend`);
      return { description: [type, prefix], apply: (text) => (text === '' ? '' : prefix + text) };
    }
    case 'Replace':
      return replaceStep(part, name);
    case 'Strip': {
      const left = flagOf(part.get('strip_left'), `${name}.strip_left`, true);
      const right = flagOf(part.get('strip_right'), `${name}.strip_right`, true);
      const apply = (text: string) => {
        const rest = left ? text.replace(AT_START, '') : text;
        return right ? rest.replace(AT_END, '') : rest;
      };
      return { description: [type, String(left), String(right)], apply };
    }
    default:
      throw unsupported(
        `${name}: must be one of NFC, NFD, NFKC, NFKD, Lowercase, Prepend, Replace, Strip or a Sequence, got ${show(type)}`,
      );
  }
}

/** The normalizer of a tokenizer.json; null where there is none. @throws INVALID_TOKENIZER, UNSUPPORTED_TOKENIZER */
export function readNormalizer(value: unknown, name: string): Normalizer | null {
  const steps = flatten(value, 'normalizers', name).map((part) => readStep(part, name));
  if (steps.length === 0) return null;
  return {
    description: steps.map((step) => step.description),
    apply: (text) => steps.reduce((current, step) => step.apply(current), text),
  };
}
