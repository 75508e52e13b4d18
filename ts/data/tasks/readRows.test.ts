// Readers of rows against what files really hold: both kinds of line ends, byte order marks, quotes, cut pieces; faults with line and column; round trips.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { RandomStream } from '../../math';
import { BabiRowReader } from './babiRows';
import { JsonRowReader, type RowReader } from './jsonRows';
import { MAX_ROW } from './lines';
import { type RowFormat, type RowOptions, readBabi, readRowFiles, readRows } from './readRows';
import type { Row } from './row';
import { scanJson } from './scanJson';
import { TsvRowReader } from './tsvRows';

const read = (text: string, options: Partial<RowOptions> = {}) => readRows(text, { format: 'jsonl', name: 'f', ...options });
const fields = (rows: readonly Row[]) => rows.map((row) => row.fields);

function failure(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    return `${(error as { code: string }).code}: ${(error as Error).message}`;
  }
  return 'accepted';
}
const fault = (text: string, options: Partial<RowOptions> = {}) => failure(() => read(text, options));

/** Pieces of a text cut at random places, characters of two units too. */
function pieces(text: string, random: RandomStream): string[] {
  const parts: string[] = [];
  for (let at = 0; at < text.length; ) {
    const size = 1 + random.below(7);
    parts.push(text.slice(at, at + size));
    at += size;
  }
  return parts;
}

function inPieces(reader: RowReader, parts: readonly string[]): Row[] {
  for (const part of parts) reader.push(part);
  return reader.finish();
}

