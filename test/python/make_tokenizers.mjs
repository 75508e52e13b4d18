// Writes tokenizer folders and the ids this library gives to texts, for check_tokenizers.py to compare.
//   node test/python/make_tokenizers.mjs OUT_FOLDER
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ByteTokenizer, CharTokenizer } from 'ferroformer';

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

const out = process.argv[2];
if (out === undefined) throw new Error('usage: node test/python/make_tokenizers.mjs OUT_FOLDER');
for (const tokenizer of [CharTokenizer.fromText(TEXTS.join('')), new ByteTokenizer()]) {
  const folder = join(out, tokenizer.kind);
  mkdirSync(folder, { recursive: true });
  for (const [name, text] of tokenizer.toFiles({ modelMaxLength: 64 })) writeFileSync(join(folder, name), text);
  const cases = TEXTS.map((text) => ({ text, ids: Array.from(tokenizer.encode(text)) }));
  writeFileSync(join(folder, 'cases.json'), JSON.stringify({ vocab_size: tokenizer.vocabSize, cases }));
}
