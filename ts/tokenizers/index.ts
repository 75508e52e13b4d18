// The tokenizers' public names. Nothing here needs an engine.
export { ByteTokenizer } from './byteTokenizer';
export { CharTokenizer, CharVocabulary } from './charTokenizer';
export { loadTokenizer, TOKENIZER_FILES } from './load';
export type { DecodeOptions, EncodeOptions, StreamingDecoder, StreamingEncoder, Tokenizer, TokenizerKind } from './tokenizer';