describe('JSONL', () => {
  test('an object per line; empty lines, CR LF, a byte order mark and a missing last line end do not matter', () => {
    for (const text of [
      '{"a":"x"}\n{"a":"y","b":[1,{}]}\n',
      '\ufeff{"a":"x"}\r\n{"a":"y","b":[1,{}]}\r\n',
      '\n\n  \n{"a":"x"}\n\n\t\r\n {"a":"y","b":[1,{}]} ',
    ]) {
      expect(fields(read(text))).toEqual([{ a: 'x' }, { a: 'y', b: [1, {}] }]);
    }
    const rows = read('\n{"a":"x"}\n\n{"a":"y", "b" : [1]}');
    expect(rows.map((row) => row.place())).toEqual(['f:2:1', 'f:4:1']);
    expect(rows[1].place('b')).toBe('f:4:17');
    expect(rows[1].place('none')).toBe('f:4:1');
  });

  test('characters of lines that are none in JSON: U+2028, U+0085, escaped surrogates', () => {
    const [row] = read('{"a":"x\u2028y\u0085z\\n","b":"\\ud83d\\ude00","c":"\\ud800"}');
    expect(row.fields).toEqual({ a: 'x\u2028y\u0085z\n', b: '😀', c: '\ud800' });
  });

  test.each([
    ['{"a":1', 'INVALID_DATA: f:1:7: "," or "}" must follow a member, got the end'],
    ['{"a":"x"}\n{"a" "y"}\n', 'INVALID_DATA: f:2:6: ":" must follow a name, got "\\""'],
    ['{"a":1,}', 'INVALID_DATA: f:1:8: the name of a member must begin with ", got "}"'],
    ["{'a':1}", 'INVALID_DATA: f:1:2: the name of a member must begin with ", got "\'"'],
    ['{"a":01}', 'INVALID_DATA: f:1:7: "," or "}" must follow a member, got "1"'],
    ['{"a":NaN}', 'INVALID_DATA: f:1:6: a JSON value must begin here, got "N"'],
    ['{"a":"x\ty"}', 'INVALID_DATA: f:1:8: control characters in a string must be escaped, got "\\t"'],
    ['{"a":"\\x41"}', 'INVALID_DATA: f:1:7: an escape must be one of \\" \\\\ \\/ \\b \\f \\n \\r \\t \\uXXXX, got "\\\\"'],
    ['{"a":1,"\\u0061":2}', 'INVALID_DATA: f:1:8: a name must be given once in an object, got "a"'],
    ['{"a":1} {"a":2}', 'INVALID_DATA: f:1:9: one JSON value must be all there is, got "{"'],
    ['3', 'INVALID_DATA: f:1:1: a row must be an object, got 3'],
    ['{"a":1}\n  "text"', 'INVALID_DATA: f:2:3: a row must be an object, got "text"'],
    ['{"a":1}\nnull\n', 'INVALID_DATA: f:2:1: a row must be an object, got null'],
    [`{"a":${'['.repeat(200)}${']'.repeat(200)}}`, 'INVALID_DATA: f:1:133: lists and objects must nest at most 128 deep, got "["'],
    ['{"a":1}\n😀', 'INVALID_DATA: f:2:1: a JSON value must begin here, got "😀"'],
    ['', 'EMPTY_DATA: f: the file must have at least one row, got none'],
    ['\ufeff \n\r\n', 'EMPTY_DATA: f: the file must have at least one row, got none'],
  ])('fault of %j', (text, message) => {
    expect(fault(text)).toBe(message);
  });

  test('all faulty rows are counted, the first is told, good ones between them do not matter', () => {
    expect(fault('{"a":1}\n{\n{"a":2}\n[1]\nx\n')).toBe(
      'INVALID_DATA: f:2:2: the name of a member must begin with ", got the end (and 2 more rows with errors)',
    );
    expect(fault('{"a":1}\n{\n{"b":1}\n}\n')).toMatch(/^INVALID_DATA: f:2:2: .*\(and 1 more row with errors\)$/);
  });

  test('names that objects have by themselves are ordinary names', () => {
    const [row] = read('{"__proto__":{"polluted":1},"constructor":"c","toString":"t"}');
    expect(row.get('constructor')).toBe('c');
    expect(row.get('__proto__')).toEqual({ polluted: 1 });
    expect(row.get('hasOwnProperty')).toBeUndefined();
    expect(Reflect.get({}, 'polluted')).toBeUndefined();
    expect(row.place('toString')).toBe('f:1:58');
  });

  test('a row of 300,000 members is read in one way through it', () => {
    const [row] = read(`{${Array.from({ length: 300_000 }, (_, i) => `"k${i}":0`).join()}}`);
    expect([row.place('k0'), row.place('k1'), row.place('k99999')]).toEqual(['f:1:7', 'f:1:14', 'f:1:1088890']);
  });

  test('a row of other names keeps every value and its place', () => {
    const [row] = read('{"ask":"x","__proto__":{"a":1},"say":"y"}');
    const renamed = row.renamed(
      new Map([
        ['ask', 'prompt'],
        ['say', '7'],
      ]),
    );
    expect(Object.keys(renamed.fields)).toEqual(['7', 'prompt', '__proto__']);
    expect([renamed.get('prompt'), renamed.get('__proto__'), renamed.get('7')]).toEqual(['x', { a: 1 }, 'y']);
    expect(['7', 'prompt', '__proto__', 'say'].map((name) => renamed.place(name))).toEqual(['f:1:38', 'f:1:8', 'f:1:24', 'f:1:1']);
    expect(failure(() => row.renamed(new Map([['ask', 'say']])))).toBe(
      'INVALID_DATA: f:1:38: the row must have "say" once, got ["ask", "__proto__", "say"]',
    );
  });

  test('a line of more than 2^24 characters is refused while it is read', () => {
    const reader = new JsonRowReader('f');
    reader.push('{"a":"');
    const piece = 'x'.repeat(1 << 20);
    expect(
      failure(() => {
        for (let i = 0; i < 20; i++) reader.push(piece);
      }),
    ).toBe(`INVALID_DATA: f:1:1: a row must have at most ${MAX_ROW} characters, got more`);
  });
});

