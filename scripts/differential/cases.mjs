// One random case per kernel of the differential run: dims around lanes and tiles, every param, optional operands there or not, results on operands where
// the format allows it. A backward kernel gets what its forward kernel has just written, so that its numbers are of the right kind.

const IGNORE = -100;
const VOCAB = 4; // at least: ids go from 0 to 3
const KEEP_NOTHING = [0, 1, 2, -1, -1, -1, -1];

const maybe = (random, make) => (random.below(2) === 0 ? make() : null);

function dropoutParams(random) {
  if (random.below(2) === 0) return KEEP_NOTHING;
  return [random.of(0.1, 0.5, 0.9), random.word(), random.word(), 'seed_lo', 'seed_hi', 'step', 'micro'];
}

function matmul(batch, random) {
  const form = random.below(3);
  const long = random.below(40) === 0;
  const [m, n] = [random.of(1, 2, 3, random.size(), random.size(), random.size(), random.size()), random.size(long ? 40 : 100)];
  const k = long ? 300 + random.below(200) : random.of(1, random.size(), random.size());
  const entries = random.below(8) === 0 ? 1 + random.below(3) : 1;
  const activation = random.of(0, 0, 0, 1, 2, 3);
  const out = batch.result(entries * m * n);
  const init = random.of(null, null, out, batch.any(entries * m * n));
  const act = activation === 0 ? null : batch.result(entries * m * n);
  const operands = [batch.any(entries * m * k), batch.any(entries * k * n), init, maybe(random, () => batch.any(n)), out, act];
  batch.emit('matmul', operands, [entries, m, n, k], [form, activation]);
}

function unary(batch, random) {
  const n = random.below(50) === 0 ? 5000 + random.below(9000) : random.size(400);
  const kind = random.below(15);
  const c = random.normal();
  const x = batch.any(n);
  const y = batch.result(n);
  const own = random.below(4) === 0 ? batch.result(n) : null;
  batch.emit('unary', own ? [own, own] : [x, y], [n], [kind, c]);
  if (!own) batch.emit('unary_backward', [x, y, batch.any(n), batch.result(n)], [n], [kind, c]);
}

function binary(batch, random) {
  const [outer, inner] = [random.size(30), random.size(90)];
  const [kind, mode] = [random.below(4), random.below(4)];
  const n = outer * inner;
  const own = random.below(4) === 0 ? batch.result(n) : null;
  const b = batch.any([n, inner, outer, 1][mode]);
  batch.emit('binary', [own ?? batch.any(n), b, own ?? batch.result(n)], [outer, inner], [kind, mode]);
}

function reductions(batch, random) {
  const [rows, cols] = random.below(30) === 0 ? [300, 40] : [random.size(60), random.size(70)];
  batch.emit('column_sum', [batch.any(rows * cols), batch.result(cols)], [rows, cols]);
  batch.emit('row_sum', [batch.any(rows * cols), batch.result(rows)], [rows, cols]);
  batch.emit('sum_all', [batch.any(rows * cols), batch.result(1)], [rows * cols], [random.normal()]);
  batch.emit('fill', [batch.result(cols)], [cols], [random.normal()]);
  batch.emit('transpose', [batch.any(rows * cols), batch.result(rows * cols)], [1, rows, cols]);
}

function softmax(batch, random) {
  const [rows, cols, log] = [random.size(16), random.size(300), random.below(2)];
  const y = batch.result(rows * cols);
  batch.emit('softmax', [batch.any(rows * cols), y], [rows, cols], [log]);
  batch.emit('softmax_backward', [y, batch.any(rows * cols), batch.result(rows * cols)], [rows, cols], [log]);
}

