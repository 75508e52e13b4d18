// Made by scripts/build-wasm.mjs from wasm-bindgen's output. Do not edit.

/**
 * A byte-level BPE encoder and decoder.
 */
export class Bpe {
    free(): void;
    [Symbol.dispose](): void;
    /**
     * Bytes of ids.
     */
    decode(ids: Int32Array | number[]): Uint8Array;
    /**
     * Ids of a text.
     */
    encode(text: string): Int32Array;
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

/**
 * A checked header for JavaScript. Numbers are exact: all are below 2^53.
 */
export class SafetensorsHeader {
    private constructor();
    free(): void;
    [Symbol.dispose](): void;
    /**
     * First byte of tensor i in the data.
     */
    begin(i: number): number;
    /**
     * Dtype of tensor i.
     */
    dtype(i: number): string;
    /**
     * The byte after the last one of tensor i in the data.
     */
    end(i: number): number;
    /**
     * Key of metadata entry i.
     */
    metadataKey(i: number): string;
    /**
     * Value of metadata entry i.
     */
    metadataValue(i: number): string;
    /**
     * Name of tensor i.
     */
    name(i: number): string;
    /**
     * Shape of tensor i.
     */
    shape(i: number): Float64Array;
    /**
     * How many entries `__metadata__` has.
     */
    readonly metadata: number;
    /**
     * How many tensors there are.
     */
    readonly tensors: number;
}

/** The exports of one instance of the text kernels. */
export interface TextExports {
  /** Instantiates the module. Comes first. */
  initSync(options: { module: WebAssembly.Module }): unknown;
  Bpe: typeof Bpe;
  BpeTrainer: typeof BpeTrainer;
  SafetensorsHeader: typeof SafetensorsHeader;
  byte_order(): Uint8Array;
  parse_safetensors_header(header: Uint8Array | number[], file_bytes: number): SafetensorsHeader;
  safetensors_header_length(first: Uint8Array | number[], file_bytes: number): number;
}

/** A fresh set of exports with state of its own. */
export function createText(): TextExports;
