// Memory of the test interpreter: one f64 per four bytes of a bank or region, so that gradients can be checked to many digits while addresses stay those
// of the program. NaN marks what was never written or has been freed; reading it is an error, so a plan that frees too early cannot pass by luck.

/** What one operand sees: elements of a bank or region. An f64 operand uses every other cell. */
export class Cells {
  readonly #memory: Float64Array;
  readonly #base: number;
  readonly #stride: number;
  readonly #label: string;
  readonly length: number;
  constructor(memory: Float64Array, offsetBytes: number, sizeBytes: number, wide: boolean, label: string) {
    this.#memory = memory;
    this.#base = offsetBytes / 4;
    this.#stride = wide ? 2 : 1;
    this.length = sizeBytes / (wide ? 8 : 4);
    this.#label = label;
  }
  get(index: number): number {
    const value = this.#memory[this.#at(index)];
    if (Number.isNaN(value)) throw new Error(`${this.#label}[${index}]: read before it was written or after it was freed`);
    return value;
  }
  set(index: number, value: number): void {
    if (Number.isNaN(value)) throw new Error(`${this.#label}[${index}]: NaN written`);
    this.#memory[this.#at(index)] = value;
  }
  #at(index: number): number {
    if (!(Number.isInteger(index) && index >= 0 && index < this.length))
      throw new Error(`${this.#label}[${index}]: outside its ${this.length} elements`);
    return this.#base + index * this.#stride;
  }
}

/** What a kernel of the interpreter is given, by the names of the opcode table. */
export interface KernelArgs {
  readonly operand: (name: string) => Cells;
  readonly maybe: (name: string) => Cells | undefined;
  readonly dim: (name: string) => number;
  readonly param: (name: string) => number;
  /** The value of a scalar parameter. */
  readonly scalar: (name: string) => number;
}
