// A byte-level BPE as files: tokenizer.json, tokenizer_config.json, vocab.json, merges.txt, as Python's tokenizers and transformers read them. What was
// read from files is written again as it was.
import { addedTokenJson } from './addedTokens';
import { mergePairs, vocabularyJson } from './bpeModel';
import type { BpeParts } from './bpeTokenizer';
import { unsupported } from './json';
import { PATTERNS } from './patterns';
import type { PreTokenizer } from './preTokenizer';
import { bpeModelJson, type RoleTokens, type TokenizerJson, tokenizerConfigText, tokenizerJsonText } from './tokenizer';

/** What is written besides tokenizer.json. */
export interface BpeFiles {
  /** Longest input the model takes, for tokenizer_config.json. */
  modelMaxLength?: number;
  /** Also vocab.json and merges.txt. */
  vocabAndMerges?: boolean;
}

/** Files of a tokenizer's folder that go through unchanged. */
const KEPT = ['tokenizer.json', 'tokenizer_config.json', 'special_tokens_map.json', 'vocab.json', 'merges.txt'] as const;

function preTokenizerJson({ steps, addPrefixSpace }: PreTokenizer): object {
  const byteLevel = (useRegex: boolean) => ({
    type: 'ByteLevel',
    add_prefix_space: addPrefixSpace,
    trim_offsets: true,
    use_regex: useRegex,
  });
  const [only] = steps;
  if (steps.length === 0) return byteLevel(false);
  if (steps.length === 1 && only.pattern === PATTERNS.gpt2 && only.behavior === 'Isolated' && !only.invert) return byteLevel(true);
  const splits = steps.map(({ pattern, behavior, invert }) => ({ type: 'Split', pattern: { Regex: pattern }, behavior, invert }));
  return { type: 'Sequence', pretokenizers: [...splits, byteLevel(false)] };
}

/** A tokenizer.json for parts that have none yet (trained, or read from vocab.json and merges.txt). */
function tokenizerJson({ model, added, preTokenizer, frame }: BpeParts): TokenizerJson {
  const special = new Map(added.map((token) => [token.id, token.content]));
  const name = (id: number) => special.get(id) ?? model.tokens[id] ?? '';
  const piece = (id: number) => ({ SpecialToken: { id: name(id), type_id: 0 } });
  const sequence = (id: string) => [...frame.before.map(piece), { Sequence: { id, type_id: 0 } }, ...frame.after.map(piece)];
  const ids = [...new Set([...frame.before, ...frame.after])].map((id) => [name(id), { id: name(id), ids: [id], tokens: [name(id)] }]);
  const template = {
    type: 'TemplateProcessing',
    single: sequence('A'),
    pair: [...sequence('A'), ...sequence('B')],
    special_tokens: Object.fromEntries(ids),
  };
  return {
    added_tokens: [...added].sort((a, b) => a.id - b.id).map(addedTokenJson),
    pre_tokenizer: preTokenizerJson(preTokenizer),
    post_processor: ids.length === 0 ? { type: 'ByteLevel', add_prefix_space: true, trim_offsets: false, use_regex: true } : template,
    decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: bpeModelJson(vocabularyJson(model.tokens), mergePairs(model), model.ignoreMerges),
  };
}

function roleTokens({ model, added, special }: BpeParts): RoleTokens {
  const content = (id: number | null) =>
    id === null ? null : (added.find((token) => token.id === id)?.content ?? model.tokens[id] ?? null);
  return { bos: content(special.bosId), eos: content(special.eosId), pad: content(special.padId) };
}

/** vocab.json (added tokens among it, as GPT-2's has them) and merges.txt. */
function vocabAndMerges({ model, added }: BpeParts): [string, string][] {
  const tokens = [...model.tokens];
  for (const { id, content } of added) tokens[id] = content;
  const pairs = mergePairs(model);
  const spaced = pairs.find(([left, right]) => left.includes(' ') || right.includes(' '));
  if (spaced !== undefined) throw unsupported(`merges.txt: tokens must hold no space, got a merge of ${JSON.stringify(spaced)}`);
  return [
    ['vocab.json', `${JSON.stringify(vocabularyJson(tokens))}\n`],
    ['merges.txt', `#version: 0.2\n${pairs.map((pair) => `${pair.join(' ')}\n`).join('')}`],
  ];
}

/** The files of a byte-level BPE. @throws UNSUPPORTED_TOKENIZER for vocabAndMerges where a token has a space in it */
export function writeBpeFiles(parts: BpeParts, options: BpeFiles): Map<string, string> {
  const files = new Map<string, string>();
  for (const name of KEPT) {
    const text = parts.files?.get(name);
    if (text !== undefined) files.set(name, text);
  }
  if (!files.has('tokenizer.json')) files.set('tokenizer.json', tokenizerJsonText(tokenizerJson(parts)));
  if (!files.has('tokenizer_config.json'))
    files.set('tokenizer_config.json', tokenizerConfigText(options.modelMaxLength, roleTokens(parts)));
  if (options.vocabAndMerges === true) for (const [name, text] of vocabAndMerges(parts)) if (!files.has(name)) files.set(name, text);
  return files;
}
