// Activation recomputation: what is built inside `checkpoint` is not kept for the backward pass but computed a second time there (Chen et al. 2016,
// arXiv:1604.06174). Here are the regions and their copies; autodiff.ts asks for them, schedule.ts starts a copy as late as it can.
import { FerroError } from '../errors';
import { recomputedOp } from './ops/recomputed';
import { inRegion, Node, type Region, type Tensor } from './tensor';

/**
 * Builds a part of a graph whose inner values are not kept from forward to backward: only what it reads from outside stays, and `differentiate`
 * computes the part again from that, instruction by instruction, so every bit is as without, dropout included. It costs the part's arithmetic once
 * more. What comes out of `build` may be of any form. Inside another checkpoint it belongs to the outer one.
 * @param build runs at once and must not be asynchronous
 * @throws INVALID_OPTION when it is no function or gives a promise
 */
export function checkpoint<T>(build: () => T): T {
  if (typeof build !== 'function') throw new FerroError('INVALID_OPTION', `checkpoint: build must be a function, got ${typeof build}`);
  const built = inRegion(build);
  if (typeof (built as { then?: unknown } | null | undefined)?.then === 'function')
    throw new FerroError('INVALID_OPTION', 'checkpoint: build must not be asynchronous, got a promise');
  return built;
}

/** The second computation of regions, made when the first of a region's nodes is asked for. */
export class Recomputation {
  readonly #nodes: readonly Node[];
  readonly #copies = new Map<Region, Map<Node, Node>>();
  readonly #again = new Map<Node, Node>();

  /** @param nodes everything the loss depends on, in order of creation */
  constructor(nodes: readonly Node[]) {
    this.#nodes = [...nodes];
  }

  /** The inputs and outputs that a gradient rule is to read: those of the node's copy where there is one, else its own. */
  of(node: Node): Pick<Node, 'inputs' | 'outputs'> {
    if (node.region === undefined) return { inputs: node.inputs.map((input) => this.#fresh(input)), outputs: node.outputs };
    let copies = this.#copies.get(node.region);
    if (copies === undefined) {
      copies = copyRegion(this.#nodes.filter(({ region }) => region === node.region));
      this.#copies.set(node.region, copies);
    }
    return copies.get(node) ?? node;
  }

  /** What stands behind `recomputed`, computed a second time; any other tensor is itself. */
  #fresh(tensor: Tensor): Tensor {
    if (tensor.node.op !== (recomputedOp as unknown)) return tensor;
    const [source] = tensor.node.inputs;
    const { op, inputs, attrs, outputs } = source.node;
    const again =
      this.#again.get(source.node) ??
      new Node(
        op,
        inputs.map((input) => this.#fresh(input)),
        attrs,
        outputs,
        true,
      );
    this.#again.set(source.node, again);
    return again.outputs[source.output];
  }
}

/** Copies of a region's nodes that read each other. Leaves and what has no gradient rule (counts, writes to caches) are computed once. */
function copyRegion(nodes: readonly Node[]): Map<Node, Node> {
  const copies = new Map<Node, Node>();
  const copyOf = (tensor: Tensor): Tensor => copies.get(tensor.node)?.outputs[tensor.output] ?? tensor;
  for (const node of nodes) {
    if (node.inputs.length === 0 || node.op.gradient === undefined) continue;
    copies.set(node, new Node(node.op, node.inputs.map(copyOf), node.attrs, node.outputs, true));
  }
  return copies;
}
