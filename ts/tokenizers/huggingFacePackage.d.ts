// What this library uses of the optional package `@huggingface/tokenizers`, so that it type-checks where the package is not installed.
declare module '@huggingface/tokenizers' {
  export class Tokenizer {
    constructor(tokenizer: object, config: object);
    encode(text: string, options: { add_special_tokens: boolean }): { ids: number[] };
    decode(ids: number[], options: { skip_special_tokens: boolean; clean_up_tokenization_spaces: boolean }): string;
    get_vocab(withAddedTokens: boolean): Map<string, number>;
  }
}
