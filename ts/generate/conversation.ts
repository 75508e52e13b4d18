// A conversation: what was read and written stays in the cache, so that each turn reads only what is new.
import { FerroError } from '../errors';
import { Stream } from '../stream';
import { type GeneratedText, type GenerationModel, generationRules, whole } from './generate';
import { type GenerateOptions, readSampling, type Sampling } from './options';
import { type Prompt, promptIds, tokenIds } from './prompts';
import { type GeneratedPiece, Sequence } from './sequence';
import type { GenerationSession } from './session';
import { write } from './write';

/** One text that grows turn by turn. Made by `model.startConversation()`; holds a cache of its own until `close()`. */
export class Conversation implements AsyncDisposable {
  readonly #model: GenerationModel;
  readonly #ids: number[] = [];
  #session: GenerationSession | undefined;
  /** As in `Sequence`. */
  #start = 0;
  #cached = 0;
  /** The weights that the cache was computed with. */
  #weights = '';
  #busy = false;
  #closed = false;

  constructor(model: GenerationModel) {
    this.#model = model;
  }

  /** All tokens so far: prompts and replies. */
  get ids(): readonly number[] {
    return this.#ids;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /**
   * Goes on with `prompt` behind everything so far, and writes a reply: what one long `generate` over the same tokens would give. Iterate or await it as `model.generate`. A turn that
   * is broken off keeps what was shown of it.
   * @param prompt text or token ids; may be empty from the second turn on
   * @throws INVALID_OPTION (several sequences or beams, no cache), BUSY while another turn runs, MODEL_CLOSED, and what `model.generate` throws
   */
  generate(prompt: Prompt = '', options?: GenerateOptions): Stream<GeneratedPiece, GeneratedText> {
    this.#assertOpen();
    const sampling = this.#sampling(options);
    const fresh = this.#ids.length === 0 ? promptIds(this.#model, prompt) : tokenIds(this.#model, prompt, false);
    return new Stream('generate', (ahead) => this.#turn(() => [...this.#ids, ...fresh], sampling, ahead));
  }

  /**
   * The same for a caller who keeps the whole text: `prompt` is everything, and as much of its beginning as is in the cache is not read again.
   */
  generateFrom(prompt: Prompt, options?: GenerateOptions): Stream<GeneratedPiece, GeneratedText> {
    this.#assertOpen();
    const sampling = this.#sampling(options);
    const ids = Array.from(promptIds(this.#model, prompt));
    return new Stream('generate', (ahead) => this.#turn(() => ids, sampling, ahead));
  }

  /** Frees the cache. Twice is fine. */
  async close(): Promise<void> {
    this.#closed = true;
    const session = this.#session;
    this.#session = undefined;
    if (session !== undefined && !this.#model.sessions.bound.closed) await session.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async *#turn(wanted: () => number[], sampling: Sampling, ahead: boolean): AsyncGenerator<GeneratedPiece, GeneratedText, void> {
    this.#assertOpen();
    if (this.#busy) throw new FerroError('BUSY', 'generate: a conversation takes one turn at a time, got another');
    this.#busy = true;
    const { sessions, tokenizer, eosIds, blockSize } = this.#model;
    try {
      const rules = generationRules(this.#model, sampling);
      this.#session ??= await sessions.take(1);
      const ids = wanted();
      this.#keepCommonBeginning(ids);
      const sequence = new Sequence(ids, 0, sampling, tokenizer, eosIds);
      [sequence.start, sequence.cached] = [this.#start, this.#cached];
      try {
        yield* write({ session: this.#session, sequences: [sequence], sampling, rules, blockSize, ahead });
      } finally {
        this.#ids.splice(0, this.#ids.length, ...sequence.ids);
        [this.#start, this.#cached] = [sequence.start, sequence.cached];
      }
      return whole([sequence.result()]);
    } finally {
      this.#busy = false;
      if (this.#closed) await this.close();
    }
  }

  /** What of the cache still holds for these tokens. The last token is always read again, since the next one is drawn after it. */
  #keepCommonBeginning(ids: readonly number[]): void {
    const weights = this.#model.sessions.bound.weightsKey;
    if (weights !== this.#weights) [this.#start, this.#cached, this.#weights] = [0, 0, weights]; // trained, set, another adapter: all is read again
    let same = 0;
    const most = Math.min(ids.length - 1, this.#start + this.#cached);
    while (same < most && ids[same] === this.#ids[same]) same++;
    if (same < this.#start) [this.#start, this.#cached] = [0, 0];
    else this.#cached = same - this.#start;
  }

  #sampling(options: GenerateOptions | undefined): Sampling {
    const sampling = readSampling(options, this.#model.vocabSize);
    if (sampling.numReturnSequences > 1 || sampling.beams !== undefined || !sampling.useCache)
      throw new FerroError(
        'INVALID_OPTION',
        'generate: a conversation writes one text with its cache, got numReturnSequences, numBeams or useCache',
      );
    return sampling;
  }

  #assertOpen(): void {
    this.#model.sessions.bound.assertOpen('generate');
    if (this.#closed) throw new FerroError('MODEL_CLOSED', 'generate: the conversation must be open, got one that was closed');
  }
}
