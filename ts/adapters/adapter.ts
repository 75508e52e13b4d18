// One adapter of a bound module: its branches and copies of the modules it trains whole, as variables and as parameters. It has no memory of its own and does
// not know whether it is active; ./adapters gives it both.
import { type BoundModule, Parameter } from '../bind';
import { FerroError } from '../errors';
import { Variable } from '../graph';
import { type AdapterConfig, type AdapterContents, adapterToFiles, type FileData, type LayerRank, type TensorSource } from '../io';
import { Linear, LoraBranch, type LoraLayer } from '../nn';

/** A parameter that an adapter trains whole: the module's own variable, and the adapter's. */
export interface SavedParameter {
  readonly base: Variable;
  readonly copy: Variable;
}

/** What an adapter is made of. */
export interface AdapterParts {
  /** By path of the layer. */
  readonly layers: ReadonlyMap<string, { readonly layer: LoraLayer; readonly ranks: LayerRank }>;
  /** Names of the module's parameters that are trained whole, with the layer each belongs to (undefined: no linear layer). */
  readonly saved: ReadonlyMap<string, { readonly base: Variable; readonly owner: LoraLayer | undefined }>;
  /** `target_modules` and `modules_to_save` for PEFT. */
  readonly targetModules: readonly string[];
  readonly modulesToSave: readonly string[];
}

/** A low-rank adapter (LoRA) of one model: what is trained, saved and switched in place of the model's own weights. */
export class Adapter {
  /** By path of the layer. */
  readonly branches: ReadonlyMap<string, { readonly layer: LoraLayer; readonly branch: LoraBranch; readonly ranks: LayerRank }>;
  /** Copies of parameters that are trained whole, by the module's names. */
  readonly saved: ReadonlyMap<string, SavedParameter>;
  /**
   * What a training step trains while the adapter is active, by PEFT's names in a running model: `….c_attn.lora_A.default.weight` [rank, in],
   * `….c_attn.lora_B.default.weight` [out, rank], `score.modules_to_save.default.weight` of a module that is trained whole.
   */
  readonly parameters: ReadonlyMap<string, Parameter>;

  constructor(
    bound: BoundModule,
    readonly name: string,
    readonly config: AdapterConfig,
    readonly parts: AdapterParts,
  ) {
    const { dropout, useRslora } = config;
    const branchOf = (path: string, layer: LoraLayer, ranks: LayerRank) =>
      new LoraBranch(layer, path, name, { ...ranks, dropout, useRslora });
    this.branches = new Map(
      Array.from(parts.layers, ([path, { layer, ranks }]) => [path, { layer, ranks, branch: branchOf(path, layer, ranks) }]),
    );
    this.saved = new Map(Array.from(parts.saved, ([key, { base, owner }]) => [key, { base, copy: copyOf(key, base, owner) }]));
    const own = (key: string) => `${key.slice(0, key.lastIndexOf('.'))}.modules_to_save.${name}${key.slice(key.lastIndexOf('.'))}`;
    const variables = [
      ...[...this.branches.values()].flatMap(({ branch: { a, b } }) => [[a.name, a] as const, [b.name, b] as const]),
      ...Array.from(this.saved, ([key, { copy }]) => [own(key), copy] as const),
    ];
    this.parameters = new Map(variables.map(([key, variable]) => [key, new Parameter(bound, key, variable)]));
  }

  /** Its variables. */
  get variables(): Variable[] {
    return Array.from(this.parameters.values(), ({ variable }) => variable);
  }

  /** Numbers it adds to a model. */
  get size(): number {
    return this.variables.reduce((sum, { size }) => sum + size, 0);
  }

  /** What run.json keeps of it: enough to make it again. */
  get description(): Record<string, unknown> {
    const { rank, alpha, dropout, useRslora } = this.config;
    const { targetModules, modulesToSave } = this.parts;
    return {
      name: this.name,
      r: rank,
      lora_alpha: alpha,
      lora_dropout: dropout,
      use_rslora: useRslora,
      target_modules: targetModules,
      modules_to_save: modulesToSave,
    };
  }

  /** PEFT's two files; values are read from the engine when they are written. */
  files(): Map<string, FileData> {
    const held = new Map(Array.from(this.parameters.values(), (parameter) => [parameter.variable, parameter]));
    const source = (variable: Variable): TensorSource => ({
      dtype: 'F32',
      shape: variable.shape,
      async *pieces() {
        const { buffer, byteOffset, byteLength } = await held.get(variable)!.data();
        yield new Uint8Array(buffer, byteOffset, byteLength);
      },
    });
    const contents: AdapterContents = {
      config: this.config,
      targetModules: this.parts.targetModules,
      modulesToSave: this.parts.modulesToSave,
      fanInFanOut: [...this.branches.values()].some(({ layer }) => layer instanceof Linear),
      layers: new Map(
        Array.from(this.branches, ([path, { ranks, branch }]) => [path, { ...ranks, a: source(branch.a), b: source(branch.b) }]),
      ),
      saved: new Map(Array.from(this.saved, ([key, { copy }]) => [key, source(copy)])),
    };
    return adapterToFiles(contents);
  }
}

/** A variable of the same meaning in f32, whatever the base stores. */
function copyOf(name: string, base: Variable, owner: LoraLayer | undefined): Variable {
  if (base.dtype === 'i32')
    throw new FerroError('INVALID_OPTION', `addAdapter: "modulesToSave" must name modules of numbers, got "${name}" of integers`);
  return new Variable({ name, shape: plainShapeOf(base, owner), decay: base.decay });
}

/** The shape of a variable's values in f32: `Linear` keeps int8 blocks transposed. */
export function plainShapeOf(base: Variable, owner: LoraLayer | undefined): readonly number[] {
  return base.dtype === 'q8' && owner instanceof Linear ? [...base.shape].reverse() : base.shape;
}
