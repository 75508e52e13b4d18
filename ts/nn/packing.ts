// Several documents in one row of a batch: what the layers are told of it. No layer itself.

import type { Tensor } from '../graph';

/** Where documents lie in rows [B, T]. */
export interface Packing {
  /** i32 [B, T]: the first place that each place sees; with it documents in one row do not see each other. Default: all see the whole row up to themselves. */
  readonly starts?: Tensor | undefined;
  /** i32 [B, T]: the place of each token in its own document. Default: its place in the row. */
  readonly positions?: Tensor | undefined;
}
