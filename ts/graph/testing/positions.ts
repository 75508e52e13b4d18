// Rows with a position in a table, as several instructions of the test interpreter have them.
import type { KernelArgs } from './cells';

/** Runs `f` for each row of x [batch, time, cols]: its first element, its width and its position. @throws when a position is beyond the table. */
export function eachPosition({ dim, maybe }: KernelArgs, f: (first: number, cols: number, position: number) => void): void {
  const [batch, time, cols, position] = ['batch', 'time', 'cols', 'position'].map(dim);
  for (let row = 0; row < batch * time; row++) {
    const begin = maybe('positions')?.get(Math.floor(row / time)) ?? position;
    if (begin < 0 || begin + time > dim('table_rows'))
      throw new Error(`position ${begin} + ${time} is beyond the table's ${dim('table_rows')} rows`);
    f(row * cols, cols, begin + (row % time));
  }
}