describe('a JSON list', () => {
  test('its objects are rows, with the line and column of each value', () => {
    const rows = read('[\n  {\n    "a": "x, ]",\n    "b": "\\"}"\n  },\n  { "a": "y" }\n]\n');
    expect(fields(rows)).toEqual([{ a: 'x, ]', b: '"}' }, { a: 'y' }]);
    expect(rows.map((row) => row.line)).toEqual([2, 6]);
    expect([rows[0].place('a'), rows[0].place('b'), rows[1].place('a')]).toEqual(['f:3:10', 'f:4:10', 'f:6:10']);
  });

  test.each([
    ['[]', 'EMPTY_DATA: f: the file must have at least one row, got none'],
    ['[ \n ]', 'EMPTY_DATA: f: the file must have at least one row, got none'],
    ['[{"a":1}', 'INVALID_DATA: f:1:9: a list must end with "]", got the end'],
    ['[{"a":1},]', 'INVALID_DATA: f:1:10: a JSON value must begin here, got "]"'],
    ['[{"a":1},,{"a":2}]', 'INVALID_DATA: f:1:10: a JSON value must begin here, got ","'],
    ['[,]', 'INVALID_DATA: f:1:2: a JSON value must begin here, got ","'],
    ['[{"a":1}]\n{"a":2}', 'INVALID_DATA: f:2:1: nothing must follow the list, got "{"'],
    ['[{"a":1} {"a":2}]', 'INVALID_DATA: f:1:10: one JSON value must be all there is, got "{"'],
    ['[{"a":1}}]', 'INVALID_DATA: f:1:9: one JSON value must be all there is, got "}"'],
    ['[\n{"a":[}],\n{"b":2}]', 'INVALID_DATA: f:2:7: a JSON value must begin here, got "}"'],
    ['[{"a":1}, 2, "x", {"b":1}]', 'INVALID_DATA: f:1:11: a row must be an object, got 2 (and 1 more row with errors)'],
    ['[2, {"a" 1}, 3]', 'INVALID_DATA: f:1:2: a row must be an object, got 2 (and 1 more row with errors)'],
    ['[{"a":"x]', 'INVALID_DATA: f:1:10: a list must end with "]", got the end'],
  ])('fault of %j', (text, message) => {
    expect(fault(text)).toBe(message);
  });
});

