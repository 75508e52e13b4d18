// Which options each object and each command accepts. Order is the order of the help text.

import type { OptionName } from './table';

const list = <const N extends readonly OptionName[]>(...names: N): N => names;

/** `Engine.start`. */
export const ENGINE_OPTIONS = list(
  'threads',
  'simd',
  'worker',
  'maxMemoryBytes',
  'wasmUrl',
  'wasmModule',
  'workerUrl',
  'threadWorkerUrl',
  'onWarning',
  'signal',
);

/** The architecture of a GPT. */
export const GPT_CONFIG_OPTIONS = list(
  'modelType',
  'preset',
  'nLayer',
  'nHead',
  'nEmbd',
  'blockSize',
  'vocabSize',
  'dropout',
  'embdPdrop',
  'residPdrop',
  'attnPdrop',
  'bias',
  'nInner',
  'activationFunction',
  'layerNormEpsilon',
  'tieWordEmbeddings',
  'positionEmbedding',
  'positionNoise',
  'nKvHead',
  'headDim',
  'ropeTheta',
  'ropeScaling',
  'rmsNormEps',
);

/** `GPT.create`. */
export const GPT_OPTIONS = list(...GPT_CONFIG_OPTIONS, 'tokenizer', 'seed', 'signal');

/** The architecture of an encoder-decoder Transformer. */
export const TRANSFORMER_CONFIG_OPTIONS = list(
  'inputKind',
  'inputDim',
  'outputDim',
  'nHead',
  'nLayer',
  'nEncoderLayer',
  'nDecoderLayer',
  'dModel',
  'dimFeedforward',
  'dropout',
  'activationFunction',
  'layerNormEpsilon',
  'normFirst',
  'bias',
  'positionEmbedding',
  'shareEmbeddings',
  'tieWordEmbeddings',
  'maxSourceLength',
  'maxTargetLength',
  'bosId',
  'eosId',
  'padId',
);

/** Of these the flags of the command line, whose sources are texts. */
export const TRANSFORMER_FLAGS = list(
  'nHead',
  'nLayer',
  'nEncoderLayer',
  'nDecoderLayer',
  'dModel',
  'dimFeedforward',
  'dropout',
  'activationFunction',
  'layerNormEpsilon',
  'normFirst',
  'bias',
  'positionEmbedding',
  'shareEmbeddings',
  'tieWordEmbeddings',
  'maxSourceLength',
  'maxTargetLength',
);

/** `Transformer.create`. */
export const TRANSFORMER_OPTIONS = list(...TRANSFORMER_CONFIG_OPTIONS, 'tokenizer', 'targetTokenizer', 'seed', 'signal');

/** `Transformer.fromPretrained`. */
export const TRANSFORMER_PRETRAINED_OPTIONS = list('signal', 'onProgress', 'tokenizer', 'targetTokenizer', 'dropout', 'seed');

/** `transformer.save` and `transformer.toFiles`. */
export const TRANSFORMER_SAVE_OPTIONS = list('dtype', 'maxShardSize', 'signal');

/** What may be changed of a model's context when it is loaded. */
export const CONTEXT_OPTIONS = list('blockSize', 'ropeTheta', 'ropeScaling');

/** `GPT.fromPretrained`. */
export const PRETRAINED_OPTIONS = list('quantize', 'signal', 'onProgress', 'tokenizer', 'dropout', 'seed', ...CONTEXT_OPTIONS);

/** `model.addTokens`. */
export const ADD_TOKENS_OPTIONS = list('bosToken', 'eosToken', 'padToken', 'signal');

/** `SequenceClassifier.create`. */
export const CLASSIFIER_OPTIONS = list(...GPT_OPTIONS, 'labels', 'pooling');

/** `SequenceClassifier.fromPretrained`. */
export const PRETRAINED_CLASSIFIER_OPTIONS = list('labels', 'pooling', 'signal', 'onProgress', 'tokenizer', 'dropout', 'seed');

/** `classifier.classify`. */
export const CLASSIFY_OPTIONS = list('batchSize', 'truncate', 'signal');

/** `classifier.save` and `classifier.toFiles`. */
export const CLASSIFIER_SAVE_OPTIONS = list('dtype', 'maxShardSize', 'signal');

