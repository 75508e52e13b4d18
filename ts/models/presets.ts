// Named sizes of models: minGPT's and GPT-2's. A preset is a size and nothing else.

/** What a preset fixes. */
export interface Preset {
  readonly nLayer: number;
  readonly nHead: number;
  readonly nEmbd: number;
  /** The context length unless another is given. */
  readonly blockSize: number;
}

/** The presets by name. gpt-nano, -micro, -mini: sizes of Karpathy's minGPT; gpt2 …: sizes of Radford et al. 2019. */
export const PRESETS = {
  'gpt-nano': { nLayer: 3, nHead: 3, nEmbd: 48, blockSize: 64 },
  'gpt-micro': { nLayer: 4, nHead: 4, nEmbd: 128, blockSize: 64 },
  'gpt-mini': { nLayer: 6, nHead: 6, nEmbd: 192, blockSize: 64 },
  gpt2: { nLayer: 12, nHead: 12, nEmbd: 768, blockSize: 1024 },
  'gpt2-medium': { nLayer: 24, nHead: 16, nEmbd: 1024, blockSize: 1024 },
  'gpt2-large': { nLayer: 36, nHead: 20, nEmbd: 1280, blockSize: 1024 },
  'gpt2-xl': { nLayer: 48, nHead: 25, nEmbd: 1600, blockSize: 1024 },
} as const satisfies Record<string, Preset>;

/** The name of a preset. */
export type PresetName = keyof typeof PRESETS;
