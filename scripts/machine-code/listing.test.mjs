// The parser on lines as V8 prints them, and on what the Node that runs this test prints.
import { execFileSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { mnemonic, parseInstruction, parseListings } from './listing.mjs';

describe('parseInstruction', () => {
  it('reads offset, mnemonic and text', () => {
    expect(parseInstruction('0xf82d2fd75ab    eb  c4c229b8fb           vfmadd231ps xmm7,xmm10,xmm11')).toEqual({
      at: 0xeb,
      text: 'vfmadd231ps xmm7,xmm10,xmm11',
      op: 'vfmadd231ps',
      target: undefined,
    });
    expect(mnemonic('REX.W movq [rbp-0x18],rsi')).toBe('movq');
    expect(mnemonic('nop')).toBe('nop');
  });
  it('reads where a jump goes and leaves what is no instruction', () => {
    expect(parseInstruction('0xf82d2fd76cf   20f  0f85abfeffff         jnz 0xf82d2fd7580  <+0xc0>')).toMatchObject({
      op: 'jnz',
      at: 0x20f,
      target: 0xc0,
    });
    expect(parseInstruction('Source positions:')).toBeUndefined();
    expect(parseInstruction(' pc offset  position')).toBeUndefined();
  });
});

describe('parseListings', () => {
  const listing = (index, name) =>
    `--- WebAssembly code ---\nname: ${name}\nindex: ${index}\nkind: wasm function\ncompiler: TurboFan\nBody (size = 64 = 40 + 24 padding)\nInstructions (size = 2)\n0x10     0  55                   push rbp\n0x11     1  c3                   retl\n\nSource positions:\n--- End code ---\n`;
  it('separates functions and skips what else is printed', () => {
    const wrapper = listing(3, 'x').replace(/index: 3\n/, '');
    const found = parseListings(`compiled\n${listing(3, 'a::b')}${wrapper}${listing(4, 'c, d')}`);
    expect(found.map(({ index, name, compiler, instructions }) => [index, name, compiler, instructions.length])).toEqual([
      [3, 'a::b', 'TurboFan', 2],
      [4, 'c, d', 'TurboFan', 2],
    ]);
  });
  it.skipIf(process.arch !== 'x64')('reads what this Node prints', () => {
    // (func (param i32) (result i32) (i32.add (local.get 0) (i32.const 7)))
    const module = '0061736d0100000001060160017f017f030201000a09010700200041076a0b';
    const code = `new WebAssembly.Module(Buffer.from('${module}', 'hex'))`;
    const flags = ['--print-wasm-code', '--no-liftoff', '--no-wasm-lazy-compilation'];
    const [found, ...others] = parseListings(execFileSync(process.execPath, [...flags, '-e', code], { encoding: 'utf8' }));
    expect(others).toEqual([]);
    expect(found).toMatchObject({ index: 0, compiler: 'TurboFan' });
    expect(found.instructions.some(({ text }) => /^(addl|leal) .*0x7/.test(text))).toBe(true);
    expect(found.instructions.some(({ op }) => op.startsWith('ret'))).toBe(true);
  });
});
