// The loss over a whole data set: every batch once, nothing learned. Not a metric library: nats per counted token (or example) and what
// follows from them.
import { type BoundModule, programInputs } from '../bind';
import type { EvalBatch, HostTensor } from '../data';
import type { ProgramHandle } from '../engine';
import { FerroError, throwIfAborted } from '../errors';
import { compile, Extent, input, sum, type Tensor } from '../graph';
import { exp } from '../math';
import { asRowLoss, type Loss } from '../nn';

/** What an evaluation found. */
export interface Evaluation {
  /** Mean loss in nats per counted token (the loss's own unit for a loss of one's own). */
  loss: number;
  /** e to the loss. */
  perplexity: number;
  /** What the loss counted: predicted tokens. */
  tokens: number;
}

/** Evaluates a module in batches of at most `batchSize` rows through one program; the last batch may be shorter. */
export class Evaluator {
  readonly #bound: BoundModule;
  readonly #loss: Loss;
  readonly #batchSize: number;
  #handle: ProgramHandle | undefined;
  #shapes = '';

  constructor(bound: BoundModule, loss: Loss, batchSize: number) {
    this.#bound = bound;
    this.#loss = loss;
    this.#batchSize = batchSize;
  }

  /** The mean over everything counted, summed in f64 in the order of the batches. @throws ABORTED, DATA_TOO_SHORT when nothing was counted */
  async run(batches: AsyncIterable<EvalBatch> | Iterable<EvalBatch>, signal?: AbortSignal): Promise<Evaluation> {
    let total = 0;
    let counted = 0;
    for await (const { tensors, rows } of batches) {
      throwIfAborted(signal, 'evaluate');
      const handle = await this.#program(tensors);
      const inputs = programInputs(handle.program, tensors);
      const [outputs] = await this.#bound.host.run({ handle, inputs, extents: { batch: rows } }, { signal });
      total += outputs.sum[0];
      counted += outputs.count[0];
    }
    if (counted === 0) throw new FerroError('DATA_TOO_SHORT', 'evaluate: at least one token must be predicted, got none');
    const loss = total / counted;
    return { loss, perplexity: exp(loss), tokens: counted };
  }

  /** Frees the program. */
  async close(): Promise<void> {
    const handle = this.#handle;
    this.#handle = undefined;
    if (handle !== undefined) await this.#bound.unload(handle);
  }

  /** The program for batches of this shape; the first axis is a run-time extent. A batch of another shape replaces it. */
  async #program(tensors: Record<string, HostTensor>): Promise<ProgramHandle> {
    const shapes = Object.entries(tensors)
      .map(([name, { data, shape }]) => `${name}:${data instanceof Int32Array ? 'i32' : 'f32'}[${shape.slice(1).join()}]`)
      .join(' ');
    if (this.#handle !== undefined && shapes === this.#shapes) return this.#handle;
    await this.close();
    const rows = new Extent('batch', this.#batchSize);
    const batch: Record<string, Tensor> = {};
    for (const [name, { data, shape }] of Object.entries(tensors)) {
      batch[name] = input(name, [rows, ...shape.slice(1)], data instanceof Int32Array ? 'i32' : 'f32');
    }
    const { sum: parts, count } = this.#bound.trace(false, () => asRowLoss(this.#loss(this.#bound.module, batch)));
    this.#handle = await this.#bound.load(compile({ name: 'evaluate', outputs: { sum: sum(parts), count }, effects: [] }));
    this.#shapes = shapes;
    return this.#handle;
  }
}
