// One text being written: its tokens, what of its text may be shown, and why it ended. It knows no engine.
import type { StreamingDecoder, Tokenizer } from '../tokenizers';
import { MOST_TOP_LOG_PROBS, type Sampling } from './options';
import { Stopper } from './stopper';

/** 'length': maxNewTokens were written; 'eos': the model's end-of-text token came; 'stop': a stop string or one of stopTokenIds came. */
export type FinishReason = 'length' | 'eos' | 'stop';

/** A token and its log-probability in nats, by the model's logits before penalties and temperature. */
export interface TokenLogProb {
  id: number;
  logProb: number;
}

/** One text. */
export interface GeneratedSequence {
  /** The new text, without the prompt, a stop string or an end; '' for a model without a tokenizer. */
  text: string;
  /** All new tokens, those of an end and of a stop string included. */
  ids: number[];
  finishReason: FinishReason;
  /** Of each new token: its log-probability in nats, by the model's logits before penalties and temperature (as OpenAI and vLLM give it). */
  logProbs: number[];
  /** Of each new token, where topLogProbs was above 0: the likeliest tokens at its place. */
  topLogProbs?: TokenLogProb[][];
  /** The seed that gives this text again as a single one. */
  seed: number;
  /** Beam search: the sum of log-probabilities divided by the length to the power of lengthPenalty. */
  score?: number;
}

/** One token as it is written. */
export interface GeneratedPiece {
  /** The text that is certain now; '' while a character is incomplete or a stop string may be coming. Never half a character. */
  text: string;
  id: number;
  /** 0 for the first new token. */
  index: number;
  /** Which sequence it belongs to: prompt number · numReturnSequences + number of the text. */
  sequence: number;
  logProb: number;
}

/** A sequence under way. */
export class Sequence {
  /** Prompt and new tokens. */
  readonly ids: number[];
  readonly promptLength: number;
  /** First token of the context. */
  start = 0;
  /** Tokens of the context, from its start, whose keys and values are in the cache. */
  cached = 0;
  /** True once an end id was drawn: the engine then does nothing more for it. */
  ended = false;
  finishReason: FinishReason | undefined;
  readonly #sampling: Sampling;
  readonly #decoder: StreamingDecoder | undefined;
  readonly #stopper: Stopper;
  readonly #eosIds: readonly number[];
  readonly #logProbs: number[] = [];
  readonly #top: TokenLogProb[][] = [];
  #text = '';

  constructor(
    ids: ArrayLike<number>,
    readonly index: number,
    sampling: Sampling,
    tokenizer: Tokenizer | null,
    eosIds: readonly number[],
  ) {
    this.ids = Array.from(ids);
    this.promptLength = this.ids.length;
    this.#sampling = sampling;
    this.#decoder = tokenizer?.decoder({ skipSpecialTokens: sampling.skipSpecialTokens });
    this.#stopper = new Stopper(sampling.stopStrings);
    this.#eosIds = eosIds;
    if (sampling.maxNewTokens === 0) this.finishReason = 'length';
  }

  /** New tokens so far. */
  get written(): number {
    return this.ids.length - this.promptLength;
  }

  /** Takes a row of a report: the token that was written. */
  accept(report: Int32Array): GeneratedPiece {
    const floats = new Float32Array(report.buffer, report.byteOffset, report.length);
    const pairs = Math.min(this.#sampling.topLogProbs, MOST_TOP_LOG_PROBS);
    const top = Array.from({ length: pairs }, (_, i) => ({ id: report[2 + 2 * i], logProb: floats[3 + 2 * i] }));
    return this.write(
      report[0],
      floats[1],
      top.filter(({ id }) => id >= 0),
    );
  }

  /** Takes a token. */
  write(id: number, logProb: number, top: TokenLogProb[]): GeneratedPiece {
    const { maxNewTokens, stopTokenIds, topLogProbs } = this.#sampling;
    const index = this.written;
    this.ids.push(id);
    this.#logProbs.push(logProb);
    if (topLogProbs > 0) this.#top.push(top);
    if (this.#eosIds.includes(id)) this.finishReason = 'eos';
    else if (stopTokenIds.includes(id)) this.finishReason = 'stop';
    this.ended = this.finishReason !== undefined;
    let text = this.ended || this.#decoder === undefined ? '' : this.#decoder.push(id);
    text = this.#stopper.push(text);
    if (this.#stopper.stopped) this.finishReason = 'stop';
    else if (this.finishReason === undefined && this.written === maxNewTokens) this.finishReason = 'length';
    if (this.finishReason !== undefined) text += this.#rest();
    this.#text += text;
    return { text, id, index, sequence: this.index, logProb };
  }

  /** What was held back, at the end. */
  #rest(): string {
    const rest = this.#stopper.push(this.#decoder?.flush() ?? '');
    if (this.#stopper.stopped) this.finishReason = 'stop';
    return rest + this.#stopper.flush();
  }

  /** The whole, so far. */
  result(): GeneratedSequence {
    return {
      text: this.#text,
      ids: this.ids.slice(this.promptLength),
      finishReason: this.finishReason ?? 'length',
      logProbs: this.#logProbs,
      ...(this.#sampling.topLogProbs > 0 ? { topLogProbs: this.#top } : {}),
      seed: this.#sampling.seed + this.index,
    };
  }
}
