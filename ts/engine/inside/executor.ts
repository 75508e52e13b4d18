// Runs loaded programs in slices: inputs in, slices with a turn of the event loop between, outputs out. One run at a time; the queue sees to that.
import type { Numbers, ValueSink, WireCall, WireOutput, WireSequence } from '../protocol';
import type { Kernels } from './kernels';
import type { LoadedProgram, ProgramStore } from './programs';
import type { Turn } from './queue';

type Inputs = WireCall['inputs'];

/** Executes calls on the kernels. */
export class Executor {
  readonly #kernels: Kernels;
  readonly #programs: ProgramStore;

  constructor(kernels: Kernels, programs: ProgramStore) {
    this.#kernels = kernels;
    this.#programs = programs;
  }

  /** Runs the calls in order and gives each one's outputs. */
  async run(calls: readonly WireCall[], turn: Turn): Promise<Numbers[][]> {
    const results: Numbers[][] = [];
    for (const call of calls) {
      await turn.breathe();
      turn.throwIfAborted();
      const loaded = this.#programs.use(call.program, 'run');
      this.#writeInputs(loaded, call.inputs);
      await this.#execute(loaded, call.extents, call.scalars, call.atomic, turn);
      results.push(call.outputs.map((output) => this.#readOutput(loaded, output)));
    }
    return results;
  }

  /** Runs one program `count` times, posting an output after each. @returns how many times it ran */
  async runSequence(sequence: WireSequence, sink: ValueSink, turn: Turn): Promise<number> {
    const { program, count, extents, scalars, inputs, outputs, stopValues, stopEvery } = sequence;
    const extentsEach = extents.length / count;
    const scalarsEach = scalars.length / count;
    const stops = new Set(stopValues);
    for (let i = 0; i < count; i++) {
      await turn.breathe();
      turn.throwIfAborted();
      const loaded = this.#programs.use(program, 'runSequence');
      if (i === 0) this.#writeInputs(loaded, inputs);
      const rowExtents = extents.slice(i * extentsEach, (i + 1) * extentsEach);
      const rowScalars = scalars.slice(i * scalarsEach, (i + 1) * scalarsEach);
      await this.#execute(loaded, rowExtents, rowScalars, false, turn);
      const value = this.#readOutput(loaded, outputs[i]);
      const stop =
        stops.size > 0 && value.length > 0 && value.every((element: number, at: number) => at % stopEvery > 0 || stops.has(element));
      sink.postMessage(value, [value.buffer as ArrayBuffer]);
      if (stop) return i + 1;
    }
    return count;
  }

  async #execute(loaded: LoadedProgram, extents: Uint32Array, scalars: Float64Array, atomic: boolean, turn: Turn): Promise<void> {
    this.#kernels.runBegin(loaded.program, extents, scalars);
    while (this.#kernels.runSlice(turn.remainingMs()) === 'more') {
      await turn.breathe();
      if (atomic) continue;
      try {
        turn.throwIfAborted();
      } catch (error) {
        this.#kernels.runAbandon();
        throw error;
      }
    }
  }

  #writeInputs(loaded: LoadedProgram, inputs: Inputs): void {
    for (const { binding, data } of inputs) this.#kernels.write(loaded.regions[binding], data);
  }

  #readOutput(loaded: LoadedProgram, { binding, elements, dtype }: WireOutput): Numbers {
    return this.#kernels.read(loaded.regions[binding], elements, dtype) as Numbers; // outputs are f32 or i32
  }
}
