// A sequence-to-sequence task whose right answer is known: words written backwards. Its data set gives the batches that pairs have, as a user's own would.
import { CharTokenizer, type Engine, type ExampleDataset, type HostTensor, Transformer, type TransformerOptions } from 'ferroformer';

export const LETTERS = 'abcdefgh';
/** Longest word. */
const LONGEST = 8;

export const backwards = (word: string): string => [...word].reverse().join('');

/** Different words of 3 to 8 letters, from a fixed seed. */
export function makeWords(count: number): string[] {
  let state = 7;
  const below = (n: number) => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return (state >>> 16) % n;
  };
  const words = new Set<string>();
  while (words.size < count) {
    words.add(Array.from({ length: 3 + below(LONGEST - 2) }, () => LETTERS[below(LETTERS.length)]).join(''));
  }
  return [...words];
}

/** A small model that can learn the task. */
export function makeModel(engine: Engine, options: Partial<TransformerOptions> = {}): Promise<Transformer> {
  const tokenizer = CharTokenizer.fromText(LETTERS);
  return Transformer.create(engine, {
    tokenizer,
    nLayer: 1,
    nHead: 4,
    dModel: 32,
    maxSourceLength: 10,
    maxTargetLength: 12,
    seed: 1,
    ...options,
  });
}

/** A batch of words and the same backwards, filled up at the end to `source` and `target` positions. */
export function makeBatch(
  model: Transformer,
  words: readonly string[],
  source = LONGEST,
  target = LONGEST + 1,
): Record<string, HostTensor> {
  const { bosId, eosId, padId } = model.config;
  const rows = words.length;
  const tensor = (width: number, fill: number) => ({ data: new Int32Array(rows * width).fill(fill), shape: [rows, width] });
  const [inputIds, inputMask] = [tensor(source, padId), tensor(source, 0)];
  const [decoderInputIds, labels] = [tensor(target, padId), tensor(target, -100)];
  words.forEach((word, row) => {
    const [ids, answer] = [model.tokenizer!.encode(word), model.targetTokenizer!.encode(backwards(word))];
    inputIds.data.set(ids, row * source);
    inputMask.data.fill(1, row * source, row * source + ids.length);
    decoderInputIds.data.set([bosId, ...answer], row * target);
    labels.data.set([...answer, eosId], row * target);
  });
  return { inputIds, inputMask, decoderInputIds, labels };
}

/** The task as a data set. */
export function makeDataset(model: Transformer, words: readonly string[]): ExampleDataset {
  return {
    length: words.length,
    batch: (indices) =>
      makeBatch(
        model,
        indices.map((i) => words[i]),
      ),
    hash: () => words.join(),
  };
}