describe('TSV', () => {
  const tsv = (text: string, options: Partial<RowOptions> = {}) => read(text, { format: 'tsv', ...options });
  const tsvFault = (text: string, options: Partial<RowOptions> = {}) => fault(text, { format: 'tsv', ...options });

  test('fields between tabs by the names of columns; quotes and backslashes are text', () => {
    const text = '"Go."\tVa !\\n\nHi\t\r\n\n\t"\n';
    const expected = [
      { source: '"Go."', target: 'Va !\\n' },
      { source: 'Hi', target: '' },
      { source: '', target: '"' },
    ];
    const rows = tsv(text, { columns: ['source', 'target'] });
    expect(fields(rows)).toEqual(expected);
    expect(rows[1].place('target')).toBe('f:2:4');
    expect(fields(tsv(`\ufeffsource\ttarget\r\n${text}`))).toEqual(expected);
  });

  test('a header is a first line of known names only, or of the columns given, or what `header` says', () => {
    expect(fields(tsv('sentence\tlabel\na\t1\n'))).toEqual([{ sentence: 'a', label: '1' }]);
    expect(fields(tsv('context\tquestion\tanswer\na\tb\tc\n'))).toEqual([{ context: 'a', question: 'b', answer: 'c' }]);
    expect(fields(tsv('label\ttext\n1\ta\n', { defaultColumns: ['text', 'label'] }))).toEqual([{ label: '1', text: 'a' }]);
    expect(fields(tsv('text\tlabel\n', { header: false, columns: ['a', 'b'] }))).toEqual([{ a: 'text', b: 'label' }]);
    expect(fields(tsv('word\tphones\na\tb\n', { header: true }))).toEqual([{ word: 'a', phones: 'b' }]);
    expect(fields(tsv('word\tphones\na\tb\n', { columns: ['word', 'phones'] }))).toEqual([{ word: 'a', phones: 'b' }]);
    expect(fields(tsv('text\ttext\n', { columns: ['a', 'b'] }))).toEqual([{ a: 'text', b: 'text' }]); // no header: one name twice
    expect(fields(tsv('source\ttarget\nx\ty\n', { columns: ['en', 'fr'] }))).toEqual([{ en: 'x', fr: 'y' }]);
    expect(tsvFault('word\tphones\na\tb\n')).toBe(
      'INVALID_DATA: f:1:1: the first line must be a header of known names, or "columns" be given, got ["word", "phones"]',
    );
  });

  test('a column of the name "-" is passed over', () => {
    const rows = tsv('Go.\tVa !\tCC-BY\n', { columns: ['source', 'target', '-'] });
    expect(fields(rows)).toEqual([{ source: 'Go.', target: 'Va !' }]);
    expect(fields(tsv('1\ta\tx\n', { columns: ['-', 'text', '-'] }))).toEqual([{ text: 'a' }]);
  });

  test('a row with a wrong number of fields is an error with line and column', () => {
    const columns = ['source', 'target'];
    expect(tsvFault('a\tb\nabc\n', { columns })).toBe('INVALID_DATA: f:2:4: rows must have 2 fields between tabs, got 1');
    expect(tsvFault('a\tb\n\na\tb\tc\td\nx\n', { columns })).toBe(
      'INVALID_DATA: f:3:5: rows must have 2 fields between tabs, got 4 (and 1 more row with errors)',
    );
    expect(tsvFault('a\tb\n', { columns: ['text'] })).toBe('INVALID_DATA: f:1:3: rows must have 1 field between tabs, got 2');
  });

  test('columns are checked, names of integers keep their places', () => {
    for (const columns of [['a', 'a'], ['a', ''], ['-', '-'], []])
      expect(tsvFault('x\ty\n', { columns })).toMatch(/^INVALID_OPTION: readRows: "columns"/);
    expect(tsvFault('a\ta\nx\ty\n', { header: true })).toBe('INVALID_DATA: f:1:1: a column must have a name of its own, got "a"');
    const [row] = tsv('abc\tde\tf\n', { columns: ['b', '1', '__proto__'] });
    expect([row.place('b'), row.place('1'), row.place('__proto__')]).toEqual(['f:1:1', 'f:1:5', 'f:1:8']);
    expect(row.get('__proto__')).toBe('f');
  });
});

describe('bAbI', () => {
  const STORY =
    '1 Mary moved to the bathroom.\n2 John went to the hallway.\n3 Where is Mary? \tbathroom\t1\n4 Mary left.\n5 Where is John?\thallway\t2\n';

  test('each question is a row with the story so far; number 1 begins a new story', () => {
    expect(fields(readBabi(`${STORY}1 A.\r\n2 Q?\tx,y\t1 2\r\n`))).toEqual([
      { passage: 'Mary moved to the bathroom. John went to the hallway.', question: 'Where is Mary?', answer: 'bathroom', support: '1' },
      {
        passage: 'Mary moved to the bathroom. John went to the hallway. Mary left.',
        question: 'Where is John?',
        answer: 'hallway',
        support: '2',
      },
      { passage: 'A.', question: 'Q?', answer: 'x,y', support: '1 2' },
    ]);
    const [, second] = readBabi(STORY, { name: 'qa1' });
    expect(second.place('answer')).toBe('qa1:5:18');
  });

  test.each([
    ['1 A.\n3 B?\tx\t1\n4 C?\ty\t1\n', 'INVALID_DATA: f:2:1: numbers must go on with 2 or begin again with 1, got 3'],
    ['A.\n', 'INVALID_DATA: f:1:1: a line must begin with its number in the story and a space, got "A."'],
    ['1 A.\n2 Q?\t \t1\n', 'INVALID_DATA: f:2:6: a question must have an answer, got " "'],
    ['1 A.\n2 Q?\tx\t1\tz\n', 'INVALID_DATA: f:2:10: a question must have at most 3 fields, got 4'],
    ['1 A.\n2 B.\n', 'EMPTY_DATA: f: the file must have at least one row, got none'],
  ])('fault of %j', (text, message) => {
    expect(fault(text, { format: 'babi' })).toBe(message);
  });
});

