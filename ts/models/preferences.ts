// Preference losses: direct preference optimisation (DPO; Rafailov et al. 2023, arXiv:2305.18290) and two of its relatives, on pairs of a chosen and a rejected
// text. The reference's log-probabilities come with the batch (ts/train/preferences.ts computes them once).
// Letters in shapes: B pairs, T time.

import { FerroError } from '../errors';
import {
  abs,
  add,
  addInteger,
  addScalar,
  constant,
  div,
  embedding,
  fill,
  IGNORE_INDEX,
  logSigmoid,
  neg,
  relu,
  reshape,
  scale,
  square,
  sub,
  sum,
  sumLast,
  type Tensor,
} from '../graph';
import type { Loss, RowLoss } from '../nn';
import { DPO_OPTIONS, readOptions } from '../options';
import type { CausalLM } from './causalLM';

/** Options of `dpoLoss`. */
export interface DpoOptions {
  /** How strongly the model is held to the reference; larger is nearer. Default 0.1. */
  beta?: number;
  /** Probability that a preference is the wrong way round (conservative DPO; Mitchell 2023). For 'sigmoid'. Default 0. */
  labelSmoothing?: number;
  /**
   * Of the margin h, the difference of both log-ratios to the reference: 'sigmoid' −ln σ(βh) (DPO), 'hinge' max(0, 1 − βh) (Zhao et al. 2023), 'ipo' (h − 1/(2β))²
   * (Azar et al. 2023, arXiv:2310.12036) with log-ratios per token, as TRL has it from its authors. Default 'sigmoid'.
   */
  lossType?: 'sigmoid' | 'ipo' | 'hinge';
}

/** What a batch has. */
const TENSORS = ['chosenIds', 'chosenLabels', 'rejectedIds', 'rejectedLabels', 'chosenReference', 'rejectedReference'] as const;

/** log P(text) of each row, summed over its counted labels: ids, labels i32 [B, T] → f32 [B, 1]. */
export function sequenceLogProbs(module: CausalLM, ids: Tensor, labels: Tensor): Tensor {
  return neg(sumLast(module.loss(ids, labels).sum));
}

/**
 * The loss of a batch { chosenIds, chosenLabels, rejectedIds, rejectedLabels i32 [B, T], chosenReference, rejectedReference f32 [B] }; the references are the frozen
 * model's log-probabilities of the two texts, summed over counted labels. Counts pairs, and tells TRL's rewards/chosen, rewards/rejected, rewards/accuracies,
 * rewards/margins, logps/chosen and logps/rejected. Both texts of a pair see the same dropout masks.
 * @throws INVALID_OPTION, UNKNOWN_OPTION
 */
export function dpoLoss(options: DpoOptions = {}): Loss<CausalLM> {
  const { beta, labelSmoothing, lossType } = readOptions('dpoLoss', options, DPO_OPTIONS);
  if (lossType !== 'sigmoid' && labelSmoothing > 0)
    throw new FerroError('INVALID_OPTION', `dpoLoss: "labelSmoothing" is for lossType sigmoid, got ${labelSmoothing} with ${lossType}`);
  const loss = (module: CausalLM, batch: Record<string, Tensor>): RowLoss => {
    const missing = TENSORS.find((name) => batch[name] === undefined);
    if (missing !== undefined)
      throw new FerroError(
        'INVALID_OPTION',
        `dpoLoss: a batch must have ${TENSORS.join(', ')} (withReference gives the last two), got none of the name ${missing}`,
      );
    const chosen = sequenceLogProbs(module, batch.chosenIds, batch.chosenLabels); // [B, 1]
    const rejected = sequenceLogProbs(module, batch.rejectedIds, batch.rejectedLabels);
    const rows = chosen.shape[0];
    const ratio = (policy: Tensor, reference: Tensor) => sub(policy, reshape(reference, [rows, 1]));
    const chosenRatio = ratio(chosen, batch.chosenReference);
    const rejectedRatio = ratio(rejected, batch.rejectedReference);
    const margin = sub(chosenRatio, rejectedRatio); // [B, 1]
    return {
      sum:
        lossType === 'ipo'
          ? ipo(perToken(chosenRatio, batch.chosenLabels, module), perToken(rejectedRatio, batch.rejectedLabels, module), beta)
          : pairLoss(margin, beta, labelSmoothing, lossType),
      count: sum(fill([rows], 1)),
      metrics: {
        'rewards/chosen': scale(chosenRatio, beta),
        'rewards/rejected': scale(rejectedRatio, beta),
        'rewards/accuracies': isPositive(margin),
        'rewards/margins': scale(margin, beta),
        'logps/chosen': chosen,
        'logps/rejected': rejected,
      },
    };
  };
  return Object.assign(loss, { description: { name: 'dpo', beta, label_smoothing: labelSmoothing, loss_type: lossType } });
}

/** A text's log-ratio [B, 1] divided by the number of its counted labels. */
function perToken(ratio: Tensor, labels: Tensor, { config }: CausalLM): Tensor {
  // A table that says of a label whether it counts: 0 for −100, 1 for a token.
  const counts = new Float32Array(config.vocabSize - IGNORE_INDEX).fill(1);
  counts[0] = 0;
  const each = embedding(constant(counts, [counts.length, 1]), addInteger(labels, -IGNORE_INDEX)); // [B, T, 1]
  const number = sumLast(reshape(each, labels.shape));
  return div(ratio, add(number, relu(addScalar(neg(number), 1)))); // at least 1
}

function ipo(chosen: Tensor, rejected: Tensor, beta: number): Tensor {
  return square(addScalar(sub(chosen, rejected), -1 / (2 * beta)));
}

function pairLoss(margin: Tensor, beta: number, smoothing: number, lossType: 'sigmoid' | 'hinge'): Tensor {
  const h = scale(margin, beta);
  if (lossType === 'hinge') return relu(addScalar(neg(h), 1));
  const right = scale(logSigmoid(h), smoothing - 1);
  return smoothing === 0 ? right : add(right, scale(logSigmoid(neg(h)), -smoothing));
}

/** 1 where x > 0, else 0. The smallest normal number keeps 0/0 out. */
function isPositive(x: Tensor): Tensor {
  return div(relu(x), addScalar(abs(x), 2 ** -126));
}
