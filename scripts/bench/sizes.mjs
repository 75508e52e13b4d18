// The training steps that are compared: the shapes of docs/measurements.md (ts/cli/bench.ts has the same) and how many steps a record takes of each.

/** Shape by name; `warmUp` steps are not counted, then `rounds` rounds of `steps` steps on each side. XS is for tests of the commands. */
export const SIZES = {
  XS: { layers: 1, heads: 2, width: 16, context: 8, rows: 2, vocabulary: 32, warmUp: 1, steps: 2, rounds: 2 },
  S: { layers: 4, heads: 4, width: 128, context: 64, rows: 12, vocabulary: 65, warmUp: 40, steps: 20, rounds: 7 },
  M: { layers: 6, heads: 6, width: 384, context: 256, rows: 16, vocabulary: 65, warmUp: 2, steps: 1, rounds: 5 },
  L: { layers: 12, heads: 12, width: 768, context: 64, rows: 4, vocabulary: 50257, warmUp: 2, steps: 1, rounds: 5 },
};

/** Our name for a shape's numbers: options of GPT.create. */
export const gptOptions = ({ layers, heads, width, context, vocabulary }) => ({
  nLayer: layers,
  nHead: heads,
  nEmbd: width,
  blockSize: context,
  vocabSize: vocabulary,
});

/** Steps that one side takes in all. */
export const stepsOf = ({ warmUp, steps, rounds }) => warmUp + steps * rounds;
