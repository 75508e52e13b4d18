// Loops and counts on small functions written down as V8 would.
import { describe, expect, it } from 'vitest';
import { mnemonic } from './listing.mjs';
import { countLoop, innermostLoops } from './loops.mjs';

/** Instructions from `label: text` lines; `jnz @label` jumps there. Every instruction is one byte long. */
function code(lines) {
  const labels = new Map();
  const texts = lines.map((line, at) => {
    const [, label, text] = /^(?:(\w+): )?(.*)$/.exec(line);
    if (label !== undefined) labels.set(label, at);
    return text;
  });
  return texts.map((text, at) => ({ at, text, op: mnemonic(text), target: labels.get(/@(\w+)$/.exec(text)?.[1]) }));
}
const texts = (loops) => loops.map((loop) => loop.map(({ text }) => text));

describe('innermostLoops', () => {
  it('finds the inner of two loops', () => {
    const loops = innermostLoops(code(['movl', 'outer: addl', 'inner: mulps', 'jnz @inner', 'subl', 'jnz @outer', 'retl']));
    expect(texts(loops)).toEqual([['mulps', 'jnz @inner']]);
  });
  it('leaves out what jumps into a loop from behind the function', () => {
    const loops = innermostLoops(
      code(['movl', 'nop', 'head: mulps', 'cmpl', 'jna @slow', 'back: addps', 'jnz @head', 'retl', 'slow: call', 'jmp @back']),
    );
    expect(texts(loops)).toEqual([['mulps', 'cmpl', 'jna @slow', 'addps', 'jnz @head']]);
  });
  it('follows a loop whose head lies behind its body, after padding', () => {
    const loops = innermostLoops(code(['jmp @head', 'nop', 'body: movups', 'head: mulps', 'jna @body', 'retl']));
    expect(texts(loops)).toEqual([['movups', 'mulps', 'jna @body']]);
  });
  it('finds loops behind a jump table', () => {
    const loops = innermostLoops(code(['jmp [r10+rax*8]', 'movl', 'a: mulps', 'jnz @a', 'retl', 'movl', 'b: addps', 'jnz @b', 'retl']));
    expect(texts(loops)).toEqual([
      ['mulps', 'jnz @a'],
      ['addps', 'jnz @b'],
    ]);
  });
  it('finds none where there is none', () => {
    expect(innermostLoops(code(['movl', 'jz @end', 'addps', 'end: retl']))).toEqual([]);
    expect(innermostLoops([])).toEqual([]);
  });
});

describe('countLoop', () => {
  it('tells spilled values from constants, and both from parameters and other memory', () => {
    const counts = countLoop(
      code([
        'vmovups [rbp-0x40],xmm8',
        'vfmadd231ps xmm1,xmm2,[rbp-0x40]',
        'vmulps xmm1,xmm2,[rbp-0x50]',
        'vmovups xmm3,[rsp+0x10]',
        'vmovdqu xmm4,[rsi+rax*1]',
        'REX.W movq rsi,[rbp-0x18]',
      ]),
    );
    expect(counts).toMatchObject({ instructions: 6, xmm: 5, ymm: 0, fma: 1, arithmetic: 2, spills: 2, reloads: 2, calls: 0 });
  });
  it('counts what moves single lanes', () => {
    expect(
      countLoop(code(['vmovss xmm1,[rsi]', 'vpinsrd xmm1,xmm1,[rdi],0x2', 'vmovshdup xmm2,xmm1', 'vmovdqu xmm3,[rsi]'])),
    ).toMatchObject({ lanes: 2, xmm: 4 });
  });
  it('tells widths, fusing and its price', () => {
    const counts = countLoop(
      code([
        'vbroadcastss ymm1,[rsi+rdx*1]',
        'vinserti128 ymm5,ymm2,xmm4,0x1',
        'vfmadd231ps ymm3,ymm1,ymm5',
        'vaddps xmm1,xmm2,xmm3',
        'call 0x10',
      ]),
    );
    expect(counts).toMatchObject({ xmm: 1, ymm: 3, fma: 1, arithmetic: 2, wide: 1, packs: 1, calls: 1 });
  });
});
