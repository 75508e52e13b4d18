// Checks a compiled program from its words alone, as suspicious as an engine: stages of independent instructions, sharing of memory only where the
// opcode table allows it, addresses inside banks; and the plan's own promise that what lives at the same time lies apart.
import { expect } from 'vitest';
import type { CompiledDetail } from '../compile';
import { type DecodedInstruction, type DecodedOperand, decodeProgram } from '../decode';
import { BINARY_MODE } from '../opcodes';
import { ALIGNMENT_BYTES, BANK_LIMIT_BYTES } from '../program';

interface Touch {
  readonly instruction: number;
  readonly name: string;
  readonly writes: boolean;
  readonly operand: DecodedOperand;
}

/** Operands addressed by strides: their bytes may interleave within one instruction. */
const INTERLEAVED = new Set(['q', 'k', 'v', 'dq', 'dk', 'dv', 'gate', 'up', 'dgate', 'dup']);

function overlap(a: DecodedOperand, b: DecodedOperand): boolean {
  return (
    a.space === b.space && a.index === b.index && a.offsetBytes < b.offsetBytes + b.sizeBytes && b.offsetBytes < a.offsetBytes + a.sizeBytes
  );
}

function allowed(instruction: DecodedInstruction, a: Touch, b: Touch): boolean {
  if (a.instruction !== b.instruction) return false;
  if (a.writes && b.writes) return INTERLEAVED.has(a.name) && INTERLEAVED.has(b.name);
  const [read, written] = a.writes ? [b, a] : [a, b];
  const same = a.operand.offsetBytes === b.operand.offsetBytes && a.operand.sizeBytes === b.operand.sizeBytes;
  const isRowOfBinary = instruction.spec.name === 'binary' && read.name === 'b' && instruction.params.mode !== BINARY_MODE.same;
  return same && !isRowOfBinary && instruction.spec.inPlace.some(([from, to]) => from === read.name && to === written.name);
}

/** Expects a compiled program to keep every promise that can be checked without running it. */
export function verify(compiled: CompiledDetail): void {
  const { program, placements } = compiled;
  const { instructions, stages, banks, operands } = decodeProgram(program.words);
  const faults: string[] = [];
  stages.forEach(({ first, count }, stage) => {
    const touches: Touch[] = [];
    for (let at = first; at < first + count; at++) {
      for (const { name, access } of instructions[at].spec.operands) {
        const operand = instructions[at].operands[name];
        if (operand !== undefined) touches.push({ instruction: at, name, writes: access !== 'read', operand });
      }
    }
    touches.forEach((a, i) => {
      for (const b of touches.slice(i + 1)) {
        if (!(a.writes || b.writes) || !overlap(a.operand, b.operand) || allowed(instructions[a.instruction], a, b)) continue;
        const name = (touch: Touch): string => `${touch.instruction} ${instructions[touch.instruction].spec.name} ${touch.name}`;
        faults.push(`stage ${stage}: ${name(a)} and ${name(b)} share memory`);
      }
    });
  });
  placements.forEach((a, i) => {
    if (a.offset % ALIGNMENT_BYTES !== 0) faults.push(`placement ${i} begins at ${a.offset}`);
    if (a.offset + a.bytes > banks[a.bank]) faults.push(`placement ${i} ends outside its bank`);
    placements.slice(i + 1).forEach((b, j) => {
      const together = a.bank === b.bank && a.start <= b.end && b.start <= a.end;
      if (together && a.offset < b.offset + b.bytes && b.offset < a.offset + a.bytes)
        faults.push(`placements ${i} and ${i + 1 + j} overlap while both live`);
    });
  });
  for (const bank of banks) if (bank > BANK_LIMIT_BYTES) faults.push(`a bank has ${bank} bytes`);
  for (const { space, index, offsetBytes, sizeBytes } of operands) {
    if (space !== 'arena') continue;
    const inside = placements.some((p) => p.bank === index && offsetBytes >= p.offset && offsetBytes + sizeBytes <= p.offset + p.bytes);
    if (!inside) faults.push(`an operand at ${offsetBytes} of bank ${index} lies in no placement`);
  }
  expect(faults).toEqual([]);
}