function layerNorm(batch, random) {
  const [rows, cols] = [random.size(20), random.size(300)];
  const n = rows * cols;
  const [x, weight, dy] = [batch.any(n), maybe(random, () => batch.any(cols)), batch.any(n)];
  const [mean, rstd] = [batch.result(rows), batch.result(rows)];
  const bias = maybe(random, () => batch.any(cols));
  batch.emit('layer_norm', [x, weight, bias, batch.result(n), mean, rstd], [rows, cols], [1e-5]);
  const dx = batch.result(n);
  const addend = random.of(null, dx, batch.any(n));
  batch.emit('layer_norm_backward', [x, weight, mean, rstd, dy, addend, dx], [rows, cols]);
  const dbias = maybe(random, () => batch.result(cols));
  batch.emit('layer_norm_backward_params', [x, mean, rstd, dy, batch.result(cols), dbias], [rows, cols]);
}

function llama(batch, random) {
  const [rows, cols] = [random.size(20), random.size(300)];
  const n = rows * cols;
  const [x, weight, dy, rstd] = [batch.any(n), maybe(random, () => batch.any(cols)), batch.any(n), batch.result(rows)];
  batch.emit('rms_norm', [x, weight, batch.result(n), rstd], [rows, cols], [1e-5]);
  const dx = batch.result(n);
  batch.emit('rms_norm_backward', [x, weight, rstd, dy, random.of(null, dx, batch.any(n)), dx], [rows, cols]);
  batch.emit('rms_norm_backward_params', [x, rstd, dy, batch.result(cols)], [rows, cols]);

  const [entries, time, heads, headDim, position] = [
    1 + random.below(3),
    random.size(20),
    1 + random.below(3),
    2 * random.size(40),
    random.below(5),
  ];
  const row = heads * headDim + random.of(0, 0, random.below(40));
  const own = random.below(2) === 0 ? batch.ids(entries) : null;
  const dims = [entries, time, row, own ? 0 : position, time + 3 + random.below(3)];
  const turned = batch.result(entries * time * row);
  const from = random.of(turned, batch.any(entries * time * row));
  batch.emit(
    'rotary',
    [from, batch.any((dims[4] + 4) * headDim), own, turned],
    [...dims.slice(0, 4), dims[4] + 4],
    [heads, headDim, random.below(2)],
  );

  const stride = cols + random.of(0, 0, cols, 3);
  const both = () => batch.result(rows * stride);
  const [gate, up, out] = [batch.any(rows * stride), batch.any(rows * stride), batch.result(n)];
  batch.emit('swiglu', [gate, up, out], [rows, cols, stride, stride]);
  batch.emit('swiglu_backward', [gate, up, dy, both(), both()], [rows, cols, stride, stride]);
  batch.emit('add_integer', [batch.labels(rows), batch.result(rows, 'i32')], [rows], [random.below(9)]);
}

function embeddings(batch, random) {
  const [rows, cols, vocab] = [random.size(40), random.size(80), VOCAB + random.below(30)];
  batch.emit('embedding', [batch.any(vocab * cols), batch.ids(rows), batch.result(rows * cols)], [rows, cols, vocab]);
  const dtable = batch.result(vocab * cols);
  batch.emit('embedding_backward', [batch.ids(rows), batch.any(rows * cols), random.of(null, dtable), dtable], [rows, cols, vocab]);
  const [entries, time, position] = [1 + random.below(3), random.size(20), random.below(5)];
  const [n, dims] = [entries * time * cols, [entries, time, cols, position, time + position + random.below(3)]];
  batch.emit('add_position', [batch.any(n), batch.any(dims[4] * cols), null, batch.result(n)], dims);
  const own = [entries, time, cols, 0, time + VOCAB - 1]; // positions from 0 to 3
  batch.emit('add_position', [batch.any(n), batch.any(own[4] * cols), batch.ids(entries), batch.result(n)], own);
  batch.emit('add_position_backward', [batch.any(n), batch.result(dims[4] * cols)], dims);
}

function dropout(batch, random) {
  const n = random.size(500);
  batch.emit('dropout', [batch.any(n), batch.result(n)], [n], dropoutParams(random));
}

