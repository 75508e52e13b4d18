// Checks of what a layer's constructor gets. Shapes of tensors are checked by the ops (ts/graph).

import { FerroError, show } from '../errors';

const MAX_SIZE = 2147483647; // sizes travel as 32-bit integers

/** @throws INVALID_OPTION unless `value` is an integer from 1 to 2^31 − 1. */
export function checkSize(op: string, name: string, value: number): void {
  if (!Number.isInteger(value) || value < 1 || value > MAX_SIZE) {
    throw new FerroError('INVALID_OPTION', `${op}: "${name}" must be a positive integer, got ${show(value)}`);
  }
}

/** @throws INVALID_OPTION unless 0 ≤ value < 1. */
export function checkDropout(op: string, value: number): void {
  if (!(typeof value === 'number' && value >= 0 && value < 1)) {
    throw new FerroError('INVALID_OPTION', `${op}: "dropout" must be a number from 0 to below 1, got ${show(value)}`);
  }
}

/** @throws INVALID_OPTION unless nHead divides the width. */
export function checkHeads(op: string, width: number, nHead: number, widthName = 'nEmbd'): void {
  if (width % nHead !== 0) {
    throw new FerroError(
      'INVALID_OPTION',
      `${op}: "${widthName}" must be divisible by nHead, got ${widthName} ${width} and nHead ${nHead}`,
    );
  }
}

/** The rows of a matrix [rows, width]. @throws INVALID_SHAPE for another shape */
export function rowsOf(op: string, { shape }: { readonly shape: readonly number[] }, width: number): number {
  if (shape.length === 2 && shape[1] === width) return shape[0];
  throw new FerroError('INVALID_SHAPE', `${op}: the weight must be [rows, ${width}], got [${shape.join(', ')}]`);
}
