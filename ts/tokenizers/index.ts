// The tokenizers' public names. Nothing here needs an engine.
export { ByteTokenizer } from './byteTokenizer';
export { CharTokenizer, CharVocabulary } from './charTokenizer';
export { loadTokenizer } from './load';
export type { StreamingDecoder, StreamingEncoder, Tokenizer, TokenizerKind } from './tokenizer';
