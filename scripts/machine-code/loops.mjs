// Finds the innermost loops of a function's machine code and counts what is in them. Loops are those of the control flow (a jump to a block that dominates the
// jump), so the deferred code that V8 puts behind a function and that jumps back into a loop, such as what a stack check calls, is not taken for one. Of the
// blocks of a loop only the unbroken run around its head counts: deferred blocks lie apart and are not hot.

/** @typedef {import('./listing.mjs').Instruction} Instruction */

const endsFlow = (op) => op === 'jmp' || op === 'ret' || op === 'retl' || op === 'int3' || op === 'int3l' || op === 'ud2';
const jumps = (op) => op.startsWith('j');

/** Blocks in address order: `{ first, last, next }`, the first two as indices of instructions, `next` as indices of blocks. */
function blocksOf(instructions) {
  const indexAt = new Map(instructions.map(({ at }, i) => [at, i]));
  const leaders = new Set([0]);
  instructions.forEach(({ op, target }, i) => {
    if (target !== undefined && indexAt.has(target)) leaders.add(indexAt.get(target));
    if ((jumps(op) || endsFlow(op)) && i + 1 < instructions.length) leaders.add(i + 1);
  });
  const firsts = [...leaders].sort((a, b) => a - b);
  const blockOf = new Map(firsts.map((first, b) => [first, b]));
  return firsts.map((first, b) => {
    const last = (firsts[b + 1] ?? instructions.length) - 1;
    const { op, target } = instructions[last];
    const next = [];
    if (target !== undefined && indexAt.has(target)) next.push(blockOf.get(indexAt.get(target)));
    if (!endsFlow(op) && b + 1 < firsts.length) next.push(b + 1);
    return { first, last, next };
  });
}

/** Blocks in reverse postorder from the entry; what only a jump table reaches is entered at its lowest block. */
function order(blocks) {
  const seen = new Set();
  const entries = [];
  const postorder = [];
  for (let entry = 0; entry < blocks.length; entry++) {
    if (seen.has(entry)) continue;
    entries.push(entry);
    const stack = [[entry, 0]];
    seen.add(entry);
    while (stack.length > 0) {
      const top = stack[stack.length - 1];
      const next = blocks[top[0]].next[top[1]++];
      if (next === undefined) postorder.push(stack.pop()[0]);
      else if (!seen.has(next)) {
        seen.add(next);
        stack.push([next, 0]);
      }
    }
  }
  return { entries, reverse: postorder.reverse() };
}

/** Immediate dominators (the iterative algorithm of Cooper, Harvey and Kennedy); -1 is the root above all entries. */
function dominators(blocks) {
  const { entries, reverse } = order(blocks);
  const rank = new Map(reverse.map((b, i) => [b, i]));
  rank.set(-1, -1);
  const before = blocks.map(() => []);
  blocks.forEach(({ next }, b) => {
    for (const n of next) before[n].push(b);
  });
  for (const entry of entries) before[entry].push(-1);
  const above = new Map([[-1, -1]]);
  const meet = (a, b) => {
    while (a !== b) {
      while (rank.get(a) > rank.get(b)) a = above.get(a);
      while (rank.get(b) > rank.get(a)) b = above.get(b);
    }
    return a;
  };
  for (let changed = true; changed; ) {
    changed = false;
    for (const b of reverse) {
      const dominator = before[b].filter((p) => above.has(p)).reduce((a, p) => (a === undefined ? p : meet(a, p)), undefined);
      if (above.get(b) !== dominator) {
        above.set(b, dominator);
        changed = true;
      }
    }
  }
  return { above, before };
}

/**
 * The instructions of every innermost loop, in address order.
 * @param {Instruction[]} code
 * @returns {Instruction[][]}
 */
export function innermostLoops(code) {
  const instructions = code.filter(({ op }) => !op.startsWith('nop')); // padding before a loop's head would look like a second way into it
  if (instructions.length === 0) return [];
  const blocks = blocksOf(instructions);
  const { above, before } = dominators(blocks);
  const dominates = (a, b) => {
    for (let at = b; at !== -1; at = above.get(at)) if (at === a) return true;
    return false;
  };
  const loops = new Map(); // head → blocks
  blocks.forEach(({ next }, from) => {
    for (const head of next) {
      if (!dominates(head, from)) continue;
      const body = loops.get(head) ?? new Set([head]);
      const pending = [from];
      while (pending.length > 0) {
        const b = pending.pop();
        if (b === -1 || body.has(b)) continue;
        body.add(b);
        pending.push(...before[b]);
      }
      loops.set(head, body);
    }
  });
  const heads = [...loops.keys()];
  return heads
    .filter((head) => !heads.some((other) => other !== head && loops.get(head).has(other)))
    .sort((a, b) => a - b)
    .map((head) => {
      const body = loops.get(head);
      let [first, last] = [head, head];
      while (body.has(first - 1)) first--;
      while (body.has(last + 1)) last++;
      return instructions.slice(blocks[first].first, blocks[last].last + 1);
    });
}

const STACK = /\[r[bs]p[^\]]*\]/;
const VECTOR = /\b[xy]mm\d/;
const isFma = (op) => /^vfn?m(add|sub)\d+[sp]s$/.test(op);
const isMove = (op) => /^v?(mov|broadcast|lddqu)/.test(op);
const isLane = (op) => /^v?(movss|movsd|pinsr|pextr|insertps|extractps)/.test(op);
const isPack = (op) => /^v(insert|extract)[fi]128$/.test(op);

/** The stack slot an instruction touches, as V8 writes it, or undefined. */
const slotOf = (text) => STACK.exec(text)?.[0];

/**
 * What one loop consists of. `xmm` and `ymm` count the vector instructions by their widest register, `arithmetic` those that are neither moves nor broadcasts,
 * `wide` those of them with 256 bits. `packs` counts those that put two 128-bit halves together or take them apart, the price of fusing what does not lie side by side.
 * `lanes` counts those that move single lanes.
 * `spills` counts the vector instructions that write a value to the stack or read one back that the loop has written: a value that did not fit the registers.
 * `reloads` counts those that read from the stack what the loop never writes: constants, which cost about as much as any other operand in memory.
 * @param {Instruction[]} loop
 */
export function countLoop(loop) {
  const counts = {
    instructions: loop.length,
    xmm: 0,
    ymm: 0,
    fma: 0,
    arithmetic: 0,
    wide: 0,
    packs: 0,
    lanes: 0,
    spills: 0,
    reloads: 0,
    calls: 0,
  };
  const onStack = [];
  for (const { op, text } of loop) {
    if (op.startsWith('call')) counts.calls++;
    if (!VECTOR.test(text)) continue;
    if (text.includes('ymm')) counts.ymm++;
    else counts.xmm++;
    if (isFma(op)) counts.fma++;
    if (isLane(op)) counts.lanes++;
    if (isPack(op)) counts.packs++;
    else if (!isMove(op)) {
      counts.arithmetic++;
      if (text.includes('ymm')) counts.wide++;
    }
    const slot = slotOf(text);
    if (slot === undefined) continue;
    const operands = text.slice(text.indexOf(op) + op.length).trim();
    onStack.push({ slot, writes: isMove(op) && operands.startsWith('[') });
  }
  const written = new Set(onStack.filter(({ writes }) => writes).map(({ slot }) => slot));
  counts.spills = onStack.filter(({ slot }) => written.has(slot)).length;
  counts.reloads = onStack.length - counts.spills;
  return counts;
}
