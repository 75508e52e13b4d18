// The layers of the original Transformer, with torch.nn's names and numbers. Whole models of them are in ts/models/transformer.ts.

export { type MemoryPlace, TransformerAttention, type TransformerAttentionOptions } from './attention';
export { type DecoderLayerCache, type DecoderMasks, MISSING_MEMORY, TransformerDecoderLayer } from './decoderLayer';
export { TransformerEncoderLayer } from './encoderLayer';
export { type AttentionMasks, additiveMask, checkSequence } from './masks';
export { LAYER_OPTIONS, type TransformerLayerOptions } from './options';