function attention(batch, random) {
  const long = random.below(25) === 0;
  const headDim = long ? 8 : random.of(1, 3, 4, 8, 12, 16, 20, 32, 64);
  const kvHeads = headDim > 16 ? 1 : 1 + random.below(2);
  const heads = kvHeads * random.of(1, 1, 2, headDim > 16 ? 1 : 3);
  const time = () => (long ? 64 + random.below(240) : random.size(48));
  const [entries, tq, tk] = [long ? 1 : 1 + random.below(2), random.of(1, time(), time()), time()];
  const width = heads * headDim;
  const row = width * random.of(1, 1, 3);
  const causal = random.below(2);
  const keys = causal === 1 ? Math.max(tq, tk) : tk;
  const biased = random.below(4) === 0;
  const masks = biased ? random.of(1, ...(long ? [] : [entries, entries * heads])) : 0;
  const dims = [entries, tq, keys, row, row, row, tq * row, keys * row, keys * row, masks];
  const span = (steps) => entries * steps * row;
  const params = [heads, kvHeads, headDim, causal, 1 / Math.sqrt(headDim), ...dropoutParams(random)];
  const [q, k, v, ...limits] = [
    batch.any(span(tq)),
    batch.any(span(keys)),
    batch.any(span(keys)),
    random.below(4) === 0 ? batch.mask(entries * keys) : null,
    biased ? batch.any(masks * tq * keys) : null,
    random.below(4) === 0 ? batch.ids(entries * tq) : null, // first keys from 0 to 3
  ];
  const [out, lse, dout] = [batch.result(entries * tq * width), batch.result(entries * heads * tq), batch.any(entries * tq * width)];
  batch.emit('attention', [q, k, v, ...limits, null, out, lse], dims, params);
  if (params[5] === 0 && keys >= 4 && random.below(3) === 0) attentionByCounts(batch, dims, params);
  if (random.below(2) === 0) {
    const gradients = [batch.result(span(tq)), batch.result(span(keys)), batch.result(span(keys))];
    batch.emit('attention_backward', [q, k, v, ...limits, out, lse, dout, ...gradients], dims, params);
    return;
  }
  const delta = batch.result(entries * heads * tq);
  batch.emit('attention_backward_q', [q, k, v, ...limits, out, lse, dout, batch.result(span(tq)), delta], dims, params);
  const gradients = [batch.result(span(keys)), batch.result(span(keys))];
  batch.emit('attention_backward_kv', [q, k, v, ...limits, lse, dout, delta, ...gradients], dims, params);
}

/** Sequences with one to four keys of their own. */
function attentionByCounts(batch, dims, params) {
  const [entries, tq, keys, row] = dims;
  const [queries, cache] = [batch.any(entries * tq * row), batch.any(entries * keys * row)];
  const width = params[0] * params[2];
  const results = [batch.result(entries * tq * width), batch.result(entries * params[0] * tq)];
  batch.emit('attention', [queries, cache, cache, null, null, null, batch.counts(entries), ...results], dims, params);
}

function crossEntropy(batch, random) {
  const [rows, vocab] = [random.size(20), VOCAB + random.size(200)];
  const [logits, labels, logZ] = [batch.any(rows * vocab), batch.labels(rows), batch.result(rows)];
  batch.emit('cross_entropy', [logits, labels, batch.result(rows), logZ], [rows, vocab], [IGNORE]);
  const gz = maybe(random, () => batch.any(rows));
  batch.emit('cross_entropy_backward', [logits, labels, logZ, batch.any(rows), gz, batch.result(rows * vocab)], [rows, vocab], [IGNORE]);
  batch.emit('count_labels', [batch.labels(rows), batch.result(1)], [rows], [IGNORE]);
}

