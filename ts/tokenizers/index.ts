// The tokenizers' public names. Nothing here needs an engine.
export type { AddedToken } from './addedTokens';
export { addSpecialTokens, type GrownTokenizer, type TokenRoles, taskTokens } from './addTokens';
export { BpeTokenizer } from './bpeTokenizer';
export type { BpeTrainOptions } from './bpeTrain';
export { ByteTokenizer } from './byteTokenizer';
export { CharTokenizer, CharVocabulary } from './charTokenizer';
export { HuggingFaceTokenizer } from './huggingFaceTokenizer';
export { loadTokenizer, TOKENIZER_FILES } from './load';
export { PATTERNS } from './patterns';
export type { SpecialIds } from './specialIds';
export { cutPieces } from './streamCut';
export type { DecodeOptions, EncodeOptions, StreamingDecoder, StreamingEncoder, Tokenizer, TokenizerKind } from './tokenizer';
