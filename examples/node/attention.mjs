// What a Transformer is made of, each part once fused and once written out: softmax(QKᵀ/√d)·V, several heads side by side, positions as sines and cosines.
// node examples/node/attention.mjs        (inside this repository: after `npm run build`)
import {
  add,
  attention,
  Engine,
  fill,
  linear,
  Module,
  matmul,
  SinusoidalPositions,
  scale,
  softmax,
  splitRows,
  TransformerAttention,
  transpose,
} from 'ferroformer';

const [TIME, WIDTH, HEADS] = [6, 8, 2];
const HEAD = WIDTH / HEADS;

/** One head, fused; and the same in five operations. `seen` is 0 where a query may look and −∞ where it may not. */
class OneHead extends Module {
  forward({ q, k, v, seen }) {
    const scores = add(scale(matmul(q, transpose(k)), 1 / Math.sqrt(WIDTH)), seen); // [1, T, T] + [T, T]
    return { fused: attention(q, k, v, { nHead: 1, causal: true }), written: matmul(softmax(scores), v), weights: softmax(scores) };
  }
}

/** Concat(head_1 … head_h)·W^O as a module, and head by head: a head has rows of the weights of its own. */
class ManyHeads extends Module {
  constructor() {
    super();
    this.heads = new TransformerAttention({ dModel: WIDTH, nHead: HEADS, bias: false });
  }
  forward({ x }) {
    const rows = splitRows(this.heads.in_proj_weight, new Array(3 * HEADS).fill(HEAD)); // those of the queries, the keys, the values
    const project = (part, head) => linear(x, rows[part * HEADS + head], undefined, { transposed: true });
    // Concat(a, b)·W = a·W₁ + b·W₂, the columns of W that belong to each.
    const columns = splitRows(transpose(this.heads.out_proj.weight), new Array(HEADS).fill(HEAD));
    const outputs = columns.map((weight, head) => {
      const [q, k, v] = [0, 1, 2].map((part) => project(part, head));
      return matmul(matmul(softmax(scale(matmul(q, transpose(k)), 1 / Math.sqrt(HEAD))), v), weight);
    });
    return { module: this.heads.forward(x), written: outputs.reduce((a, b) => add(a, b)) };
  }
}

/** The table that is added to the token vectors. */
class Positions extends Module {
  constructor(noise) {
    super();
    this.table = new SinusoidalPositions(TIME, WIDTH, { noise });
  }
  forward() {
    return this.table.forward(fill([1, TIME, WIDTH], 0));
  }
}

const apart = (a, b) => Math.max(...Array.from(a, (x, i) => Math.abs(x - b[i])));
const vectors = (step) => ({ data: Float32Array.from({ length: TIME * WIDTH }, (_, i) => Math.sin(i * step)), shape: [1, TIME, WIDTH] });
const seen = {
  data: Float32Array.from({ length: TIME * TIME }, (_, i) => (i % TIME <= Math.floor(i / TIME) ? 0 : -Infinity)),
  shape: [TIME, TIME],
};

const engine = await Engine.start({ threads: 1 });
const one = await engine.bind(new OneHead());
const { fused, written, weights } = await one.forward({ q: vectors(0.7), k: vectors(1.3), v: vectors(2.1), seen });
console.log('what each position sees of the ones before it:');
for (let t = 0; t < TIME; t++) console.log(Array.from(weights.data.subarray(t * TIME, t * TIME + t + 1), (w) => w.toFixed(2)).join(' '));
console.log(`attention: fused and written out differ by ${apart(fused.data, written.data).toExponential(1)}`);

const many = await engine.bind(new ManyHeads(), { seed: 1 });
const heads = await many.forward({ x: vectors(0.7) });
console.log(`${HEADS} heads: module and written out differ by ${apart(heads.module.data, heads.written.data).toExponential(1)}`);

const formula = Float32Array.from({ length: TIME * WIDTH }, (_, i) => {
  const [position, column] = [Math.floor(i / WIDTH), i % WIDTH];
  const angle = position / 10000 ** ((column - (column % 2)) / WIDTH);
  return column % 2 === 0 ? Math.sin(angle) : Math.cos(angle);
});
const [plain, noisy] = await Promise.all(
  [0, 0.01].map(async (noise) => (await (await engine.bind(new Positions(noise), { seed: 1 })).forward([])).data),
);
console.log(
  `positions: table and formula differ by ${apart(plain, formula).toExponential(1)}, with noise 0.01 by ${apart(noisy, formula).toFixed(3)}`,
);
await engine.close();
