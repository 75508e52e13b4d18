// The one table of options: name, check, default, help. A default that depends on other options is undefined here and told in `defaultText`; whoever owns
// the option resolves it. The list of names that an object or a command accepts is in lists.ts. Names follow GPT-2's configuration (nLayer …), Hugging
// Face's Trainer (learningRate …) and its generation settings (maxNewTokens …), in camelCase.

import * as check from './checks';
import { named, option } from './option';

export type { Option } from './option';

const GIB = 1024 ** 3;

/** Every option there is, by its TypeScript name. */
export const OPTIONS = named({
  // The engine.
  threads: option(check.integerFrom(1, 64), {
    help: 'compute threads',
    defaultText: "the machine's cores, at most 8; 1 without isolation",
  }),
  simd: option(check.oneOf('auto', 'portable', 'relaxed', 'auto256'), {
    help: 'kernel build: auto takes relaxed SIMD where it is, portable gives the same bits on every machine, auto256 also 256-bit vectors (Node 24, x64)',
    defaultText: 'auto; on the command line auto256, or relaxed on Node 20, where this V8 has been checked',
  }),
  worker: option(check.flag, { default: true, flag: '', help: 'run in a worker; false runs in the calling thread' }),
  maxMemoryBytes: option(check.integerFrom(1024 ** 2, 4 * GIB), {
    help: 'most memory the engine may grow to',
    defaultText: '4 GiB, less where refused',
  }),
  wasmUrl: option(check.address, { help: 'where the kernels (.wasm) are' }),
  wasmModule: option(check.instance, { help: 'the compiled kernels (WebAssembly.Module)' }),
  workerUrl: option(check.address, { help: "where the engine worker's script is" }),
  threadWorkerUrl: option(check.address, { help: "where the compute threads' script is" }),
  onWarning: option(check.callback, { help: 'called with each warning, once per code', defaultText: 'console.warn' }),
  signal: option(check.abortSignal, { help: 'aborts the call' }),
  onProgress: option(check.callback, { help: 'called with { name, loadedBytes, totalBytes } over all files' }),

  // The model.
  modelType: option(check.oneOf('gpt2', 'llama'), {
    default: 'gpt2',
    help: "the architecture: GPT-2's, or Llama's (rotary positions, root-mean-square norms, gated layers, no biases)",
  }),
  preset: option(check.oneOf('gpt-nano', 'gpt-micro', 'gpt-mini', 'gpt2', 'gpt2-medium', 'gpt2-large', 'gpt2-xl'), {
    help: 'a named size; --n-layer, --n-head and --n-embd override its parts',
    defaultText: 'gpt-micro on the command line',
  }),
  nLayer: option(check.count, { help: 'transformer blocks' }),
  nHead: option(check.count, { help: 'attention heads; must divide nEmbd' }),
  nEmbd: option(check.count, { help: 'width of the residual stream' }),
  nKvHead: option(check.count, { help: 'llama: heads of keys and values; must divide nHead', defaultText: 'nHead' }),
  headDim: option(check.count, { help: 'llama: width of a head', defaultText: 'nEmbd / nHead' }),
  ropeTheta: option(check.positive, { help: 'base of the rotary positions', defaultText: '10000' }),
  ropeScaling: option(check.ropeScaling, {
    help: 'how rotary positions are stretched for contexts longer than those of training: linear:FACTOR or llama3:FACTOR:LOW:HIGH:POSITIONS',
    defaultText: 'none',
  }),
  rmsNormEps: option(check.positive, { default: 1e-5, help: 'llama: added to the mean square in norms' }),
  blockSize: option(check.count, { help: 'context length in tokens', defaultText: '64 for the small presets, 1024 for GPT-2 sizes' }),
  vocabSize: option(check.count, { help: 'size of the vocabulary', defaultText: "the tokenizer's; 4096 for one to train" }),
  dropout: option(check.belowOne, { default: 0, help: 'probability of dropping an activation while training' }),
  embdPdrop: option(check.belowOne, { help: 'dropout after the embeddings', defaultText: "dropout's" }),
  residPdrop: option(check.belowOne, { help: 'dropout after both branches of a block', defaultText: "dropout's" }),
  attnPdrop: option(check.belowOne, { help: 'dropout of attention weights', defaultText: "dropout's" }),
  bias: option(check.flag, { default: true, help: 'biases in linear layers and norms' }),
  nInner: option(check.count, {
    help: 'width of the feed-forward layers',
    defaultText: '4 · nEmbd; llama: 8/3 · nEmbd, rounded up to a multiple of 32',
  }),
  activationFunction: option(check.oneOf('gelu_new', 'gelu_pytorch_tanh', 'gelu', 'relu'), {
    default: 'gelu_new',
    help: 'activation of the feed-forward layers',
  }),
  layerNormEpsilon: option(check.positive, { default: 1e-5, help: 'added to the variance in norms' }),
  tieWordEmbeddings: option(check.flag, { default: true, help: 'the head is the token table; false gives it weights of its own' }),
  positionEmbedding: option(check.oneOf('learned', 'sinusoidal', 'rotary'), { default: 'learned', help: 'gpt2: position encoding' }),
  positionNoise: option(check.nonNegative, { default: 0, help: 'standard deviation of the noise added to sinusoidal positions' }),
  bosToken: option(check.name, { flag: '', help: 'the special token that begins a text', defaultText: "the tokenizer's" }),
  eosToken: option(check.name, { flag: '', help: 'the special token that ends a text', defaultText: "the tokenizer's" }),
  padToken: option(check.name, { flag: '', help: 'the special token that fills batches', defaultText: "the tokenizer's" }),
  tokenizer: option(check.instance, { flag: '', help: 'the tokenizer; the model remembers it' }),

  // The encoder-decoder Transformer.
  inputKind: option(check.oneOf('tokens', 'features'), {
    help: 'transformer: what a source is, token ids or rows of numbers',
    defaultText: 'tokens',
  }),
  inputDim: option(check.count, {
    help: 'transformer: words of the source vocabulary, or width of a row of features',
    defaultText: "the tokenizer's",
  }),
  outputDim: option(check.count, {
    help: 'transformer: words of the target vocabulary',
    defaultText: "the target tokenizer's, and an end where it has none",
  }),
  nEncoderLayer: option(check.count, { help: 'transformer: layers of the encoder', defaultText: 'nLayer' }),
  nDecoderLayer: option(check.count, { help: 'transformer: layers of the decoder', defaultText: 'nLayer' }),
  dModel: option(check.count, { help: 'transformer: width of the residual stream' }),
  dimFeedforward: option(check.count, { help: 'transformer: width of the feed-forward layers', defaultText: '4 · dModel' }),
  normFirst: option(check.flag, {
    help: 'transformer: norms before the parts of a layer; false: behind the sums, as in Vaswani et al.',
    defaultText: 'true',
  }),
  shareEmbeddings: option(check.flag, {
    help: 'transformer: source and target have one token table',
    defaultText: 'whether there is one tokenizer for both',
  }),
  padId: option(check.whole, {
    flag: '',
    help: 'transformer: id that fills up batches',
    defaultText: "the target tokenizer's, else eosId",
  }),
  decoderPrompt: option(check.textOrIds, {
    flag: '',
    help: 'transformer: text (or token ids) that the target begins with',
    defaultText: 'none',
  }),
  seed: option(check.seed, { default: 42, help: 'seed of everything random' }),

  // Adapters.
  rank: option(check.count, { default: 8, flag: '', help: 'rank of the branches of a low-rank adapter (LoRA)' }),
  alpha: option(check.positive, { flag: '', help: 'branches are multiplied by alpha/rank', defaultText: 'rank' }),
  targetModules: option(check.texts, {
    flag: '',
    help: 'layers with a branch: the end of their names, * for any text, or all-linear',
    defaultText: 'c_attn (gpt2), q_proj and v_proj (llama)',
  }),
  modulesToSave: option(check.names, {
    flag: '',
    help: 'modules that are trained whole and saved with the adapter',
    defaultText: "a classifier's head",
  }),
  useRslora: option(check.flag, { default: false, flag: '', help: 'multiply branches by alpha/√rank' }),
  loraRank: option(check.count, { help: 'train a low-rank adapter (LoRA) of this rank; the base stays frozen' }),
  loraAlpha: option(check.positive, { help: 'branches are multiplied by lora-alpha/lora-rank', defaultText: 'lora-rank' }),
  loraDropout: option(check.belowOne, { default: 0, help: 'probability of dropping an input of a branch while training' }),
  loraTargetModules: option(check.names, {
    help: 'layers with a branch: the end of their names, * for any text, or all-linear',
    defaultText: 'c_attn (gpt2), q_proj and v_proj (llama)',
  }),
  adapter: option(check.name, { help: "folder of an adapter (in PEFT's layout, or a run that trained one) to use with the model" }),
  mergeAdapter: option(check.name, { help: 'folder of an adapter to add to the weights that are written' }),

  // Preferences.
  beta: option(check.positive, { default: 0.1, help: 'how strongly DPO holds the model to the reference' }),
  labelSmoothing: option(check.belowOne, {
    default: 0,
    help: 'share of each target that all words have evenly (sequence-to-sequence models); dpoLoss: probability that a preference is the wrong way round',
  }),
  lossType: option(check.oneOf('sigmoid', 'ipo', 'hinge'), { default: 'sigmoid', help: 'dpoLoss: what is made of the margin' }),

  // Classifiers.
  pooling: option(check.oneOf('last', 'mean'), {
    help: "what represents a sequence to the classifier: its last position, or the mean over all (this library's alone)",
    defaultText: "last; a folder's own",
  }),
  truncate: option(check.flag, { default: false, flag: '', help: 'cut texts at the context length instead of refusing them' }),

  // Saving.
  format: option(check.oneOf('hf', 'gguf'), { default: 'hf', help: "hf: a folder in Hugging Face's layout; gguf: a file for llama.cpp" }),
  dtype: option(check.oneOf('float32', 'bfloat16', 'float16', 'q8_0'), {
    default: 'float32',
    help: 'how weights are saved; q8_0 (8 bits in blocks) in GGUF alone',
    defaultText: 'float32; float16 in GGUF',
  }),
  name: option(check.name, { flag: '', help: "the model's name in a GGUF file", defaultText: 'none' }),
  quantize: option(check.oneOf('int8', 'bf16'), {
    help: 'weights of linear layers and tables as int8 blocks or bf16: a quarter or half of the memory, faster generation, only adapters can be trained',
    defaultText: 'as the model is',
  }),
  stride: option(check.count, {
    help: 'tokens from one window of the evaluation to the next: each token is predicted from at least the context length less this many before it',
    defaultText: 'the context length',
  }),
  maxShardSize: option(check.sizeInBytes, { help: 'largest weight file: bytes, or 200MB, 1GiB', defaultText: 'one file' }),

  // Data.
  data: option(check.names, { help: 'UTF-8 files: text (lm), rows of JSONL, TSV or bAbI (other tasks)' }),
  evalData: option(check.names, { help: 'such files to evaluate on' }),
  evalFraction: option(check.belowOne, {
    default: 0.1,
    help: 'part kept for evaluation where no files are given for it: the end of the tokens, rows drawn by the seed',
  }),
  dataFormat: option(check.oneOf('jsonl', 'tsv', 'babi'), {
    help: 'how rows are written',
    defaultText: "by the ending of each file's name",
  }),
  task: option(check.oneOf('lm', 'sft', 'classify', 'seq2seq', 'dpo'), {
    help: 'lm: the next token of texts; sft: completions of prompts; classify: a label; seq2seq: a target text (an encoder-decoder); dpo: preferences',
    defaultText: 'lm; for a saved model the one it was trained for',
  }),
  header: option(check.flag, { help: 'whether the first line of a TSV file is a header', defaultText: 'whether it says names of columns' }),
  metrics: option(check.listOf('exact_match', 'f1', 'bleu', 'chrf', 'chrf++', 'rouge', 'wer', 'cer'), {
    help: 'scores of texts that the model writes, greedily unless told otherwise',
    defaultText: 'seq2seq: exact_match, bleu, chrf and wer; else none',
  }),
  splitBy: option(check.name, {
    help: 'field of rows: those that have it equal are all trained on or all evaluated on',
    defaultText: 'each row by itself',
  }),
  targetTokenizerName: option(check.name, {
    flag: 'target-tokenizer',
    aliases: ['target_tokenizer_name'],
    help: 'seq2seq: a tokenizer of its own for targets: char, byte, bpe, or a folder with tokenizer.json',
    defaultText: 'one for sources and targets',
  }),
  predictions: option(check.name, { help: 'file for the predictions, one JSON object per line' }),
  dataset: option(check.instance, { help: 'what to train on' }),
  evalDataset: option(check.instance, { help: 'what to evaluate on', defaultText: 'the last tenth of the data set' }),

  columns: option(check.names, {
    help: "names of a TSV file's columns in order, - passes one over; or name=field for each: other names of the fields of any file",
    defaultText: "the file's first line, or the task's",
  }),
  template: option(check.template, {
    default: 'plain',
    help: 'how a row becomes a text: plain, alpaca, chatml, or a text with {fields}, as "Q: {question}\\nA: {answer}"',
  }),
  taskPrefix: option(check.text, { default: '', help: 'text in front of what is read: "translate English to French: "' }),
  taskTokens: option(check.tokens, { help: 'special tokens (or ids) in front of every row: the task, learned', defaultText: 'none' }),
  endOfText: option(check.endOfText, {
    help: "what ends a completion: a token id (on the command line digits), a text, '' for nothing",
    defaultText: "the tokenizer's end-of-text token",
  }),
  overflow: option(check.oneOf('skip', 'truncate', 'error'), {
    default: 'skip',
    help: 'rows longer than the context: skip leaves them out and counts them, truncate cuts what is read (never what is learned), error ends',
  }),
  packing: option(check.flag, { default: false, help: 'several rows in one sequence; they do not see each other' }),
  groupByLength: option(check.flag, { default: false, help: 'batches of rows of near length: less padding' }),
  labels: option(check.names, { help: 'the labels in the order of their classes', defaultText: 'those of the data, sorted' }),
  maxSourceLength: option(check.count, { help: 'longest source in tokens', defaultText: 'any; 256 for a new model' }),
  maxTargetLength: option(check.count, { help: 'longest target in tokens, its end counted', defaultText: 'any; 256 for a new model' }),
  targetTokenizer: option(check.instance, { flag: '', help: 'the tokenizer of the targets', defaultText: 'that of the sources' }),
  bosId: option(check.whole, {
    flag: '',
    help: 'the id that a decoder begins with',
    defaultText: "the target tokenizer's beginning-of-text token; for a new model without one eosId",
  }),
  eosId: option(check.whole, {
    flag: '',
    help: 'the id that ends a target',
    defaultText: "the target tokenizer's end-of-text token; for a new model without one the last of outputDim",
  }),

  // Training.
  maxSteps: option(check.count, { help: 'optimizer updates in all', defaultText: 'as many as numTrainEpochs needs' }),
  numTrainEpochs: option(check.positive, { help: 'passes over the data, where maxSteps is not given', defaultText: '1' }),
  batchSize: option(check.count, { default: 12, help: 'windows or rows in a micro-batch' }),
  gradientAccumulationSteps: option(check.count, { default: 1, help: 'micro-batches in an update' }),
  gradientCheckpointing: option(check.flag, {
    default: false,
    help: "keep only each block's input for backward and compute the rest again: less memory, more time, the same bits",
  }),
  learningRate: option(check.nonNegative, { help: 'peak learning rate', defaultText: '1e-3 from scratch, 5e-5 from pretrained weights' }),
  minLearningRate: option(check.nonNegative, {
    help: 'learning rate at the last step (cosine_with_min_lr, warmup_stable_decay)',
    defaultText: 'a tenth of the peak',
  }),
  warmupSteps: option(check.nonNegative, {
    help: 'updates with a rising learning rate; below 1 a share of maxSteps',
    defaultText: 'min(100, maxSteps / 10)',
  }),
  lrSchedulerType: option(
    check.oneOf('constant', 'constant_with_warmup', 'linear', 'cosine', 'cosine_with_min_lr', 'warmup_stable_decay'),
    {
      help: 'shape of the learning rate',
      defaultText: 'cosine_with_min_lr from scratch, linear from pretrained weights',
    },
  ),
  numDecaySteps: option(check.nonNegative, {
    help: 'updates of decay at the end (warmup_stable_decay); below 1 a share of maxSteps',
    defaultText: 'a tenth of maxSteps',
  }),
  optim: option(check.oneOf('adamw', 'sgd'), { default: 'adamw', help: 'optimizer' }),
  adamBeta1: option(check.belowOne, { default: 0.9, help: "AdamW's decay of the mean gradient" }),
  adamBeta2: option(check.belowOne, { default: 0.99, help: "AdamW's decay of the mean squared gradient" }),
  adamEpsilon: option(check.positive, { default: 1e-8, help: "AdamW's epsilon" }),
  momentum: option(check.belowOne, { default: 0, help: "SGD's momentum" }),
  nesterov: option(check.flag, { default: false, help: "SGD's Nesterov momentum" }),
  weightDecay: option(check.nonNegative, { default: 0.1, help: 'decoupled weight decay (none on norms and biases)' }),
  freeze: option(check.names, {
    help: 'parameters that are not trained: names, parts of names (h.0, wte), * for any text',
    defaultText: 'none',
  }),
  trainableTokens: option(check.ids, {
    help: 'of the token table only the rows of these ids are trained, also where it is frozen; they are not decayed',
    defaultText: 'all',
  }),
  layerwiseLearningRateDecay: option(check.share, {
    help: "a layer's learning rate is this to the power of its depth: 0 for head and final norm, 1 for the last block, the tables deepest",
    defaultText: '1',
  }),
  maxGradNorm: option(check.nonNegative, { default: 1, help: 'clip the global gradient norm; 0 = off' }),
  evalSteps: option(check.whole, { help: 'updates between evaluations; 0 = none', defaultText: 'a tenth of maxSteps' }),
  saveSteps: option(check.whole, { default: 500, help: 'updates between checkpoints; 0 = only at the end' }),
  saveTotalLimit: option(check.count, { default: 2, help: 'checkpoints kept, the best one aside' }),
  loggingSteps: option(check.count, { default: 10, help: 'updates between lines of metrics.jsonl' }),
  earlyStoppingPatience: option(check.whole, { default: 0, help: 'evaluations without improvement before stopping; 0 = never' }),
  earlyStoppingThreshold: option(check.nonNegative, {
    default: 0,
    help: 'least improvement of the evaluation loss (or of metricForBestModel) that counts',
  }),
  metricForBestModel: option(check.name, {
    default: 'loss',
    help: 'the score that says which checkpoint is the best and when to stop early: loss, or one of the evaluation (accuracy, macro_f1, bleu …)',
  }),
  greaterIsBetter: option(check.flag, {
    help: 'whether more of that score is better',
    defaultText: 'false for losses, perplexities and error rates, else true',
  }),
  computeMetrics: option(check.callback, { help: '() => scores beside the loss, after each evaluation', defaultText: 'none' }),
  extraFiles: option(check.instance, { help: 'texts by file name that are saved with the model', defaultText: 'none' }),
  loss: option(check.callback, { help: '(module, batch) => loss', defaultText: 'next-token cross-entropy' }),

  // The run directory.
  outputDir: option(check.name, { flag: 'out', aliases: ['out'], help: 'folder of the run (run.json, metrics.jsonl, checkpoints)' }),
  resume: option(check.flag, { default: false, help: "continue the folder's newest complete checkpoint" }),
  overwrite: option(check.flag, { default: false, help: "replace the folder's run" }),

  // Generation.
  maxNewTokens: option(check.whole, { default: 200, help: 'tokens to write' }),
  temperature: option(check.nonNegative, { default: 1, help: 'divides the logits; 0 = greedy' }),
  topK: option(check.whole, { default: 0, help: 'sample among the k likeliest tokens; 0 = all' }),
  topP: option(check.unit, { default: 1, help: 'sample among the likeliest tokens that sum to p; 1 = all' }),
  doSample: option(check.flag, { default: true, help: 'false = greedy' }),
  minNewTokens: option(check.whole, { default: 0, help: 'tokens to write before an end may come' }),
  minP: option(check.unit, { default: 0, help: 'leave out tokens less than this many times as likely as the likeliest; 0 = none' }),
  repetitionPenalty: option(check.positive, {
    default: 1,
    help: 'divides positive and multiplies negative logits of tokens in prompt and text; 1 = off',
  }),
  presencePenalty: option(check.anyNumber, { default: 0, help: 'taken off the logits of tokens already written' }),
  frequencyPenalty: option(check.anyNumber, { default: 0, help: 'taken off the logits for each time a token was written' }),
  badWords: option(check.wordsOrIds, { help: 'texts (or lists of token ids) that must not be written' }),
  logitBias: option(check.biases, { help: 'added to the logits, by token id: { id: bias }; on the command line id:bias ...' }),
  numReturnSequences: option(check.integerFrom(1, 4096), { default: 1, help: 'texts for each prompt' }),
  numBeams: option(check.integerFrom(1, 64), { default: 1, help: 'beams of a beam search; 1 = none' }),
  lengthPenalty: option(check.anyNumber, { default: 1, help: "beam search: power of the length that divides a text's score" }),
  earlyStopping: option(check.earlyStopping, {
    default: false,
    help: 'beam search: true ends as soon as numBeams texts have ended, never only when no better one can come',
  }),
  stopTokenIds: option(check.ids, { help: 'token ids that end a text' }),
  topLogProbs: option(check.integerFrom(0, 20), { default: 0, help: 'log-probabilities of this many of the likeliest tokens' }),
  skipSpecialTokens: option(check.flag, { default: true, help: 'leave special tokens out of the text' }),
  useCache: option(check.flag, { default: true, help: 'keep keys and values of earlier tokens' }),
  stopStrings: option(check.names, { help: 'stop before any of these texts' }),

  // The command line alone.
  model: option(check.name, { help: 'folder of a model, a checkpoint or a run' }),
  initFrom: option(check.name, { help: 'folder of a model to start from' }),
  tokenizerName: option(check.name, {
    flag: 'tokenizer',
    aliases: ['tokenizer'],
    help: 'char, byte, bpe (trained on the data: --vocab-size), or a folder with tokenizer.json',
    defaultText: 'char; bpe for rows',
  }),
  specialTokens: option(check.names, {
    default: ['<|endoftext|>'],
    defaultText: '<|endoftext|>',
    help: 'special tokens of a tokenizer to train: the last ids of its vocabulary',
  }),
  minFrequency: option(check.count, { default: 2, help: 'a pair of tokens that is rarer is not merged' }),
  pattern: option(check.name, {
    default: 'gpt2',
    help: 'how text is split into words: gpt2, cl100k, qwen2, o200k or a regular expression',
  }),
  file: option(check.name, { help: 'a file to read: UTF-8 text, or ids to decode (1,2,3 or a JSON list)' }),
  text: option(check.text, { help: 'text to encode' }),
  ids: option(check.ids, { help: 'token ids to decode: 1,2,3' }),
  addSpecialTokens: option(check.flag, {
    default: false,
    help: "put the tokenizer's special tokens around the text, as transformers does",
  }),
  allowSpecial: option(check.flag, { default: false, help: 'special tokens written in the text are special tokens, not ordinary text' }),
  hideSpecialTokens: option(check.flag, { default: false, help: 'leave special tokens out of the decoded text' }),
  prompt: option(check.texts, { help: 'text to continue; several texts are continued at once' }),
  promptIds: option(check.ids, { help: 'token ids to continue: 1,2,3' }),
  json: option(check.flag, { default: false, help: 'print one JSON object (snake_case keys) on standard output' }),
  config: option(check.name, { help: 'options from a YAML file or a run.json; flags win' }),
  sizes: option(check.listOf('S', 'M', 'L'), {
    default: ['S'],
    help: 'training steps to measure: S, M, L (L needs 3 GB)',
    defaultText: 'S',
  }),
  benchSteps: option(check.count, {
    flag: 'steps',
    aliases: ['steps'],
    help: 'steps to time',
    defaultText: 'as many as four seconds hold',
  }),
  parts: option(check.listOf('peak', 'gemm', 'elementwise', 'attention', 'barrier', 'steps', 'decode'), {
    default: ['peak', 'gemm', 'elementwise', 'attention', 'barrier', 'steps', 'decode'],
    help: 'what to measure',
    defaultText: 'all',
  }),
  decode: option(check.listOf('gpt-micro', 'gpt2'), {
    default: ['gpt-micro'],
    help: 'models whose decoding is measured',
    defaultText: 'gpt-micro',
  }),
  quick: option(check.flag, { default: false, help: 'the smallest of each kind once: to see that it runs, not how fast' }),
  profile: option(check.flag, { default: false, help: 'where the time of a training step goes, instruction by instruction' }),
});

/** The name of an option. */
export type OptionName = keyof typeof OPTIONS;