test('any cut of the text into pieces gives the same rows, places and faults', () => {
  const random = new RandomStream(3, 'test');
  const open: Record<RowFormat, () => RowReader> = {
    jsonl: () => new JsonRowReader('f'),
    tsv: () => new TsvRowReader('f', { columns: ['text', 'label'] }),
    babi: () => new BabiRowReader('f'),
  };
  const texts: [RowFormat, string][] = [
    ['jsonl', '\ufeff\r\n{"a":"x\\ud83d\\ude00 😀"}\r\n\n{"b":[1,2],"c":"\\\\\\""}'],
    ['jsonl', '{"a":1}\n{"a" 2}\n{"a":3}\n[4]'],
    ['jsonl', ' [\n{"a":"],{[\\"\\\\"},\r\n {"b":{"c":[{}]}} , {"d":"😀"}]\n '],
    ['jsonl', '[{"a":1}, 3,\n {"b":2} "x"]'],
    ['tsv', '\ufeffa\t1\r\n\nb😀\t\n"\t"'],
    ['tsv', 'a\t1\nb\nc\t1\t2\n'],
    ['babi', '1 A b.\n2 C?\td\t1\r\n1 E.\n2 F?\tg\n'],
  ];
  const outcome = (format: RowFormat, parts: readonly string[]) => {
    try {
      return inPieces(open[format](), parts).map((row) => [row.fields, row.line, Object.keys(row.fields).map((name) => row.place(name))]);
    } catch (error) {
      return (error as Error).message;
    }
  };
  for (const [format, text] of texts) {
    const whole = outcome(format, [text]);
    for (let round = 0; round < 50; round++) expect(outcome(format, pieces(text, random)), JSON.stringify(text)).toEqual(whole);
    expect(outcome(format, [...text])).toEqual(whole);
  }
});

test('what JSON.stringify writes is read back, as lines and as a list, pretty or not', () => {
  const random = new RandomStream(4, 'test');
  const characters = ['a', '"', '\\', '\n', '\t', '\u0000', '\u2028', 'é', '😀', '\ud800', ',', ']', '}', '{', '[', ':', ' ', '\ufeff'];
  const text = () => Array.from({ length: random.below(12) }, () => characters[random.below(characters.length)]).join('');
  const value = (depth: number): unknown => {
    const kind = random.below(depth > 3 ? 5 : 7);
    if (kind < 2) return text();
    if (kind === 2) return (random.below(2000) - 1000) * (random.below(2) === 0 ? 1 : 1.25e-7);
    if (kind < 5) return [true, false, null][random.below(3)];
    if (kind === 5) return Array.from({ length: random.below(4) }, () => value(depth + 1));
    return Object.fromEntries(Array.from({ length: random.below(4) }, () => [text(), value(depth + 1)]));
  };
  for (let round = 0; round < 200; round++) {
    const objects = Array.from({ length: 1 + random.below(4) }, () => ({ [text()]: value(0), [text()]: value(0) }));
    expect(fields(read(objects.map((object) => JSON.stringify(object)).join('\n')))).toEqual(objects);
    expect(fields(read(JSON.stringify(objects)))).toEqual(objects);
    expect(fields(read(JSON.stringify(objects, null, 2)))).toEqual(objects);
  }
});

test('the scanner accepts what JSON.parse accepts, a name given twice aside', () => {
  const random = new RandomStream(5, 'test');
  const alphabet = ['{', '}', '[', ']', '"', ':', ',', 'a', '1', '0', '-', '.', 'e', '\\', 'u0061', 'true', 'null', ' ', '\n', '\t'];
  let accepted = 0;
  for (let round = 0; round < 60_000; round++) {
    const text = Array.from({ length: 1 + random.below(6) }, () => alphabet[random.below(alphabet.length)]).join('');
    let valid = true;
    try {
      JSON.parse(text);
    } catch {
      valid = false;
    }
    const scanned = scanJson(text);
    expect('members' in scanned || scanned.rule.startsWith('a name must be given once'), JSON.stringify(text)).toBe(valid);
    accepted += Number(valid);
  }
  expect(accepted).toBeGreaterThan(500);
});

