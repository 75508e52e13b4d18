// Made by scripts/build-wasm.mjs from wasm-bindgen's output. Do not edit.

/**
 * A byte-level BPE encoder and decoder.
 */
export class Bpe {
    free(): void;
    [Symbol.dispose](): void;
    /**
     * A token to be found in texts before they are split. `flags`: 1 lstrip, 2 rstrip, 4 single word, 8 special.
     */
    add_token(content: string, id: number, flags: number): void;
    /**
     * Bytes of ids.
     */
    decode(ids: Int32Array | number[]): Uint8Array;
    /**
     * Ids of a text. Special tokens in it are text, but for those in `special`, or none of them with `all_special`.
     */
    encode(text: string, all_special: boolean, special: Uint32Array | number[]): Int32Array;
    /**
     * `pattern`: the splitter's steps; `merges`: left, right, merged id in rank order.
     */
    constructor(pattern: string, ignore_merges: boolean, token_bytes: Uint8Array | number[], token_lengths: Uint32Array | number[], merges: Uint32Array | number[]);
}

/**
 * Finds the merges of a new vocabulary.
 */
export class BpeTrainer {
    free(): void;
    [Symbol.dispose](): void;
    /**
     * Counts the words of a text.
     */
    feed(text: string): void;
    /**
     * `pattern`: the splitter's steps.
     */
    constructor(pattern: string);
    /**
     * Merges as left, right, merged; the first 256 ids are the bytes in `byte_order`.
     */
    train(vocab_size: number, min_frequency: number): Uint32Array;
}

/** The exports of one instance of the text kernels. */
export interface TextExports {
  /** Instantiates the module. Comes first. */
  initSync(options: { module: WebAssembly.Module }): unknown;
  Bpe: typeof Bpe;
  BpeTrainer: typeof BpeTrainer;
  byte_order(): Uint8Array;
}

/** A fresh set of exports with state of its own. */
export function createText(): TextExports;
