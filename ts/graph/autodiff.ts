// Reverse-mode differentiation: from a loss back to chosen variables, by each op's gradient rule. The result is more graph; nothing is computed here.
import { FerroError } from '../errors';
import { Recomputation } from './checkpoint';
import { checkOption } from './op';
import { add } from './ops/binary';
import { fill } from './ops/fill';
import { type Node, Tensor, type Variable, variableOf } from './tensor';

/** The nodes a tensor depends on, itself included, in order of creation. */
export function reachable(tensors: readonly Tensor[]): Node[] {
  const seen = new Set<Node>();
  const stack = tensors.map((tensor) => tensor.node);
  while (stack.length > 0) {
    const node = stack.pop() as Node;
    if (seen.has(node)) continue;
    seen.add(node);
    for (const input of node.inputs) stack.push(input.node);
  }
  return [...seen].sort((a, b) => a.id - b.id);
}

/** The nodes that depend on one of the leaves. */
function leadingTo(nodes: readonly Node[], leaves: ReadonlySet<Node>): Set<Node> {
  const leads = new Set<Node>();
  for (const node of nodes) if (leaves.has(node) || node.inputs.some((input) => leads.has(input.node))) leads.add(node);
  return leads;
}

/**
 * The gradients of Σ loss with respect to variables (the seed is ones of the loss's shape). loss: f32 of any shape. Each gradient has its variable's shape.
 * Nodes that lead to none of the variables get no gradient, so frozen parameters cost nothing.
 * @throws NOT_DIFFERENTIABLE when the loss does not depend on a variable through differentiable operations; INVALID_OPTION, INVALID_DTYPE.
 */
export function differentiate(loss: Tensor, wrt: readonly Variable[]): Map<Variable, Tensor> {
  checkOption(loss instanceof Tensor, 'differentiate', 'loss must be a Tensor', loss);
  checkOption(
    new Set(wrt).size === wrt.length,
    'differentiate',
    'each variable may be listed once',
    wrt.map((variable) => variable.name).join(', '),
  );
  if (loss.dtype !== 'f32') throw new FerroError('INVALID_DTYPE', `differentiate: loss must be f32, got ${loss}`);
  const integer = wrt.find((variable) => variable.dtype !== 'f32');
  if (integer !== undefined)
    throw new FerroError('NOT_DIFFERENTIABLE', `differentiate: variables must be f32, got "${integer.name}" of ${integer.dtype}`);
  const nodes = reachable([loss]);
  const leads = leadingTo(nodes, new Set(wrt.map((variable) => variable.tensor.node)));
  for (const variable of wrt) {
    if (!leads.has(variable.tensor.node)) {
      throw new FerroError(
        'NOT_DIFFERENTIABLE',
        `differentiate: the loss must depend on every variable asked for, got none on "${variable.name}"`,
      );
    }
  }
  const gradients = new Map<Tensor, Tensor>([[loss, fill(loss.shape, 1)]]);
  const recomputation = new Recomputation(nodes);
  for (const node of nodes.reverse()) if (leads.has(node) && node.inputs.length > 0) backward(node, recomputation, leads, gradients);
  return new Map(wrt.map((variable) => [variable, gradientOf(variable, gradients)]));
}

function gradientOf(variable: Variable, gradients: ReadonlyMap<Tensor, Tensor>): Tensor {
  const gradient = gradients.get(variable.tensor);
  if (gradient === undefined) {
    throw new FerroError(
      'NOT_DIFFERENTIABLE',
      `differentiate: the loss must depend on "${variable.name}" through differentiable operands, got only others (ids, labels, masks)`,
    );
  }
  return gradient;
}

/** Applies one node's gradient rule, on values computed again where the node is in a checkpoint, and adds what it gives to the gradients of its inputs. */
function backward(node: Node, recomputation: Recomputation, leads: ReadonlySet<Node>, gradients: Map<Tensor, Tensor>): void {
  const upstream = node.outputs.map((output) => gradients.get(output));
  if (upstream.every((gradient) => gradient === undefined)) return;
  const needed = node.inputs.map((input) => leads.has(input.node));
  if (node.op.gradient === undefined) {
    const names = node.inputs.flatMap((input) => variableOf(input)?.name ?? []).join(', ');
    throw new FerroError(
      'NOT_DIFFERENTIABLE',
      `differentiate: every operation between the loss and the variables must have a gradient rule, got ${node.op.name}${names && ` (of ${names})`}`,
    );
  }
  const { inputs, outputs } = recomputation.of(node);
  const results = node.op.gradient({ node, attrs: node.attrs, inputs, outputs, upstream, needed });
  node.inputs.forEach((input, index) => {
    const gradient = results[index];
    if (!needed[index] || gradient === undefined) return;
    const sum = gradients.get(input);
    gradients.set(input, sum === undefined ? gradient : add(sum, gradient));
  });
}