function linearCrossEntropy(batch, random) {
  const [rows, vocab, cols] = [random.size(30), VOCAB + random.size(random.below(10) === 0 ? 700 : 80), random.size(40)];
  const dims = [rows, vocab, cols];
  const [x, w, labels, logZ] = [batch.any(rows * cols), batch.weights(vocab, cols), batch.labels(rows), batch.result(rows)];
  batch.emit('linear_cross_entropy', [x, w, labels, batch.result(rows), logZ], dims, [IGNORE]);
  const [g, gz] = [batch.any(rows), maybe(random, () => batch.any(rows))];
  batch.emit('linear_cross_entropy_backward_x', [x, w, labels, logZ, g, gz, batch.result(rows * cols)], dims, [IGNORE]);
  const dw = batch.result(vocab * cols);
  batch.emit('linear_cross_entropy_backward_w', [x, batch.any(vocab * cols), labels, logZ, g, gz, random.of(null, dw), dw], dims, [IGNORE]);
}

/** Frozen weights: as int8 blocks with rounded rows, and, in every storage, read as f32. */
function frozenWeights(batch, random) {
  const [m, n, k] = [random.of(1, 2, 4, random.size(20)), random.size(60), random.of(random.size(80), 100 + random.below(100))];
  const activation = random.of(0, 0, 1, 2, 3);
  const out = batch.result(m * n);
  const act = activation === 0 ? null : batch.result(m * n);
  const init = random.of(null, out, batch.any(m * n));
  batch.emit(
    'matmul_q8',
    [batch.any(m * k), batch.cells(n, k), init, maybe(random, () => batch.any(n)), out, act],
    [m, n, k],
    [activation],
  );
  const form = random.below(2);
  const [rows, columns] = form === 0 ? [k, n] : [n, k];
  const weights = random.below(2) === 0 ? batch.cells(rows, columns) : batch.halves(rows, columns);
  const product = batch.result(m * n);
  batch.emit(
    'matmul',
    [batch.any(m * k), weights, random.of(null, product), maybe(random, () => batch.any(n)), product, null],
    [1, m, n, k],
    [form, 0],
  );
  const vocab = VOCAB + random.below(60);
  batch.emit('embedding', [batch.weights(vocab, k), batch.ids(m), batch.result(m * k)], [m, k, vocab]);
}

function head(batch, random) {
  const [rows, vocab, cols] = [random.size(40), VOCAB + random.size(random.below(10) === 0 ? 700 : 80), random.size(40)];
  const first = random.of(0, 0, random.below(rows + 1));
  const most = 1 + random.below(rows + 4);
  const stride = Math.ceil(most / 16) * 16;
  const [dims, params] = [
    [rows, vocab, cols, most, stride],
    [IGNORE, first],
  ];
  const [x, w, labels, logZ] = [batch.any(rows * cols), batch.weights(vocab, cols), batch.labels(rows), batch.result(rows)];
  const [logits, stats] = [batch.result(vocab * stride), batch.result(Math.ceil(vocab / 256) * 2 * stride)]; // stats: room enough for blocks of 256 words and more
  batch.emit('head_logits', [x, w, labels, logits, stats], dims, params);
  batch.emit('head_loss', [labels, logits, stats, batch.result(rows), logZ], dims, params);
  const dw = random.below(4) === 0 ? null : batch.result(vocab * cols);
  batch.emit('head_backward_w', [x, labels, logZ, batch.any(rows), dw && random.of(null, dw), dw, logits], dims, params);
  batch.emit('head_backward_x', [w, labels, logits, batch.result(rows * cols)], dims, params);
}

