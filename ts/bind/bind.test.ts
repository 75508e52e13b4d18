import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { EngineHost } from '../engine';
import { add, type Tensor, tanh, Variable } from '../graph';
import { Dropout, Embedding, type HostTensor, Linear, Module, SinusoidalPositions } from '../nn';
import { type BoundModule, bind } from './index';

const f32 = (data: number[], shape = [data.length]): HostTensor => ({ data: Float32Array.from(data), shape });

class Affine extends Module {
  readonly fc = new Linear(2, 3);
  readonly drop = new Dropout(0.9);
  override forward(x: Tensor): { hidden: Tensor; y: Tensor } {
    const hidden = this.drop.forward(this.fc.forward(x));
    return { hidden, y: tanh(hidden) };
  }
}

class Sum extends Module {
  readonly shift = new Variable({ name: 'shift', shape: [2], init: { kind: 'data', data: Float32Array.of(10, 20) } });
  override forward(a: Tensor, b: Tensor): Tensor {
    return add(add(a, b), this.shift);
  }
}

class Named extends Module {
  override forward({ left, right }: { left: Tensor; right: Tensor }): Tensor {
    return add(left, right);
  }
}

let host: EngineHost;
beforeAll(async () => {
  host = await EngineHost.start({ worker: false, simd: 'portable' });
});
afterAll(() => host?.close());

const open: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const model of open.splice(0)) await model.close();
});
async function bound<M extends Module>(module: M, seed?: number): Promise<BoundModule<M>> {
  const model = await bind(host, module, { seed });
  open.push(model);
  return model;
}

describe('bind', () => {
  it('draws initial values from seed and name alone', async () => {
    const data = async (module: Module, name: string, seed?: number) => (await bound(module, seed)).parameters.get(name)!.data();
    const first = await data(new Affine(), 'fc.weight');
    expect(await data(new Affine(), 'fc.weight', 42)).toEqual(first);
    expect(await data(new Affine(), 'fc.weight', 43)).not.toEqual(first);
    class Other extends Module {
      readonly before = new Linear(7, 7);
      readonly fc = new Linear(2, 3);
      override forward(): void {}
    }
    expect(await data(new Other(), 'fc.weight')).toEqual(first);
    expect(await data(new Other(), 'before.bias')).toEqual(new Float32Array(7));
  });

  it('draws normal numbers with the moments asked for', async () => {
    const model = await bound(new Embedding(500, 200));
    const values = (await model.parameters.get('weight')!.data()) as Float32Array;
    const mean = values.reduce((sum, v) => sum + v, 0) / values.length;
    const variance = values.reduce((sum, v) => sum + (v - mean) ** 2, 0) / values.length;
    const kurtosis = values.reduce((sum, v) => sum + (v - mean) ** 4, 0) / values.length / variance ** 2;
    // Five standard errors for 100,000 draws.
    expect(Math.abs(mean)).toBeLessThan((5 * 0.02) / Math.sqrt(1e5));
    expect(Math.abs(Math.sqrt(variance) / 0.02 - 1)).toBeLessThan(5 / Math.sqrt(2e5));
    expect(Math.abs(kurtosis - 3)).toBeLessThan(5 * Math.sqrt(24 / 1e5));
  });

  it('fills sinusoidal positions with the formula of Vaswani et al., with and without noise', async () => {
    const values = async (noise: number) =>
      (await (await bound(new SinusoidalPositions(50, 6, { noise }))).parameters.get('weight')!.data()) as Float32Array;
    const exact = await values(0);
    for (let pos = 0; pos < 50; pos++) {
      for (let i = 0; i < 6; i++) {
        const angle = pos / 10000 ** ((i - (i % 2)) / 6);
        expect(Math.abs(exact[pos * 6 + i] - (i % 2 === 0 ? Math.sin(angle) : Math.cos(angle))), `${pos} ${i}`).toBeLessThan(1e-6);
      }
    }
    const noisy = await values(0.01);
    const deviation = Math.sqrt(noisy.reduce((sum, v, i) => sum + (v - exact[i]) ** 2, 0) / noisy.length);
    expect(deviation).toBeGreaterThan(0.008);
    expect(deviation).toBeLessThan(0.012);
  });

  it('refuses what is no module, a bad seed, an aborted signal, another engine', async () => {
    await expect(bind(host, {} as Module)).rejects.toMatchObject({ code: 'INVALID_OPTION' });
    await expect(bind(host, new Affine(), { seed: 0.5 })).rejects.toMatchObject({
      code: 'INVALID_OPTION',
      message: expect.stringContaining('got 0.5'),
    });
    await expect(bind(host, new Affine(), { signal: AbortSignal.abort() })).rejects.toMatchObject({ code: 'ABORTED' });
    const model = await bound(new Affine());
    const second = await EngineHost.start({ worker: false, simd: 'portable' });
    try {
      await expect(bind(second, model.module)).rejects.toMatchObject({ code: 'WRONG_ENGINE' });
    } finally {
      await second.close();
    }
  });
});

