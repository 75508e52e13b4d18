// Writes tokenizer folders and the ids this library gives to texts, for test_tokenizers.py to compare.
//   node test/python/tokenizers.mjs OUT_FOLDER              writes them
//   node test/python/tokenizers.mjs OUT_FOLDER --read-back  reads what test_tokenizers.py has saved again, and compares
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { BpeTokenizer, ByteTokenizer, CharTokenizer, loadTokenizer } from 'ferroformer';

const TEXTS = [
  'Call me Ishmael. Some years ago--never mind how long precisely',
  '',
  ' ',
  '\n\n  leading and trailing \t \n',
  'line\r\nends\rof\nall kinds\u2028and\u2029\u0085',
  '\uFEFFbyte order mark, NUL \0, DEL \x7f, controls \x01\x1f',
  'hello 👋 world 🌍 👩‍👩‍👧 🇫🇷',
  'e\u0301 é Å Å “quotes” █ … — ﬁ',
  '0123456789 toString constructor hasOwnProperty __proto__ <|endoftext|> [UNK] <s>',
  "'s 't 're we'll don't  two  spaces",
  '日本語 中文 한국어 العربية עברית ไทย',
  '\u{10ffff}\u{10000}\uffff\uffff',
];

const [out, mode] = process.argv.slice(2);
if (out === undefined) throw new Error('usage: node test/python/tokenizers.mjs OUT_FOLDER [--read-back]');
let failures = 0;
const corpus = TEXTS.join('\n').repeat(3);
const tokenizers = {
  char: CharTokenizer.fromText(TEXTS.join('')),
  byte: new ByteTokenizer(),
  bpe: await BpeTokenizer.train(corpus, { vocabSize: 400 }),
  'bpe-prefix': await BpeTokenizer.train(corpus, { vocabSize: 400, addPrefixSpace: true }),
  'bpe-cl100k': await BpeTokenizer.train(corpus, {
    vocabSize: 350,
    pattern: 'cl100k',
    specialTokens: ['<s>', '</s>', '<pad>'],
    bosToken: '<s>',
    eosToken: '</s>',
    padToken: '<pad>',
  }),
};
for (const [name, tokenizer] of Object.entries(tokenizers)) {
  const folder = join(out, name);
  if (mode === '--read-back') {
    for (const file of ['resaved.json', 'resaved/tokenizer.json']) {
      const same = (await loadTokenizer(readFileSync(join(folder, file), 'utf8'))).hash === tokenizer.hash;
      if (!same) console.error(`${folder}/${file}: not the tokenizer it was`);
      failures += same ? 0 : 1;
    }
    continue;
  }
  mkdirSync(folder, { recursive: true });
  for (const [file, text] of tokenizer.toFiles({ modelMaxLength: 1024, vocabAndMerges: true })) writeFileSync(join(folder, file), text);
  const cases = TEXTS.map((text) => {
    const ids = tokenizer.encode(text);
    return {
      text,
      decoded: tokenizer.decode(ids),
      ids: Array.from(ids),
      special: Array.from(tokenizer.encode(text, { allowSpecial: true })),
    };
  });
  const { vocabSize, bosId, eosId, padId } = tokenizer;
  writeFileSync(join(folder, 'cases.json'), JSON.stringify({ vocab_size: vocabSize, roles: [bosId, eosId, padId], cases }));
}
process.exitCode = failures > 0 ? 1 : 0;