describe('files', () => {
  const folder = mkdtempSync(join(tmpdir(), 'ferroformer-rows-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  const file = (name: string, data: string | Uint8Array) => {
    const path = join(folder, name);
    writeFileSync(path, data);
    return path;
  };
  const refused = (sources: Parameters<typeof readRowFiles>[0], options = {}) =>
    readRowFiles(sources, options).then(
      () => 'accepted',
      (error: { code: string; message: string }) => `${error.code}: ${error.message.replaceAll(folder, 'DIR')}`,
    );

  test('paths, Files and Blobs, formats by their names; rows keep their file', async () => {
    const jsonl = file('a.jsonl', '{"text":"x"}\n');
    const rows = await readRowFiles([
      jsonl,
      new File(['text\ty\n'.replace('\ty', ''), 'z\n'], 'b.tsv'),
      new File(['[{"text":"w"}]'], 'c.JSON'),
    ]);
    expect(rows.map((row) => row.get('text'))).toEqual(['x', 'z', 'w']);
    expect(rows.map((row) => row.place().replace(folder, 'DIR'))).toEqual(['DIR/a.jsonl:1:1', 'b.tsv:2:1', 'c.JSON:1:1']);
    expect(await readRowFiles(new Blob(['{"a":1}']), { format: 'jsonl' })).toHaveLength(1);
  });

  test('what is wrong with a file is said with its name', async () => {
    const good = file('good.jsonl', '{"a":1}\n');
    expect(await refused(file('bad.jsonl', Uint8Array.of(0x7b, 0xff)))).toBe(
      'NOT_UTF8: DIR/bad.jsonl: text must be UTF-8, got the byte 0xff at offset 1',
    );
    expect(await refused(file('cut.jsonl', Uint8Array.of(0x22, 0xf0, 0x9f)))).toMatch(/^NOT_UTF8: DIR\/cut.jsonl: .* at offset 1$/);
    expect(await refused([good, file('rows.jsonl', '{"a":1}\n{"a"}\n')])).toMatch(/^INVALID_DATA: DIR\/rows.jsonl:2:5: /);
    expect(await refused([good, file('blank.jsonl', '\n\n')])).toBe(
      'EMPTY_DATA: DIR/blank.jsonl: the file must have at least one row, got none',
    );
    expect(await refused(join(folder, 'none.tsv'))).toMatch(/^FILE_NOT_FOUND: DIR\/none.tsv/);
    expect(await refused(file('data.csv', 'a,b\n'))).toMatch(/^INVALID_OPTION: readRows: "format" must be given/);
    expect(await refused(good, { signal: AbortSignal.abort() })).toMatch(/^ABORTED/);
    expect(failure(() => readRows('', { format: 'csv' as 'tsv' }))).toMatch(/^INVALID_OPTION: readRows: "format" must be one of/);
    expect(failure(() => readRows(3 as unknown as string, { format: 'tsv' }))).toMatch(
      /^INVALID_OPTION: readRows: the text must be a string, got 3/,
    );
  });

  test('a file of several pieces: 40,000 rows, 4 MB', async () => {
    const text = Array.from({ length: 40_000 }, (_, i) => JSON.stringify({ id: i, text: `é${'x'.repeat(i % 150)}😀` })).join('\n');
    const rows = await readRowFiles(file('large.jsonl', text));
    expect(rows).toHaveLength(40_000);
    expect(rows.every((row, i) => row.get('id') === i && row.line === i + 1 && (row.get('text') as string).length === 3 + (i % 150))).toBe(
      true,
    );
    const list = await readRowFiles(file('large.json', `[${text.replaceAll('\n', ',\n')}]`));
    expect(list.map((row) => row.fields)).toEqual(rows.map((row) => row.fields));
  });
});