describe('forward', () => {
  it('takes one tensor, several, or a record; gives a tensor or named activations', async () => {
    const sum = await (await bound(new Sum())).forward([f32([1, 2]), f32([3, 4])]);
    expect(sum).toEqual({ data: Float32Array.of(14, 26), shape: [2] });
    const named = await (await bound(new Named())).forward({ left: f32([1, 2]), right: f32([5, 5]) });
    expect(named).toEqual({ data: Float32Array.of(6, 7), shape: [2] });

    const model = await bound(new Affine());
    const { hidden, y } = await model.forward(f32([1, -1, 2, 0.5], [2, 2]));
    const [w, b] = [await model.parameters.get('fc.weight')!.data(), await model.parameters.get('fc.bias')!.data()];
    expect([hidden.shape, y.shape]).toEqual([
      [2, 3],
      [2, 3],
    ]);
    hidden.data.forEach((value: number, i: number) => {
      const x = [
        [1, -1],
        [2, 0.5],
      ][Math.floor(i / 3)];
      expect(value).toBeCloseTo(x[0] * w[i % 3] + x[1] * w[3 + (i % 3)] + b[i % 3], 6); // and no dropout
      expect(y.data[i]).toBeCloseTo(Math.tanh(value), 6);
    });
  });

  it('compiles once per shape and stays bounded', async () => {
    const model = await bound(new Sum());
    for (let round = 0; round < 2; round++) {
      for (let n = 0; n < 3; n++)
        await model.forward([f32(new Array(2 + 2 * n).fill(0), [1 + n, 2]), f32(new Array(2 + 2 * n).fill(1), [1 + n, 2])]);
    }
    expect((await host.bytes()).programsLoaded).toBe(3);
    const many = Array.from({ length: 50 }, (_, n) =>
      model.forward([f32(new Array(2 * n + 2).fill(0), [n + 1, 2]), f32(new Array(2 * n + 2).fill(1), [n + 1, 2])]),
    );
    const results = await Promise.all(many);
    results.forEach(({ data, shape }, n) => {
      expect(shape).toEqual([n + 1, 2]);
      expect(data[2 * n + 1]).toBe(21);
    });
    expect((await host.bytes()).programsLoaded).toBeLessThanOrEqual(32);
  });

  it('refuses inputs that do not fit, and goes on working', async () => {
    const model = await bound(new Affine());
    await expect(model.forward(f32([1, 2, 3], [1, 3]))).rejects.toMatchObject({ code: 'INVALID_SHAPE' });
    await expect(model.forward(f32([1, 2, 3], [2, 2]))).rejects.toMatchObject({ code: 'INVALID_SHAPE' });
    await expect(model.forward({ data: Int32Array.of(1, 2), shape: [1, 2] })).rejects.toMatchObject({ code: 'INVALID_DTYPE' });
    await expect(model.forward(undefined as never)).rejects.toMatchObject({ code: 'INVALID_OPTION' });
    await expect((await bound(new Linear(2, 2))).forward([])).rejects.toMatchObject({ code: 'INVALID_OPTION' });
    class Nothing extends Module {
      override forward(_: Tensor): number {
        return 3;
      }
    }
    await expect((await bound(new Nothing())).forward(f32([1]))).rejects.toThrow('the module must return a tensor or a record of tensors');
    expect((await model.forward(f32([1, 2], [1, 2]))).y.shape).toEqual([1, 3]);
  });

  it('leaves the mode of every module as it was', async () => {
    const model = await bound(new Affine());
    model.module.train();
    await model.forward(f32([1, 2], [1, 2]));
    expect([model.module.training, model.module.drop.training]).toEqual([true, true]);
  });
});

