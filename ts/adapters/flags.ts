// The command line's words for a new adapter. Which command takes them is the command's business.
import { FerroError } from '../errors';
import type { AdapterOptions } from './choose';

/** Values of the options listed in `LORA_OPTIONS`. */
export interface LoraFlags {
  loraRank?: number;
  loraAlpha?: number;
  loraDropout?: number;
  loraTargetModules?: readonly string[];
}

/** The options of `addAdapter` that flags ask for; null without `--lora-rank`. @throws INVALID_OPTION for the others without it */
export function adapterFromFlags(
  { loraRank, loraAlpha, loraDropout, loraTargetModules }: LoraFlags,
  command = 'train',
): AdapterOptions | null {
  if (loraRank !== undefined) return { rank: loraRank, alpha: loraAlpha, dropout: loraDropout, targetModules: loraTargetModules };
  const others = { 'lora-alpha': loraAlpha, 'lora-dropout': loraDropout || undefined, 'lora-target-modules': loraTargetModules };
  const [first] = Object.entries(others).filter(([, value]) => value !== undefined);
  if (first !== undefined) throw new FerroError('INVALID_OPTION', `${command}: "--${first[0]}" needs "--lora-rank", got none`);
  return null;
}
