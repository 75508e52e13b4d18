// The graph room's only public door: symbolic tensors, ops, differentiation, and compilation into programs. It knows no engine.
export { differentiate } from './autodiff';
export { checkpoint } from './checkpoint';
export { type CompileRequest, compile } from './compile';
export { type DecodedInstruction, type DecodedOperand, type DecodedProgram, decodeProgram } from './decode';
export {
  type Dim,
  DimProduct,
  dimEquals,
  dimMax,
  dimMul,
  dimValue,
  Extent,
  maxNumel,
  numel,
  type Shape,
  shapeEquals,
  shapeText,
  shapeValue,
} from './dims';
export { type AdamwOptions, accumulate, adamw, assign, type Effect, type SgdOptions, sgd } from './effects';
export { describeInstruction, explain } from './explain';
export type { GradientContext, LowerContext, OpDefinition, OutputSpec, ParamValue, Storage, View } from './op';
export { apply } from './op';
export { OPCODES, type OpcodeName, type OpcodeSpec } from './opcodes';
export { addPosition } from './ops/addPosition';
export { type AttentionOptions, attention, attentionQkv } from './ops/attention';
export { attentionCached, type CachedAttentionOptions } from './ops/attentionCached';
export { beamScores, permuteRows } from './ops/beam';
export { add, div, mul, sub } from './ops/binary';
export { clipFinish, squaredNorm } from './ops/clip';
export { countLabels, crossEntropy, IGNORE_INDEX, type RowLosses } from './ops/crossEntropy';
export { dropout } from './ops/dropout';
export { embedding } from './ops/embedding';
export { fill } from './ops/fill';
export { addInteger } from './ops/integer';
export { layerNorm } from './ops/layerNorm';
export { linear } from './ops/linear';
export { linearCrossEntropy } from './ops/linearCrossEntropy';
export { logSigmoid } from './ops/logSigmoid';
export { matmul } from './ops/matmul';
export { recomputed } from './ops/recomputed';
export { mean, sum, sumLast, sumRows } from './ops/reduce';
export { reshape } from './ops/reshape';
export { rmsNorm } from './ops/rmsNorm';
export { type RotaryOptions, rotary } from './ops/rotary';
export { lastRow, type QkvPart, qkvPart, writeRows } from './ops/rows';
export {
  type DrawOptions,
  drawTokens,
  type GenerationRules,
  HISTORY_TOKENS,
  IN_PROMPT,
  type SampleScalars,
  STATE_WORDS,
  sample,
} from './ops/sample';
export { copySequence } from './ops/sequences';
export { logSoftmax, softmax } from './ops/softmax';
export { splitRows } from './ops/splitRows';
export { swiglu } from './ops/swiglu';
export { transpose } from './ops/transpose';
export { abs, addScalar, exp, gelu, log, neg, reciprocal, relu, scale, sigmoid, sqrt, square, tanh } from './ops/unary';
export { pathWords } from './path';
export { type Binding, PROGRAM_MAGIC, PROGRAM_VERSION, type Program, type ProgramPlan, type ProgramPort } from './program';
export { dequantizeQ8, packQ8, Q8_BLOCK, type Q8Matrix, q8Blocks, q8Bytes, quantizeQ8, unpackQ8 } from './q8';
export {
  bf16Bytes,
  constant,
  type DType,
  type Init,
  input,
  isFrozenType,
  type Node,
  type Operand,
  type RotaryScaling,
  type ScalarInput,
  type ScalarName,
  scalarInput,
  Tensor,
  Variable,
  type VariableOptions,
} from './tensor';