describe('parameters', () => {
  it('are read and set by copies, and checked', async () => {
    const model = await bound(new Sum());
    const shift = model.parameters.get('shift')!;
    expect([shift.name, shift.shape, shift.size, shift.trainable]).toEqual(['shift', [2], 2, true]);
    const copy = await shift.data();
    copy[0] = 99;
    expect(await shift.data()).toEqual(Float32Array.of(10, 20));
    const mine = Float32Array.of(1, 2);
    await shift.set(mine);
    mine[0] = 77;
    expect(await shift.data()).toEqual(Float32Array.of(1, 2));
    expect((await model.forward([f32([0, 0]), f32([0, 0])])).data).toEqual(Float32Array.of(1, 2));
    expect(await shift.grad()).toBeNull();
    await expect(shift.set(Float32Array.of(1))).rejects.toMatchObject({ code: 'INVALID_SHAPE' });
    await expect(shift.set([1, 2] as never)).rejects.toMatchObject({ code: 'INVALID_DTYPE' });
  });
});

describe('close', () => {
  it('frees everything; later use says so; twice is fine', async () => {
    const before = await host.bytes();
    const model = await bound(new Affine());
    await model.forward(f32([1, 2], [1, 2]));
    const weight = model.parameters.get('fc.weight')!;
    await model.close();
    await model.close();
    expect((await host.bytes()).regions).toBe(before.regions);
    expect((await host.bytes()).programsLoaded).toBe(before.programsLoaded);
    const closed = { code: 'MODEL_CLOSED' };
    await expect(model.forward(f32([1, 2], [1, 2]))).rejects.toMatchObject(closed);
    await expect(weight.data()).rejects.toMatchObject(closed);
    await expect(weight.grad()).rejects.toMatchObject(closed);
    await expect(weight.set(new Float32Array(6))).rejects.toMatchObject(closed);
    await expect(model.allocate([new Variable({ name: 'v', shape: [1] })])).rejects.toMatchObject(closed);
  });

  it('frees what two modules share once, with its owner', async () => {
    const owner = await bound(new Affine());
    class Reader extends Module {
      constructor(readonly inner: Affine) {
        super();
      }
      override forward(x: Tensor): Tensor {
        return this.inner.fc.forward(x);
      }
    }
    const reader = await bound(new Reader(owner.module));
    expect([...reader.parameters.keys()]).toEqual(['inner.fc.weight', 'inner.fc.bias']);
    const x = f32([1, 2], [1, 2]);
    expect((await reader.forward(x)).data).toEqual((await owner.forward(x)).hidden.data);
    await reader.close();
    expect((await owner.forward(x)).y.shape).toEqual([1, 3]);
    const again = await bound(new Reader(owner.module));
    await owner.close();
    await expect(again.forward(x)).rejects.toMatchObject({ code: 'UNBOUND_VARIABLE' });
  });

  it('hundred modules opened and closed leave nothing', async () => {
    const before = await host.bytes();
    for (let i = 0; i < 100; i++) {
      const model = await bind(host, new Affine());
      await model.forward(f32([1, 2], [1, 2]));
      await model.close();
    }
    expect(await host.bytes()).toMatchObject({ regions: before.regions, programs: before.programs, programsLoaded: before.programsLoaded });
  });

  it('is quiet after the engine has gone', async () => {
    const own = await EngineHost.start({ worker: false, simd: 'portable' });
    const model = await bind(own, new Affine());
    await own.close();
    await expect(model.forward(f32([1, 2], [1, 2]))).rejects.toMatchObject({ code: 'ENGINE_CLOSED' });
    await model.close();
    await expect(model.forward(f32([1, 2], [1, 2]))).rejects.toMatchObject({ code: 'MODEL_CLOSED' });
  });
});
