// The loss over a whole data set: every batch once, nothing learned. Not a metric library: nats per counted token (or example) and what
// follows from them.
import { type BoundModule, programInputs } from '../bind';
import type { EvalBatch, HostTensor } from '../data';
import type { ProgramHandle } from '../engine';
import { FerroError, throwIfAborted } from '../errors';
import { compile, Extent, type Program, sum, type Tensor } from '../graph';
import { exp } from '../math';
import { addMetrics, asRowLoss, batchInputs, batchSignature, type Loss, metricOutputs } from '../nn';

/** What an evaluation found. */
export interface Evaluation {
  /** Mean loss in nats per counted token (the loss's own unit for a loss of one's own). */
  loss: number;
  /** e to the loss. */
  perplexity: number;
  /** What the loss counted: predicted tokens. */
  tokens: number;
  /** Means of what else the loss tells (`RowLoss.metrics`), where it does. */
  metrics?: Record<string, number>;
}

/** The extent that is the number of rows. */
const ROWS = 'batch';

/** A dozen lengths of sequences; a data set of one length needs two programs at most. */
const MAX_PROGRAMS = 16;

/**
 * Evaluates a module in batches of at most `batchSize` rows; the last batch may be shorter. One program serves them all where the loss can be built
 * without knowing the number of rows; a loss that needs it (a `mean` over the batch) gets one program for each number.
 */
export class Evaluator {
  readonly #bound: BoundModule;
  readonly #loss: Loss;
  readonly #batchSize: number;
  readonly #handles = new Map<string, ProgramHandle>(); // in order of last use

  constructor(bound: BoundModule, loss: Loss, batchSize: number) {
    this.#bound = bound;
    this.#loss = loss;
    this.#batchSize = batchSize;
  }

  /** The mean over everything counted, summed in f64 in the order of the batches. @throws ABORTED, DATA_TOO_SHORT when nothing was counted */
  async run(batches: AsyncIterable<EvalBatch> | Iterable<EvalBatch>, signal?: AbortSignal): Promise<Evaluation> {
    let total = 0;
    let counted = 0;
    const metrics: Record<string, number> = {};
    for await (const { tensors, rows } of batches) {
      throwIfAborted(signal, 'evaluate');
      const handle = await this.#program(tensors);
      const inputs = programInputs(handle.program, tensors);
      const extents: Record<string, number> = handle.program.extents.length === 0 ? {} : { [ROWS]: rows };
      const [outputs] = await this.#bound.host.run({ handle, inputs, extents }, { signal });
      total += outputs.sum[0];
      counted += outputs.count[0];
      addMetrics(metrics, outputs);
    }
    if (counted === 0) throw new FerroError('DATA_TOO_SHORT', 'evaluate: at least one token must be predicted, got none');
    const loss = total / counted;
    for (const name of Object.keys(metrics)) metrics[name] /= counted;
    return { loss, perplexity: exp(loss), tokens: counted, ...(Object.keys(metrics).length === 0 ? {} : { metrics }) };
  }

  /** Frees the programs. */
  async close(): Promise<void> {
    const handles = [...this.#handles.values()];
    this.#handles.clear();
    for (const handle of handles) await this.#bound.unload(handle);
  }

  async #program(tensors: Record<string, HostTensor>): Promise<ProgramHandle> {
    const exact = `${this.#bound.variantKey} ${batchSignature(tensors)}`;
    const anyRows = exact.replace(/\[\d+/g, '[*');
    for (const key of [anyRows, exact]) {
      const known = this.#handles.get(key);
      if (known !== undefined) return this.#use(key, known);
    }
    let key = anyRows;
    let program: Program;
    try {
      program = this.#compile(batchInputs(tensors, new Extent(ROWS, this.#batchSize)));
    } catch (error) {
      if (!(error instanceof FerroError) || error.code !== 'INVALID_SHAPE') throw error;
      key = exact;
      program = this.#compile(batchInputs(tensors)); // throws again when it was not about the number of rows
    }
    for (const [oldest, handle] of [...this.#handles].slice(0, Math.max(0, this.#handles.size + 1 - MAX_PROGRAMS))) {
      this.#handles.delete(oldest);
      await this.#bound.unload(handle);
    }
    return this.#use(key, await this.#bound.load(program));
  }

  #use(key: string, handle: ProgramHandle): ProgramHandle {
    this.#handles.delete(key);
    this.#handles.set(key, handle);
    return handle;
  }

  #compile(batch: Record<string, Tensor>): Program {
    const rows = this.#bound.trace(false, () => asRowLoss(this.#loss(this.#bound.module, batch)));
    return compile({ name: 'evaluate', outputs: { sum: sum(rows.sum), count: rows.count, ...metricOutputs(rows) }, effects: [] });
  }
}
