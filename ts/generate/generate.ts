// Writing text token by token: prompt in, pieces out, until enough tokens or a stop. The engine's side is in session.ts, the full-context rule in
// context.ts.
import { FerroError, throwIfAborted } from '../errors';
import type { Tokenizer } from '../tokenizers';
import { nextContext } from './context';
import type { Sampling } from './options';
import type { GenerationSession, GenerationSessions } from './session';
import { Stopper } from './stopper';

/** One token as it is written. */
export interface GeneratedPiece {
  /** The text that is certain now; '' while a character is incomplete or a stop string may be coming. Never half a character. */
  text: string;
  id: number;
  /** 0 for the first new token. */
  index: number;
}

/** The whole. */
export interface GeneratedText {
  /** The new text, without the prompt; '' for a model without a tokenizer. */
  text: string;
  /** The new tokens. */
  ids: number[];
  /** The seed that gives the same text again. */
  seed: number;
  /** 'length': maxNewTokens were written; 'eos': the end-of-text token came; 'stop': a stop string came. */
  finishReason: 'length' | 'eos' | 'stop';
}

/** What a generation needs to know of a model. */
export interface GenerationModel {
  sessions: GenerationSessions;
  tokenizer: Tokenizer | null;
  blockSize: number;
  vocabSize: number;
}

/**
 * The tokens to start from: a text's own, and around it what transformers adds to a prompt too (Llama's beginning-of-text token). An empty prompt starts from the tokenizer's beginning-of-text token, else from a line break, else from token 0; that
 * token is not part of the result.
 * @throws TOKEN_OUT_OF_RANGE, UNKNOWN_CHARACTER, INVALID_OPTION
 */
export function promptIds(model: GenerationModel, prompt: string | ArrayLike<number>): Int32Array {
  if (typeof prompt === 'string') {
    if (model.tokenizer === null)
      throw new FerroError('INVALID_OPTION', 'generate: a prompt of text needs a model with a tokenizer, got one without');
    if (prompt !== '') return model.tokenizer.encode(prompt, { addSpecialTokens: true });
    return Int32Array.of(startId(model.tokenizer));
  }
  const ids = Array.from(prompt);
  ids.forEach((id, position) => {
    if (!Number.isInteger(id) || id < 0 || id >= model.vocabSize) {
      throw new FerroError(
        'TOKEN_OUT_OF_RANGE',
        `generate: ids must be integers from 0 to ${model.vocabSize - 1}, got ${id} at position ${position}`,
      );
    }
  });
  return Int32Array.from(ids.length > 0 ? ids : [model.tokenizer === null ? 0 : startId(model.tokenizer)]);
}

function startId(tokenizer: Tokenizer): number {
  if (tokenizer.bosId !== null) return tokenizer.bosId;
  try {
    const lineBreak = tokenizer.encode('\n');
    return lineBreak.length === 1 ? lineBreak[0] : 0;
  } catch {
    return 0; // a vocabulary of characters without a line break
  }
}

/**
 * Writes up to maxNewTokens tokens.
 * @param ahead true when nobody looks at single pieces: tokens are then drawn many per message
 */
export async function* generate(
  model: GenerationModel,
  prompt: Int32Array,
  sampling: Sampling,
  ahead: boolean,
): AsyncGenerator<GeneratedPiece, GeneratedText, void> {
  return yield* model.sessions.use((session) => new Writer(model, session, prompt, sampling, ahead).write());
}

/** One generation under way. */
class Writer {
  readonly #ids: number[];
  readonly #promptLength: number;
  readonly #stopper: Stopper;
  #start = 0;
  #cachedStart = -1;

  constructor(
    readonly model: GenerationModel,
    readonly session: GenerationSession,
    prompt: Int32Array,
    readonly sampling: Sampling,
    readonly ahead: boolean,
  ) {
    this.#ids = Array.from(prompt);
    this.#promptLength = prompt.length;
    this.#stopper = new Stopper(sampling.stopStrings);
  }

  async *write(): AsyncGenerator<GeneratedPiece, GeneratedText, void> {
    const { maxNewTokens, seed, signal } = this.sampling;
    const decoder = this.model.tokenizer?.decoder();
    const eosId = this.model.tokenizer?.eosId ?? null;
    const written: number[] = [];
    let text = '';
    let finishReason: GeneratedText['finishReason'] = 'length';
    while (written.length < maxNewTokens && finishReason === 'length') {
      throwIfAborted(signal, 'generate');
      for (const id of await this.#next(maxNewTokens - written.length, eosId)) {
        const index = written.length;
        written.push(id);
        if (id === eosId) finishReason = 'eos';
        let piece = id === eosId || decoder === undefined ? '' : decoder.push(id);
        piece = this.#stopper.push(piece);
        if (this.#stopper.stopped) finishReason = 'stop';
        if (finishReason !== 'length' || written.length === maxNewTokens) piece += this.#rest(decoder?.flush());
        text += piece;
        yield { text: piece, id, index };
        if (finishReason !== 'length') break;
      }
    }
    return { text, ids: written, seed, finishReason };
  }

  /** What was held back, at the end. */
  #rest(undecoded: string | undefined): string {
    const rest = this.#stopper.push(undecoded ?? '');
    return rest + this.#stopper.flush();
  }

  /** The next token, or the next ones when they may be drawn ahead. */
  async #next(wanted: number, eosId: number | null): Promise<number[]> {
    const draw = this.#ids.length - this.#promptLength;
    const { blockSize } = this.model;
    const context = nextContext(this.#start, this.#ids.length, blockSize);
    this.#start = context.start;
    let ids: number[];
    if (!this.sampling.useCache) {
      ids = [await this.session.uncached(this.#context(), this.sampling, draw)];
    } else if (context.start !== this.#cachedStart) {
      ids = [await this.session.prefill(this.#context(), this.sampling, draw)];
      this.#cachedStart = context.start;
    } else if (this.ahead) {
      const room = blockSize - context.length + 1;
      ids = await this.session.decodeMany(context.length, Math.min(wanted, room), this.sampling, draw, eosId === null ? [] : [eosId]);
    } else {
      ids = [await this.session.decode(context.length, this.sampling, draw)];
    }
    for (const id of ids) this.#ids.push(id);
    return ids;
  }

  #context(): Int32Array {
    return Int32Array.from(this.#ids.slice(this.#start));
  }
}
