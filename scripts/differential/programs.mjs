// Writes programs of format 1 (docs/architecture.md, section 2) for the differential run: many small instructions over a few big pools of numbers.
// An operand is a place in a pool; what is read was drawn at random, what is written is compared. Checks nothing: the loader does.

/** Binding numbers. `result` is the only pool that is written. */
export const POOLS = { any: 0, positive: 1, ids: 2, mask: 3, clip: 4, sums: 5, result: 6, counts: 7, cells: 8, halves: 9 };
/** Elements (of 4 bytes) in each pool, by binding number. */
export const POOL_ELEMENTS = [1 << 17, 1 << 15, 1 << 12, 1 << 12, 64, 256, 1 << 18, 64, 1 << 14, 1 << 14];
/** Scalars of each run, in the program's order. */
export const SCALARS = ['lr', 'c1', 'c2', 'seed_lo', 'seed_hi', 'step', 'micro', 'max_norm', 'temperature', 'top_k', 'top_p', 'draw'];

/** Words of eight rows of one block of int8 weights: 64 of integers, then eight scales. */
export const CELL_WORDS = 72;

const NONE = 0xffffffff;
const MAGIC = 0x47504646;
const DTYPE = { f32: 0, i32: 1, f64: 2, q8: 3, bf16: 4 };
const bits = new DataView(new ArrayBuffer(4));

function f32Bits(value) {
  bits.setFloat32(0, value);
  return bits.getUint32(0);
}

/** A program under construction; `full` once it should be run. */
export class Batch {
  #opcodes;
  #random;
  #operands = [];
  #slots = [];
  #slotOf = new Map();
  #instructions = [];
  /** Per instruction its opcode's name. */
  names = [];
  /** Per instruction [first, end) of what it writes, as elements of the result pool. */
  written = [];
  /** [first, end) of the results that are f64. */
  doubles = [];
  used = 0;

  constructor(opcodes, random) {
    this.#opcodes = opcodes;
    this.#random = random;
  }

  get full() {
    return this.names.length >= 160 || this.used > POOL_ELEMENTS[POOLS.result] * 0.6;
  }

  /** Any floats. */
  any(n) {
    return this.#place('any', n);
  }

  /** Floats of 0 and more. */
  positive(n) {
    return this.#place('positive', n);
  }

  /** Token ids from 0 to 3, and −100. */
  labels(n) {
    return this.#place('ids', n, 'i32', 0, POOL_ELEMENTS[POOLS.ids] / 2);
  }

  /** Token ids from 0 to 3. */
  ids(n) {
    return this.#place('ids', n, 'i32', POOL_ELEMENTS[POOLS.ids] / 2, POOL_ELEMENTS[POOLS.ids]);
  }

  /** Ones and zeros. */
  mask(n) {
    return this.#place('mask', n, 'i32');
  }

  /** Weights [rows, columns] in int8 blocks. */
  cells(rows, columns) {
    const words = Math.ceil(rows / 8) * Math.ceil(columns / 32) * CELL_WORDS;
    const places = Math.floor((POOL_ELEMENTS[POOLS.cells] - words) / CELL_WORDS);
    return this.#operand('cells', this.#random.below(places) * CELL_WORDS, words, 'q8');
  }

  /** Weights [rows, columns] in bf16. */
  halves(rows, columns) {
    return this.#place('halves', Math.ceil((rows * columns) / 2), 'bf16');
  }

  /** Weights [rows, columns] in f32, bf16 or int8 blocks. */
  weights(rows, columns) {
    const kind = this.#random.below(6);
    return kind === 0 ? this.halves(rows, columns) : kind === 1 ? this.cells(rows, columns) : this.any(rows * columns);
  }

  /** Numbers from 1 to 4. */
  counts(n) {
    return this.#place('counts', n, 'i32');
  }

  /** [norm, factor, skip, count], skip rarely 1. */
  clip() {
    return this.#operand('clip', this.#random.below(POOL_ELEMENTS[POOLS.clip] / 4) * 4, 4, 'f32');
  }

  /** Sums of squares, f64. */
  sums(n) {
    return this.#operand('sums', this.#random.below(POOL_ELEMENTS[POOLS.sums] / 2 - n) * 2, n, 'f64');
  }

  /** Room for a result; before the run it holds random floats, so that it can be updated too. */
  result(n, dtype = 'f32') {
    const wide = dtype === 'f64' ? 2 : 1;
    const gap = this.#random.below(4) === 0 ? 1 + this.#random.below(9) : 0;
    const offset = Math.ceil((this.used + gap) / wide) * wide;
    this.used = offset + n * wide;
    if (wide === 2) this.doubles.push([offset, this.used]);
    return this.#operand('result', offset, n, dtype);
  }

  /** Adds an instruction. Params: numbers, or the names of scalars; -1 for a scalar that is not there. */
  emit(name, operands, dims, params = []) {
    const { code, params: specs, operands: places } = this.#opcodes[name];
    if (places.length !== operands.length || specs.length !== params.length)
      throw new Error(`${name}: ${operands.length} operands, ${params.length} params`);
    const encoded = params.map((value, i) => {
      if (specs[i].type === 'scalar') return value === -1 ? NONE : SCALARS.indexOf(value);
      return specs[i].type === 'f32' ? f32Bits(value) : value >>> 0;
    });
    const indices = operands.map((operand) => operand?.index ?? NONE);
    this.#instructions.push([
      code,
      indices.length,
      dims.length,
      encoded.length,
      ...indices,
      ...dims.map((dim) => this.#slot(dim)),
      ...encoded,
    ]);
    this.names.push(name);
    const results = operands.filter((operand, i) => operand && places[i].access !== 'read');
    this.written.push(results.map(({ offset, elements }) => [offset, offset + elements]));
  }

  words() {
    const body = [
      ...this.#slots.flatMap((value) => [value, NONE, NONE, NONE]),
      ...POOL_ELEMENTS.map((elements) => elements * 4),
      ...this.#operands.flat(),
      ...this.#instructions.flat(),
      ...this.#instructions.flatMap((_, i) => [i, 1]),
    ];
    const count = this.#instructions.length;
    const header = [MAGIC, 1, 0, SCALARS.length, this.#slots.length, 0, POOL_ELEMENTS.length, this.#operands.length, count, count];
    return Uint32Array.from([...header, header.length + 1 + body.length, ...body]);
  }

  /** Half of the places lie at a cache line, as buffers do; the others anywhere, as slices do. */
  #place(pool, n, dtype = 'f32', from = 0, to = POOL_ELEMENTS[POOLS[pool]]) {
    if (n > to - from) throw new Error(`${pool}: no room for ${n}`);
    const offset = from + this.#random.below(to - from - n + 1);
    return this.#operand(pool, this.#random.below(2) === 0 ? Math.max(from, offset - (offset % 16)) : offset, n, dtype);
  }

  #operand(pool, offset, n, dtype) {
    const elements = dtype === 'f64' ? 2 * n : n;
    this.#operands.push([1, POOLS[pool], offset * 4, elements * 4, DTYPE[dtype]]);
    return { index: this.#operands.length - 1, offset, elements };
  }

  #slot(value) {
    if (!this.#slotOf.has(value)) {
      this.#slotOf.set(value, this.#slots.length);
      this.#slots.push(value);
    }
    return this.#slotOf.get(value);
  }
}
