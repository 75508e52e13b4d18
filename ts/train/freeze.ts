// Which parameters the Trainer's option `freeze` means: names, parts of names, patterns. Nothing is changed here; a step that is told the names leaves them out.
import { FerroError, show } from '../errors';
import { editDistance } from '../options/names';
import { matchesPath } from '../options/patterns';

/** Nearest names that a message lists. */
const SUGGESTIONS = 3;

/**
 * The parameters that patterns mean, in the order of `names`. A pattern is a parameter's name, whole parts of it (`wte`, `attn.c_attn`, `bias`; `h.1` is nothing of `h.10`), or
 * either with `*` for any text.
 * @param what names the option in messages
 * @throws INVALID_OPTION for a pattern that means none, with the nearest names
 */
export function matchParameters(op: string, what: string, patterns: readonly string[], names: readonly string[]): string[] {
  const found = new Set<string>();
  for (const pattern of patterns) {
    const matched = names.filter((name) => matchesPath(pattern, name, true));
    if (matched.length === 0) throw unknown(op, what, pattern, names);
    for (const name of matched) found.add(name);
  }
  return names.filter((name) => found.has(name));
}

function unknown(op: string, what: string, pattern: string, names: readonly string[]): FerroError {
  const wanted = pattern.replaceAll('*', '').slice(0, 64).toLowerCase();
  const distances = [...candidates(names)].map((name) => [name, editDistance(wanted, name.toLowerCase())] as const);
  const near = distances.sort(([a, x], [b, y]) => x - y || a.length - b.length).slice(0, SUGGESTIONS);
  const hint = near.length === 0 ? 'there are none' : `the nearest are ${near.map(([name]) => show(name)).join(', ')}`;
  return new FerroError('INVALID_OPTION', `${op}: "${what}" must name parameters of the model, got ${show(pattern)} (${hint})`);
}

/** What a pattern can be without `*`: every run of parts of a name. */
function candidates(names: readonly string[]): Set<string> {
  const all = new Set<string>();
  for (const name of names) {
    const parts = name.split('.');
    for (let from = 0; from < parts.length; from++) {
      if (/^\d+$/.test(parts[from])) continue; // a number alone says nothing
      for (let to = from + 1; to <= parts.length; to++) all.add(parts.slice(from, to).join('.'));
    }
  }
  return all;
}
