// An encoder-decoder on sequences of numbers: it sees twelve points of a wave and writes the next eight. Waves differ in frequency, phase and height.
// node examples/node/transformer.mjs [STEPS]        (inside this repository: after `npm run build`)
import { Engine, Module, mean, Projection, SinusoidalPositions, square, sub, TransformerModule } from 'ferroformer';

const [SEEN, AHEAD, BATCH, WIDTH] = [12, 8, 32, 32];

/** Features in, features out: Transformer(inputDim, outputDim, nHead, nLayer, dropout) built of the library's modules. */
class Forecaster extends Module {
  constructor(inputDim, outputDim, nHead, nLayer, dropout) {
    super();
    this.source = new Projection(inputDim, WIDTH, { bias: true });
    this.target = new Projection(outputDim, WIDTH, { bias: true });
    this.positions = new SinusoidalPositions(SEEN, WIDTH);
    const layers = { numEncoderLayers: nLayer, numDecoderLayers: nLayer, normFirst: true };
    this.transformer = new TransformerModule({ dModel: WIDTH, nHead, dimFeedforward: 4 * WIDTH, dropout, ...layers });
    this.head = new Projection(WIDTH, outputDim, { bias: true });
  }
  forward(seen, before) {
    const src = this.positions.forward(this.source.forward(seen)); // [B, SEEN, WIDTH]
    const tgt = this.positions.forward(this.target.forward(before)); // [B, AHEAD, WIDTH]
    return this.head.forward(this.transformer.forward(src, tgt, { causal: true })); // [B, AHEAD, outputDim]
  }
}

let state = 7;
function random() {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return state / 2 ** 32;
}

/** Waves, two numbers a point (height and slope): what is seen, what comes next, and that shifted by one as the decoder's input. */
function waves() {
  const tensor = (points) => ({ data: new Float32Array(BATCH * points * 2), shape: [BATCH, points, 2] });
  const [seen, before, next] = [tensor(SEEN), tensor(AHEAD), tensor(AHEAD)];
  for (let b = 0; b < BATCH; b++) {
    const [frequency, phase, height] = [0.2 + 0.6 * random(), 2 * Math.PI * random(), 0.5 + random()];
    const point = (t) => [height * Math.sin(phase + frequency * t), height * Math.cos(phase + frequency * t)];
    for (let t = 0; t < SEEN; t++) seen.data.set(point(t), (b * SEEN + t) * 2);
    for (let t = 0; t < AHEAD; t++) {
      before.data.set(point(SEEN + t - 1), (b * AHEAD + t) * 2);
      next.data.set(point(SEEN + t), (b * AHEAD + t) * 2);
    }
  }
  return { seen, before, next };
}

const engine = await Engine.start({ threads: 1 });
const model = await engine.bind(new Forecaster(2, 2, 4, 1, 0), { seed: 1 });
const step = engine.trainStep(model, {
  loss: (module, { seen, before, next }) => mean(square(sub(module.forward(seen, before), next))), // teacher forcing
  optimizer: { learningRate: 3e-3, weightDecay: 0.01 },
});
const steps = Number(process.argv[2] ?? 400);
for (let t = 1; t <= steps; t++) {
  const { loss } = await step(waves(), { learningRate: 3e-3 * Math.min(1, t / 20) });
  if (t === 1 || t % 100 === 0) console.log(`step ${t}: loss ${loss.toFixed(4)}`);
}

// New waves, and the model left to itself: each point it writes is what it reads for the next one.
const { seen, before, next } = waves();
const written = { data: new Float32Array(before.data.length), shape: before.shape };
const row = (t, b) => (b * AHEAD + t) * 2;
for (let b = 0; b < BATCH; b++) written.data.set(before.data.subarray(row(0, b), row(0, b) + 2), row(0, b));
let forecast;
for (let t = 0; t < AHEAD; t++) {
  forecast = (await model.forward([seen, written])).data;
  if (t + 1 < AHEAD) for (let b = 0; b < BATCH; b++) written.data.set(forecast.subarray(row(t, b), row(t, b) + 2), row(t + 1, b));
}
const error = (guess) => next.data.reduce((total, x, i) => total + (guess(i) - x) ** 2, 0) / next.data.length;
const last = error((i) => before.data[Math.floor(i / (2 * AHEAD)) * 2 * AHEAD + (i % 2)]);
const ours = error((i) => forecast[i]);
console.log(`squared error of ${AHEAD} points ahead: ${ours.toFixed(4)}; of repeating the last point: ${last.toFixed(4)}`);
await engine.close();
