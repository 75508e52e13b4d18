// From outputs and effects to a program: prune, lower, fuse, place results, schedule, plan memory, encode.
import { FerroError } from '../errors';
import { reachable } from './autodiff';
import { type Effect, effectTensors } from './effects';
import { encode } from './encode';
import { fuse } from './fusion';
import { onePassHeads } from './head';
import type { Instruction } from './ir';
import { Lowering } from './lower';
import { checkOption } from './op';
import { spreadPeak } from './peak';
import { type Placement, planMemory } from './plan';
import type { Program } from './program';
import { appendResults, keptBuffers } from './results';
import { Tensor } from './tensor';

/** What a program is to do. */
export interface CompileRequest {
  /** For people and error reports. */
  name: string;
  /** Tensors to be read after a run, by name. */
  outputs?: Readonly<Record<string, Tensor>>;
  /** What the program leaves in variables, in this order. */
  effects?: readonly Effect[];
}

/** Switches for tests: each optimisation must not change what a program computes. */
export interface CompileSwitches {
  fuse?: boolean;
  inPlace?: boolean;
  /** Bytes of logits that the one-pass head may keep. */
  headLogitsBytes?: number;
}

/** A program with what went into it, for tests of the plan. */
export interface CompiledDetail {
  readonly program: Program;
  readonly instructions: readonly Instruction[];
  readonly stages: readonly number[];
  readonly placements: readonly Placement[];
}

/** As `compile`, with switches and details. */
export function compileDetailed(request: CompileRequest, switches: CompileSwitches = {}): CompiledDetail {
  const { name, outputs = {}, effects = [] } = request;
  checkOption(typeof name === 'string', 'compile', 'name must be a string', name);
  for (const [key, tensor] of Object.entries(outputs))
    checkOption(tensor instanceof Tensor, 'compile', `output "${key}" must be a Tensor`, tensor);
  if (Object.keys(outputs).length === 0 && effects.length === 0) {
    throw new FerroError('INVALID_OPTION', `compile: a program must have an output or an effect, got none for "${name}"`);
  }
  const lowering = new Lowering();
  lowering.lower(reachable([...Object.values(outputs), ...effects.flatMap(effectTensors)]));
  const { fuse: fusing = true, inPlace = true, headLogitsBytes } = switches;
  const kept = keptBuffers(lowering, outputs, effects);
  const fused = fusing ? fuse(onePassHeads(lowering, lowering.instructions, headLogitsBytes), kept) : lowering.instructions;
  const { instructions, ports } = appendResults(lowering, fused, outputs, effects);
  const stages = spreadPeak(instructions, { inPlace });
  const placements = planMemory(instructions, stages, { inPlace });
  const program = encode({
    name,
    instructions,
    stages,
    placements,
    inputs: [...lowering.inputs.values()],
    outputs: ports.map((port) => port.buffer),
  });
  return { program, instructions, stages, placements };
}

/**
 * Compiles a program: only what outputs and effects need, joined where that is safe, in stages of independent instructions, with every buffer placed.
 * @throws INVALID_SHAPE, INVALID_DTYPE, INVALID_OPTION, OUT_OF_MEMORY (one buffer of 1 GiB or more).
 */
export function compile(request: CompileRequest): Program {
  return compileDetailed(request).program;
}