/** `model.addAdapter`. */
export const ADAPTER_OPTIONS = list('name', 'rank', 'alpha', 'dropout', 'targetModules', 'modulesToSave', 'useRslora', 'seed', 'signal');

/** `model.loadAdapter`, `model.saveAdapter` and `model.adapterToFiles`. */
export const ADAPTER_FOLDER_OPTIONS = list('name', 'signal');

/** `dpoLoss`. */
export const DPO_OPTIONS = list('beta', 'labelSmoothing', 'lossType');

/** The flags of the command line that make an adapter. */
export const LORA_OPTIONS = list('loraRank', 'loraAlpha', 'loraDropout', 'loraTargetModules');

/** `model.save` and `model.toFiles`. */
export const SAVE_OPTIONS = list('quantize', 'dtype', 'maxShardSize', 'signal');

/** The schedule and the optimizer. */
export const OPTIMIZER_OPTIONS = list(
  'learningRate',
  'minLearningRate',
  'warmupSteps',
  'lrSchedulerType',
  'numDecaySteps',
  'optim',
  'adamBeta1',
  'adamBeta2',
  'adamEpsilon',
  'momentum',
  'nesterov',
  'weightDecay',
  'maxGradNorm',
);

/** `SftDataset`; `PreferenceDataset` has no packing. */
export const SFT_DATA_OPTIONS = list(
  'tokenizer',
  'blockSize',
  'template',
  'taskPrefix',
  'taskTokens',
  'endOfText',
  'overflow',
  'packing',
  'groupByLength',
);

/** `PreferenceDataset`. */
export const PREFERENCE_DATA_OPTIONS = list(
  'tokenizer',
  'blockSize',
  'template',
  'taskPrefix',
  'taskTokens',
  'endOfText',
  'overflow',
  'groupByLength',
);

/** `ClassificationDataset`. */
export const CLASSIFICATION_DATA_OPTIONS = list(
  'tokenizer',
  'blockSize',
  'labels',
  'template',
  'taskPrefix',
  'taskTokens',
  'overflow',
  'groupByLength',
);

/** `Seq2SeqDataset`. */
export const SEQ2SEQ_DATA_OPTIONS = list(
  'tokenizer',
  'targetTokenizer',
  'maxSourceLength',
  'maxTargetLength',
  'bosId',
  'eosId',
  'template',
  'taskPrefix',
  'taskTokens',
  'overflow',
  'groupByLength',
);

/** What `Trainer` and the `train` command share. */
export const TRAINING_OPTIONS = list(
  'batchSize',
  'gradientAccumulationSteps',
  'gradientCheckpointing',
  'maxSteps',
  'numTrainEpochs',
  ...OPTIMIZER_OPTIONS,
  'labelSmoothing',
  'freeze',
  'trainableTokens',
  'layerwiseLearningRateDecay',
  'evalSteps',
  'saveSteps',
  'saveTotalLimit',
  'loggingSteps',
  'earlyStoppingPatience',
  'earlyStoppingThreshold',
  'metricForBestModel',
  'greaterIsBetter',
  'seed',
  'outputDir',
  'resume',
  'overwrite',
);

/** `new Trainer(model, options)`. */
export const TRAINER_OPTIONS = list(
  'dataset',
  'evalDataset',
  ...TRAINING_OPTIONS,
  'loss',
  'computeMetrics',
  'extraFiles',
  'signal',
  'onWarning',
);

/** What decides the next token. */
export const SAMPLING_OPTIONS = list(
  'maxNewTokens',
  'minNewTokens',
  'temperature',
  'topK',
  'topP',
  'minP',
  'doSample',
  'repetitionPenalty',
  'presencePenalty',
  'frequencyPenalty',
  'badWords',
  'logitBias',
  'numReturnSequences',
  'numBeams',
  'lengthPenalty',
  'earlyStopping',
  'stopStrings',
  'stopTokenIds',
  'topLogProbs',
  'skipSpecialTokens',
  'useCache',
  'seed',
);

/** `model.generate(prompt, options)`. */
export const GENERATE_OPTIONS = list(...SAMPLING_OPTIONS, 'signal');

