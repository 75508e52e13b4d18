// The lint must bite: each rule refuses one example and lets its neighbour pass.
import { describe, expect, it } from 'vitest';
import { importBreach, ROOMS, sourceBreaches } from './check-imports.mjs';

describe('importBreach', () => {
  it('lets a room import what lies below it and nothing else', () => {
    expect(importBreach('ts/nn/linear.ts', '../graph/tensor')).toBeUndefined();
    expect(importBreach('ts/nn/linear.ts', './module')).toBeUndefined();
    expect(importBreach('ts/nn/linear.ts', '../errors')).toBeUndefined();
    expect(importBreach('ts/nn/linear.ts', '../engine')).toBe('nn may not import engine');
    expect(importBreach('ts/graph/ops/add.ts', '../../nn/module')).toBe('graph may not import nn');
    expect(importBreach('ts/errors.ts', './options')).toBe('errors may not import options');
    expect(importBreach('ts/cli/train.ts', '../index.node')).toBeUndefined();
    expect(importBreach('ts/api/gpt.ts', '../cli/report')).toBe('api may not import cli');
    expect(importBreach('ts/attic/x.ts', './y')).toContain('no room');
  });

  it('gives comlink and the kernels to the engine, packages to the command line, Node to files made for it', () => {
    expect(importBreach('ts/engine/outside/host.ts', 'comlink')).toBeUndefined();
    expect(importBreach('ts/api/gpt.ts', 'comlink')).toBeDefined();
    expect(importBreach('ts/engine/inside/engine.ts', '../../wasm/kernels.js')).toBeUndefined();
    expect(importBreach('ts/bind/bind.ts', '../wasm/kernels.js')).toBeDefined();
    expect(importBreach('ts/cli/config.ts', 'yaml')).toBeUndefined();
    expect(importBreach('ts/io/config.ts', 'yaml')).toBeDefined();
    expect(importBreach('ts/io/nodeFolder.ts', 'node:fs/promises')).toBeUndefined();
    expect(importBreach('ts/engine/platform.node.ts', 'node:worker_threads')).toBeUndefined();
    expect(importBreach('ts/io/safetensors.ts', 'node:fs')).toBeDefined();
  });

  it('has no circle among the rooms', () => {
    const visit = (room, path) => {
      expect(path, `${path.join(' → ')} → ${room}`).not.toContain(room);
      for (const below of ROOMS[room] ?? []) visit(below, [...path, room]);
    };
    for (const room of Object.keys(ROOMS)) visit(room, []);
  });
});

describe('sourceBreaches', () => {
  it('finds every form of import', () => {
    const text = "import a from '../api';\nexport * from '../api';\nconst b = await import('../api');\ntype C = import('../api').C;\n";
    expect(sourceBreaches('ts/nn/x.ts', text)).toHaveLength(4);
    expect(sourceBreaches('ts/nn/x.ts', "// import a from '../api';\nconst s = \"from '../api'\";\n")).toEqual([]);
  });

  it('forbids unsteady arithmetic and clocks where numbers reach an engine', () => {
    expect(sourceBreaches('ts/optim/x.ts', 'const a = Math.cos(1);')).toEqual([
      'ts/optim/x.ts:1: Math.cos differs between JavaScript engines: use ts/math',
    ]);
    expect(sourceBreaches('ts/optim/x.ts', 'const a = x ** 0.5; let b = 2; b **= y;')).toHaveLength(2);
    expect(sourceBreaches('ts/optim/x.ts', 'const a = 2 ** 32 + Math.sqrt(2) + Math.floor(1.5);')).toEqual([]);
    expect(sourceBreaches('ts/cli/x.ts', 'const a = Math.log10(3);')).toEqual([]);
    expect(sourceBreaches('ts/nn/x.ts', 'const a = Date.now();')).toHaveLength(1);
  });
});
