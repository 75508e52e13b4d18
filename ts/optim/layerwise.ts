// Learning rates that fall with the depth of a layer, as for fine-tuning ELECTRA, BERT and their like (Clark et al. 2020; Howard and Ruder 2018): names of parameters to depths, depths to
// factors. It knows names alone, no module.
import { FerroError, show } from '../errors';
import { integerPower } from '../math';

/** A block of a stack: `transformer.h.3.`, `model.layers.3.`, `decoder.layers.3.` */
const BLOCK = /^(?:(.*)\.)?(h|layers)\.(\d+)\./;
/** Tables of tokens and positions. */
const EMBEDDING = /(?:^|\.)(?:wte|wpe|[a-z_]*embed[a-z_]*|[a-z_]*positions)(?:\.|$)/;

/**
 * How far each parameter is below the top: 0 for what is in no block (a head, the final norm), 1 for the last block of a stack, and so on down; tables of tokens and
 * positions are one below the first block of the longest stack, also where the head is the token table.
 * @param names all parameters of the model
 * @throws INVALID_OPTION where no name is one of a block
 */
export function layerDepths(op: string, names: readonly string[]): Map<string, number> {
  const blocks = new Map<string, number>();
  for (const name of names) {
    const [, stack = '', list, index] = BLOCK.exec(name) ?? [];
    if (list !== undefined) blocks.set(`${stack}.${list}`, Math.max(blocks.get(`${stack}.${list}`) ?? 0, Number(index) + 1));
  }
  if (blocks.size === 0) {
    const got = show(names);
    throw new FerroError('INVALID_OPTION', `${op}: "layerwiseLearningRateDecay" needs a model with blocks (h.0, layers.0), got ${got}`);
  }
  const deepest = Math.max(...blocks.values()) + 1;
  return new Map(
    names.map((name) => {
      const [, stack = '', list, index] = BLOCK.exec(name) ?? [];
      if (list !== undefined) return [name, blocks.get(`${stack}.${list}`)! - Number(index)];
      return [name, EMBEDDING.test(name) ? deepest : 0];
    }),
  );
}

/** decay^depth for each parameter. @throws as `layerDepths` */
export function layerwiseFactors(op: string, names: readonly string[], decay: number): Map<string, number> {
  return new Map(Array.from(layerDepths(op, names), ([name, depth]) => [name, integerPower(decay, depth)]));
}
