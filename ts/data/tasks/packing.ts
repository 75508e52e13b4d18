// Packing: which sequences share a row. First fit, longest first (Johnson 1973: at most 11/9 of the fewest rows, and some). Lengths in, lists of indices out.

/**
 * Rows of at most `capacity`, each a list of indices into `lengths`; every index in exactly one. Equal lengths keep their order, so the result is a function of
 * the arguments alone. O(n log n): a tree holds the largest room among rows.
 * @param lengths integers from 1 to capacity
 */
export function packLengths(lengths: readonly number[], capacity: number): number[][] {
  const order = Array.from(lengths, (_, index) => index).sort((a, b) => lengths[b] - lengths[a] || a - b);
  let leaves = 1;
  while (leaves < lengths.length) leaves *= 2;
  // Node i has children 2i and 2i + 1; leaf `leaves + r` is the room of row r. Rows not begun yet have all of it.
  const room = new Int32Array(2 * leaves).fill(capacity);
  const rows: number[][] = [];
  for (const index of order) {
    let node = 1;
    while (node < leaves) node = room[2 * node] >= lengths[index] ? 2 * node : 2 * node + 1;
    const row = node - leaves;
    if (row === rows.length) rows.push([]);
    rows[row].push(index);
    room[node] -= lengths[index];
    for (node >>= 1; node >= 1; node >>= 1) room[node] = Math.max(room[2 * node], room[2 * node + 1]);
  }
  return rows;
}
