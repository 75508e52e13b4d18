// A tokenizer with more special tokens: its files changed and read again, so that what is made is what anybody makes of these files. Nothing else of it changes.
import { FerroError, show } from '../errors';
import { parseJson } from '../json';
import { addedTokenJson, specialToken } from './addedTokens';
import { loadTokenizer } from './load';
import type { Tokenizer } from './tokenizer';

/** Which of the tokens have a role from now on. */
export interface TokenRoles {
  /** Begins a text. */
  bosToken?: string | undefined;
  /** Ends a text. */
  eosToken?: string | undefined;
  /** Fills batches. */
  padToken?: string | undefined;
}

/** A tokenizer, and the ids of the tokens asked for. */
export interface GrownTokenizer {
  readonly tokenizer: Tokenizer;
  /** In the order of the tokens. */
  readonly ids: number[];
}

const ROLES = { bosToken: ['bos_token', 'bosId'], eosToken: ['eos_token', 'eosId'], padToken: ['pad_token', 'padId'] } as const;

interface Root {
  added_tokens?: { id: number; content: string; special?: boolean }[] | null;
  model: { vocab: [text: string, score: number][] | Record<string, number> };
}

/**
 * Adds special tokens: each gets the next id, unless it is one already. In a text they count where `allowSpecial` says so.
 * @param roles tokens, new or old, that begin or end texts or fill batches
 * @throws INVALID_OPTION for texts that are empty, repeated, or not strings, and for a role of a token that there is not
 */
export async function addSpecialTokens(tokenizer: Tokenizer, tokens: readonly string[], roles: TokenRoles = {}): Promise<GrownTokenizer> {
  checkTexts(tokens);
  const files = new Map(tokenizer.toFiles());
  const root = parseJson(files.get('tokenizer.json')!) as Root;
  const ids = grow(root, tokens, tokenizer.vocabSize);
  files.set('tokenizer.json', `${JSON.stringify(root, null, 2)}\n`);
  files.set('tokenizer_config.json', withRoles(files.get('tokenizer_config.json'), tokenizer, roles, root));
  return { tokenizer: await loadTokenizer(files), ids };
}

function checkTexts(tokens: readonly string[]): void {
  const rule = 'addTokens: the tokens must be a list of different texts of more than one character';
  if (!Array.isArray(tokens) || tokens.length === 0) throw new FerroError('INVALID_OPTION', `${rule}, got ${show(tokens)}`);
  for (const [i, token] of tokens.entries()) {
    if (typeof token === 'string' && [...token].length > 1 && tokens.indexOf(token) === i) continue;
    throw new FerroError('INVALID_OPTION', `${rule}, got ${show(token)}`);
  }
}

/** Lists the tokens in the file. @returns their ids */
function grow(root: Root, tokens: readonly string[], vocabSize: number): number[] {
  const added = [...(root.added_tokens ?? [])];
  const { vocab } = root.model;
  let next = vocabSize;
  const ids = tokens.map((content) => {
    const known = added.find((token) => token.content === content);
    if (known !== undefined) {
      if (known.special === true) return known.id;
      throw new FerroError('INVALID_OPTION', `addTokens: a token must be new or a special one, got ${show(content)}`);
    }
    const old = Array.isArray(vocab) ? -1 : Object.hasOwn(vocab, content) ? vocab[content] : -1;
    const id = old >= 0 ? old : next++;
    added.push(addedTokenJson(specialToken(id, content)) as { id: number; content: string });
    return id;
  });
  root.added_tokens = added.sort((a, b) => a.id - b.id);
  return ids;
}

/** tokenizer_config.json with the roles there were, which another file may have named, and the new ones. */
function withRoles(text: string | undefined, tokenizer: Tokenizer, roles: TokenRoles, root: Root): string {
  const config = (text === undefined ? {} : parseJson(text)) as Record<string, unknown>;
  for (const [role, [key, id]] of Object.entries(ROLES) as [keyof TokenRoles, (typeof ROLES)[keyof typeof ROLES]][]) {
    const wanted = roles[role];
    if (wanted !== undefined && root.added_tokens?.some(({ content }) => content === wanted) !== true)
      throw new FerroError('INVALID_OPTION', `addTokens: "${role}" must be a special token, got ${show(wanted)}`);
    const before = tokenizer[id];
    if (wanted !== undefined) config[key] = wanted;
    else if (before !== null) config[key] ??= tokenizer.decode([before]);
  }
  const listed = config.added_tokens_decoder as Record<string, unknown> | undefined;
  if (listed !== undefined && listed !== null) {
    for (const { id, ...token } of root.added_tokens ?? []) listed[id] ??= token;
  }
  return `${JSON.stringify(config, null, 2)}\n`;
}

/** Names of the tokens that stand for a task, `count` of them: `<|task:NAME|>`, or `<|task:NAME:0|>` and so on. @throws INVALID_OPTION */
export function taskTokens(task: string, count = 1): string[] {
  if (typeof task !== 'string' || task === '')
    throw new FerroError('INVALID_OPTION', `taskTokens: the task must be a name, got ${show(task)}`);
  if (!Number.isInteger(count) || count < 1 || count > 1024)
    throw new FerroError('INVALID_OPTION', `taskTokens: the number of tokens must be an integer from 1 to 1024, got ${show(count)}`);
  return count === 1 ? [`<|task:${task}|>`] : Array.from({ length: count }, (_, i) => `<|task:${task}:${i}|>`);
}
