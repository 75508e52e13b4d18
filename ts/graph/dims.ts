// Dimensions of symbolic tensors: numbers, sizes known only at run time (Extent) and products of both.
// This file knows nothing of tensors or engines; it is arithmetic, equality and printing of sizes.
import { FerroError, show } from '../errors';

/** The most extents one dimension or one product of dimensions may hold: a slot of the program format has room for three. */
export const MAX_EXTENTS = 3;

/** A size known only at run time. Buffers are sized for `max`; a run gives the value, 0 to `max`. Two extents are the same when name and max agree. */
export class Extent {
  readonly name: string;
  readonly max: number;
  /** @throws INVALID_SHAPE when `max` is not a positive integer below 2^31 or the name is empty. */
  constructor(name: string, max: number) {
    if (typeof name !== 'string' || name === '')
      throw new FerroError('INVALID_SHAPE', `Extent: name must not be empty, got ${JSON.stringify(name)}`);
    if (!Number.isInteger(max) || max < 1 || max >= 2 ** 31) {
      throw new FerroError('INVALID_SHAPE', `Extent: max of "${name}" must be a positive integer below 2^31, got ${max}`);
    }
    this.name = name;
    this.max = max;
  }
  toString(): string {
    return `${this.name}≤${this.max}`;
  }
}

/** factor × product of extents, canonical: at least one extent, sorted by name, and never a single extent with factor 1. Made by `dimMul`. */
export class DimProduct {
  readonly factor: number;
  readonly extents: readonly Extent[];
  constructor(factor: number, extents: readonly Extent[]) {
    this.factor = factor;
    this.extents = extents;
  }
  toString(): string {
    return [...(this.factor === 1 ? [] : [this.factor]), ...this.extents].join('·');
  }
}

/** One size: a number, a run-time extent, or a product of them. */
export type Dim = number | Extent | DimProduct;
/** Sizes, outermost axis first. `[]` is a scalar with one element. */
export type Shape = readonly Dim[];

/** The static factor of a dimension. */
export function dimFactor(dim: Dim): number {
  return typeof dim === 'number' ? dim : dim instanceof Extent ? 1 : dim.factor;
}

/** The extents of a dimension, sorted by name. */
export function dimExtents(dim: Dim): readonly Extent[] {
  return typeof dim === 'number' ? [] : dim instanceof Extent ? [dim] : dim.extents;
}

/** The canonical product of dimensions. @throws INVALID_SHAPE beyond three extents. */
export function dimMul(...dims: readonly Dim[]): Dim {
  let factor = 1;
  const extents: Extent[] = [];
  for (const dim of dims) {
    factor *= dimFactor(dim);
    extents.push(...dimExtents(dim));
  }
  if (factor === 0 || extents.length === 0) return factor;
  if (extents.length > MAX_EXTENTS) {
    throw new FerroError('INVALID_SHAPE', `dimMul: a product holds at most ${MAX_EXTENTS} extents, got ${extents.join('·')}`);
  }
  extents.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : a.max - b.max));
  return factor === 1 && extents.length === 1 ? extents[0] : new DimProduct(factor, extents);
}

/** Whether two dimensions are equal for every value of their extents. */
export function dimEquals(a: Dim, b: Dim): boolean {
  const left = dimExtents(a);
  const right = dimExtents(b);
  return (
    dimFactor(a) === dimFactor(b) &&
    left.length === right.length &&
    left.every((e, i) => e.name === right[i].name && e.max === right[i].max)
  );
}

/** The largest value a dimension can take. */
export function dimMax(dim: Dim): number {
  return dimExtents(dim).reduce((product, extent) => product * extent.max, dimFactor(dim));
}

/** The value of a dimension for given extents (by name). @throws INVALID_SHAPE when an extent is missing or out of range. */
export function dimValue(dim: Dim, values: Readonly<Record<string, number>>): number {
  let product = dimFactor(dim);
  for (const extent of dimExtents(dim)) {
    const value = values[extent.name];
    if (!Number.isInteger(value) || value < 0 || value > extent.max) {
      throw new FerroError('INVALID_SHAPE', `run: extent "${extent.name}" must be an integer from 0 to ${extent.max}, got ${value}`);
    }
    product *= value;
  }
  return product;
}

/** The number of elements of a shape. @throws INVALID_SHAPE beyond three extents. */
export function numel(shape: Shape): Dim {
  return dimMul(...shape);
}

/** The largest number of elements of a shape. */
export function maxNumel(shape: Shape): number {
  return shape.reduce<number>((product, dim) => product * dimMax(dim), 1);
}

/** The shape for given extents. */
export function shapeValue(shape: Shape, values: Readonly<Record<string, number>>): number[] {
  return shape.map((dim) => dimValue(dim, values));
}

/** Whether two shapes have the same rank and equal dimensions. */
export function shapeEquals(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((dim, i) => dimEquals(dim, b[i]));
}

/** A shape as text, such as `[batch≤12, 64, 3·time≤8]`. */
export function shapeText(shape: Shape): string {
  return `[${shape.map(String).join(', ')}]`;
}

/** Checks a shape given by a user. @throws INVALID_SHAPE naming `op`. */
export function checkShape(op: string, shape: Shape): void {
  if (!Array.isArray(shape)) throw new FerroError('INVALID_SHAPE', `${op}: shape must be an array of sizes, got ${show(shape)}`);
  for (const dim of shape) {
    const fine = typeof dim === 'number' ? Number.isSafeInteger(dim) && dim >= 0 : dim instanceof Extent || dim instanceof DimProduct;
    if (!fine) throw new FerroError('INVALID_SHAPE', `${op}: sizes must be integers of at least 0 or extents, got ${shapeText(shape)}`);
  }
}
