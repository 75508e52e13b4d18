// Generated rows for the tests of tasks on the command line: small enough to be learned in seconds, with right answers that are known.

const SUBJECTS = ['the film', 'this book', 'her song', 'a dish', 'the play', 'that game', 'his talk', 'the view'];
const GOOD = ['good', 'great', 'lovely', 'fine'];
const BAD = ['bad', 'awful', 'poor', 'dull'];

/** 64 sentences with the labels good and bad. */
export const OPINIONS = SUBJECTS.flatMap((subject) => [
  ...GOOD.map((word) => ({ text: `${subject} was ${word}`, label: 'positive' })),
  ...BAD.map((word) => ({ text: `${subject} was ${word}`, label: 'negative' })),
]);

const ANIMALS = ['cat', 'dog', 'cow', 'hen', 'pig', 'fox', 'bee', 'owl'];
const SOUNDS: Record<string, string> = {
  cat: 'meow',
  dog: 'woof',
  cow: 'moo',
  hen: 'cluck',
  pig: 'oink',
  fox: 'yip',
  bee: 'buzz',
  owl: 'hoot',
};

/** 32 questions with their answers. */
export const QUESTIONS = ANIMALS.flatMap((animal) =>
  ['what does the ', 'tell me the sound of the ', 'how goes the ', 'sound of a '].map((ask) => ({
    prompt: `${ask}${animal}?`,
    completion: ` ${SOUNDS[animal]}`,
  })),
);

/** The same questions with the answer of the next animal: what an adapter teaches a model that knows the right ones. */
export const OTHER_ANSWERS = QUESTIONS.map(({ prompt }, i) => ({ prompt, completion: QUESTIONS[(i + 4) % QUESTIONS.length].completion }));

/** 32 pairs in which that answer is preferred to the right one. */
export const PREFERENCES = QUESTIONS.map(({ prompt, completion }, i) => ({
  prompt,
  chosen: OTHER_ANSWERS[i].completion,
  rejected: completion,
}));

/** 64 words and the same words backwards. */
export const REVERSED = ANIMALS.flatMap((a) => ANIMALS.map((b) => ({ source: `${a} ${b}`, target: `${b} ${a}` })));

/** Rows as a JSONL file. */
export const jsonl = (rows: readonly object[]): string => rows.map((row) => `${JSON.stringify(row)}\n`).join('');

/** Rows as a TSV file without a header. */
export const tsv = (rows: readonly object[]): string => rows.map((row) => `${Object.values(row).join('\t')}\n`).join('');