/** `transformer.generate(source, options)`. */
export const TRANSFORMER_GENERATE_OPTIONS = list(...GENERATE_OPTIONS, 'decoderPrompt');

/** `model.toGguf(options)` and `model.saveGguf(path, options)`. */
export const GGUF_OPTIONS = list('dtype', 'name', 'signal');

/** `exportModel`. */
export const EXPORT_OPTIONS = list('format', 'dtype', 'quantize', 'mergeAdapter', 'maxShardSize', 'signal');

const MACHINE = list('threads', 'simd', 'maxMemoryBytes');

/** What the commands under `tokenizer` accept. */
export const TOKENIZER_COMMAND_OPTIONS = {
  train: list('data', 'vocabSize', 'outputDir', 'specialTokens', 'minFrequency', 'pattern', 'json'),
  encode: list('tokenizerName', 'file', 'text', 'addSpecialTokens', 'allowSpecial', 'json'),
  decode: list('tokenizerName', 'file', 'ids', 'hideSpecialTokens', 'json'),
} as const;

/** How rows of data become what a model is trained on and evaluated with. */
export const TASK_OPTIONS = list(
  'task',
  'dataFormat',
  'columns',
  'header',
  'template',
  'taskPrefix',
  'taskTokens',
  'endOfText',
  'overflow',
  'metrics',
);

/** What decides the texts that `eval` and `train` score. */
export const SCORED_TEXT_OPTIONS = list('maxNewTokens', 'numBeams', 'lengthPenalty', 'stopStrings');

/** Flags of an encoder-decoder's size that a GPT does not have. */
const ENCODER_DECODER = list(
  'nEncoderLayer',
  'nDecoderLayer',
  'dModel',
  'dimFeedforward',
  'normFirst',
  'shareEmbeddings',
  'maxSourceLength',
  'maxTargetLength',
);

/** What each command of the command line accepts. */
export const COMMAND_OPTIONS = {
  train: list(
    'data',
    'evalData',
    'evalFraction',
    'tokenizerName',
    'initFrom',
    ...TASK_OPTIONS,
    'splitBy',
    'packing',
    'groupByLength',
    'labels',
    'pooling',
    'beta',
    'lossType',
    'targetTokenizerName',
    ...ENCODER_DECODER,
    ...SCORED_TEXT_OPTIONS,
    'quantize',
    'adapter',
    ...LORA_OPTIONS,
    ...GPT_CONFIG_OPTIONS,
    ...TRAINING_OPTIONS,
    ...MACHINE,
    'config',
    'json',
  ),
  generate: list(
    'model',
    'adapter',
    'quantize',
    ...CONTEXT_OPTIONS,
    'task',
    'template',
    'taskPrefix',
    'prompt',
    'promptIds',
    ...SAMPLING_OPTIONS,
    ...MACHINE,
    'config',
    'json',
  ),
  eval: list(
    'model',
    'adapter',
    'quantize',
    ...CONTEXT_OPTIONS,
    'stride',
    'data',
    ...TASK_OPTIONS,
    ...SCORED_TEXT_OPTIONS,
    'beta',
    'lossType',
    'predictions',
    'batchSize',
    ...MACHINE,
    'config',
    'json',
  ),
  plan: list(
    'task',
    ...GPT_CONFIG_OPTIONS,
    ...ENCODER_DECODER,
    'data',
    'tokenizerName',
    ...LORA_OPTIONS,
    'quantize',
    ...TRAINING_OPTIONS,
    ...MACHINE,
    'config',
    'json',
  ),
  export: list('model', 'format', 'outputDir', 'mergeAdapter', 'quantize', 'dtype', 'maxShardSize', 'config', 'json'),
  bench: list('sizes', 'benchSteps', 'parts', 'decode', 'quick', 'profile', ...MACHINE, 'json'),
  tokenizer: list(
    ...TOKENIZER_COMMAND_OPTIONS.train,
    'tokenizerName',
    'file',
    'text',
    'ids',
    'addSpecialTokens',
    'allowSpecial',
    'hideSpecialTokens',
  ),
  demo: list('maxSteps', 'learningRate', 'seed', 'outputDir', 'overwrite', ...MACHINE, 'json'),
} as const;
