// Reads what V8 prints under --print-wasm-code: one listing per function, an instruction per line with its offset. The form of these lines is V8's own and has
// been the same from Node 20 to 26: `0xADDRESS  OFFSET  BYTES  MNEMONIC OPERANDS`, jump targets as `<+0xOFFSET>` (in hexadecimal).

/** @typedef {{ at: number, text: string, op: string, target: number | undefined }} Instruction  at and target are offsets in bytes */
/** @typedef {{ index: number, name: string, compiler: string, instructions: Instruction[] }} Listing */

const INSTRUCTION = /^0x[0-9a-f]+ +([0-9a-f]+) {2}([0-9a-f]+) +(.+)$/;

/** The mnemonic of an instruction's text, without prefixes such as `REX.W`. */
export const mnemonic = (text) => text.replace(/^(?:REX\.\S+|lock|repn?z?) +/, '').split(/[ ,]/, 1)[0];

/** @returns {Instruction | undefined} undefined for lines that are no instruction */
export function parseInstruction(line) {
  const match = INSTRUCTION.exec(line);
  if (match === null) return undefined;
  const [, at, , text] = match;
  const target = /^j\w+ .*<\+0x([0-9a-f]+)>/.exec(text)?.[1];
  return { at: Number.parseInt(at, 16), text, op: mnemonic(text), target: target === undefined ? undefined : Number.parseInt(target, 16) };
}

/** @returns {Listing[]} every WebAssembly function of what one process printed */
export function parseListings(text) {
  const listings = [];
  let current;
  for (const line of text.split('\n')) {
    if (line === '--- WebAssembly code ---') current = { index: -1, name: '', compiler: '', instructions: [] };
    else if (current === undefined) continue;
    else if (line === '--- End code ---') {
      if (current.index >= 0 && current.instructions.length > 0) listings.push(current);
      current = undefined;
    } else if (line.startsWith('name: ')) current.name = line.slice(6);
    else if (line.startsWith('index: ')) current.index = Number(line.slice(7));
    else if (line.startsWith('compiler: ')) current.compiler = line.slice(10);
    else {
      const instruction = parseInstruction(line);
      if (instruction !== undefined) current.instructions.push(instruction);
    }
  }
  return listings;
}
