// A loss as the training loop sees it. What a loss is, is said in ts/nn/loss.ts: modules and losses are written without an engine or a loop.

export { asRowLoss, type Loss, type RowLoss } from '../nn';