function update(batch, random) {
  const n = random.below(20) === 0 ? 4000 + random.below(5000) : random.size(300);
  batch.emit('squared_norm', [batch.any(n), batch.result(Math.ceil(n / 4096), 'f64')], [n]);
  const parts = 1 + random.below(60);
  batch.emit('clip_finish', [batch.sums(parts), maybe(random, () => batch.positive(1)), batch.result(4)], [parts], ['max_norm']);
  const v = batch.result(n);
  batch.emit('unary', [batch.positive(n), v], [n], [0, 0]); // second moments are not negative
  const [beta1, beta2] = [0.9, random.of(0.99, 0.999)];
  const adamw = ['lr', 'c1', 'c2', beta1, beta2, 1e-8, random.of(0, 0.1), 1 - beta1, 1 - beta2];
  batch.emit('adamw', [batch.result(n), batch.any(n), batch.result(n), v, batch.clip()], [n], adamw);
  const momentum = random.of(0, 0.9);
  const buffer = momentum > 0 ? batch.result(n) : null;
  batch.emit(
    'sgd',
    [batch.result(n), batch.any(n), buffer, batch.clip()],
    [n],
    ['lr', momentum, random.of(0, 0.1), momentum > 0 ? random.below(2) : 0],
  );
}

function rows(batch, random) {
  const [entries, time, cols] = [1 + random.below(3), random.size(20), random.size(80)];
  const [sourceRow, targetRow] = [cols * random.of(1, 3), cols + random.below(3)];
  const [offset, at] = [random.below(5), random.below(5)];
  const [source, target] = [offset + entries * time * sourceRow, at + entries * time * targetRow];
  const dims = [entries, time, cols, sourceRow, time * sourceRow, offset, targetRow, time * targetRow, at];
  batch.emit('copy_rows', [batch.any(source), null, batch.result(target)], dims);
  // To rows of their own in a cache of `held` rows.
  const held = time + VOCAB - 1;
  const cache = [4, time, cols, cols, time * cols, 0, cols, held * cols, 0];
  const positions = maybe(random, () => batch.ids(4));
  batch.emit('copy_rows', [batch.any(4 * time * cols), positions, batch.result(4 * held * cols)], cache);
}

/** Rows without a finite largest logit are a fault, so these logits are always ordinary ones. */
function sample(batch, random) {
  const [count, vocab] = [1 + random.below(6), VOCAB + random.size(300)];
  const rules = [maybe(random, () => batch.positive(vocab)), null, null, null, null];
  const report = maybe(random, () => batch.result(count * 8, 'i32'));
  const params = ['temperature', 'top_k', 'top_p', 'seed_lo', 'seed_hi', 'draw', 'c1', -1, -1, -1, -1, 'top_k'];
  const operands = [batch.positive(count * vocab), ...rules, batch.result(count, 'i32'), report];
  batch.emit('sample', operands, [count, vocab, vocab, 0, 8], params);
}

/** Four beams: parents are ids from 0 to 3. */
function beams(batch, random) {
  const [vocab, keep] = [VOCAB + random.size(300), 1 + random.below(8)];
  const bias = maybe(random, () => batch.positive(vocab));
  const operands = [batch.positive(4 * vocab), batch.ids(4), batch.positive(4), bias, null, null, null, batch.result(8 * keep, 'i32')];
  batch.emit('beam_scores', operands, [4, vocab, vocab, 0, keep], [-1, -1, -1, -1, -1]);
  const [time, cols] = [random.below(6), random.size(80)];
  const pitch = (time + random.below(3)) * cols;
  batch.emit('permute_rows', [batch.result(4 * pitch), batch.ids(4)], [4, time, cols, pitch]);
}

/** Every case with its share of the instructions' draws. */
export const CASES = [
  [matmul, 12],
  [unary, 3],
  [binary, 3],
  [reductions, 1],
  [softmax, 2],
  [layerNorm, 2],
  [llama, 2],
  [embeddings, 1],
  [dropout, 2],
  [attention, 3],
  [crossEntropy, 1],
  [linearCrossEntropy, 2],
  [frozenWeights, 2],
  [head, 2],
  [update, 2],
  [rows, 1],
  [sample, 1],
  [beams, 1],
].flatMap(([make, share]) => new Array(share).fill(make));
