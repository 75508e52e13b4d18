// Philox4x32-10 for the test interpreter, written plainly with BigInt. The engine's own is in crates/kernels; both follow docs/architecture.md.

const MULTIPLIERS = [0xd2511f53n, 0xcd9e8d57n] as const;
const WEYL = [0x9e3779b9, 0xbb67ae85] as const;

/** The four words of one counter under one key (Salmon et al., SC 2011). */
export function philox(key: readonly [number, number], counter: readonly number[]): number[] {
  let [k0, k1] = key;
  let words = [...counter];
  for (let round = 0; round < 10; round++) {
    const [a, b] = [MULTIPLIERS[0] * BigInt(words[0]), MULTIPLIERS[1] * BigInt(words[2])];
    const [high, low] = [(x: bigint) => Number(x >> 32n), (x: bigint) => Number(x & 0xffffffffn)];
    words = [(high(b) ^ words[1] ^ k0) >>> 0, low(b), (high(a) ^ words[3] ^ k1) >>> 0, low(a)];
    k0 = (k0 + WEYL[0]) >>> 0;
    k1 = (k1 + WEYL[1]) >>> 0;
  }
  return words;
}

/** Dropout's factor for each element: 0, or 1 ÷ (1 − p). */
export function keeper(
  p: number,
  seed: readonly [number, number],
  step: number,
  micro: number,
  path: readonly [number, number],
): (index: number) => number {
  const [k0, k1] = philox(seed, [step, micro, path[0], path[1]]);
  return (index) => {
    const word = philox([k0, k1], [Math.floor(index / 4), 0, 0, 0])[index % 4];
    return (word >>> 8) / 2 ** 24 >= p ? 1 / (1 - p) : 0;
  };
}
