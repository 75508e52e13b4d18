import { describe, expect, it } from 'vitest';
import { Schedule, type ScheduleOptions } from './schedules';

const rates = (options: ScheduleOptions) => {
  const schedule = new Schedule(options);
  return Array.from({ length: options.maxSteps }, (_, i) => schedule.at(i + 1));
};

// Computed with transformers 5.24: get_scheduler(name, optimizer, 4, 20, kwargs).lr_lambdas[0](t) * 1e-3 for t = 1..20 (min_lr 1e-4, num_decay_steps 6,
// min_lr_ratio 0.1). Python's numbers, so the last bits may differ from ours.
const HUGGING_FACE = {
  constant_with_warmup: [0.00025, 0.0005, 0.00075, ...new Array(17).fill(0.001)],
  linear: [
    0.00025, 0.0005, 0.00075, 0.001, 0.0009375, 0.000875, 0.0008125000000000001, 0.00075, 0.0006875, 0.000625, 0.0005625000000000001,
    0.0005, 0.0004375, 0.000375, 0.0003125, 0.00025, 0.0001875, 0.000125, 6.25e-5, 0,
  ],
  cosine: [
    0.00025, 0.0005, 0.00075, 0.001, 0.0009903926402016153, 0.0009619397662556434, 0.0009157348061512727, 0.0008535533905932737,
    0.0007777851165098011, 0.000691341716182545, 0.0005975451610080642, 0.0005, 0.00040245483899193594, 0.0003086582838174551,
    0.00022221488349019903, 0.00014644660940672628, 8.426519384872733e-5, 3.806023374435663e-5, 9.607359798384786e-6, 0,
  ],
  cosine_with_min_lr: [
    0.00025, 0.0005, 0.00075, 0.001, 0.0009913533761814538, 0.000965745789630079, 0.0009241613255361454, 0.0008681980515339464,
    0.000800006604858821, 0.0007222075445642904, 0.0006377906449072578, 0.00055, 0.0004622093550927423, 0.0003777924554357096,
    0.00029999339514117913, 0.00023180194846605365, 0.0001758386744638546, 0.00013425421036992097, 0.00010864662381854631, 0.0001,
  ],
  // Its warm-up there starts from the minimum; here all schedules rise by peak/warmupSteps, so the first three differ by design.
  warmup_stable_decay: [
    0.00025,
    0.0005,
    0.00075,
    ...new Array(11).fill(0.001),
    0.0009397114317029974,
    0.0007750000000000001,
    0.00055,
    0.00032500000000000015,
    0.00016028856829700258,
    0.0001,
  ],
};

describe('Schedule', () => {
  const common = { learningRate: 1e-3, maxSteps: 20, warmupSteps: 4 };
  for (const [name, want] of Object.entries(HUGGING_FACE)) {
    it(`${name} equals Hugging Face's lambda at t`, () => {
      const type = name as keyof typeof HUGGING_FACE;
      const got = rates({ ...common, lrSchedulerType: type, ...(type === 'warmup_stable_decay' ? { numDecaySteps: 6 } : {}) });
      expect(got).toHaveLength(20);
      got.forEach((rate, i) => {
        expect(Math.abs(rate - want[i]), `update ${i + 1}`).toBeLessThan(1e-18 + 1e-15 * want[i]);
      });
    });
  }

  it('constant ignores nothing silently and never moves', () => {
    expect(rates({ lrSchedulerType: 'constant', learningRate: 2e-4, maxSteps: 3 })).toEqual([2e-4, 2e-4, 2e-4]);
    expect(() => new Schedule({ ...common, lrSchedulerType: 'constant' })).toThrow(
      'schedule: "warmupSteps" is for every schedule but constant, got 4 with lrSchedulerType "constant"',
    );
  });

  it('is exact at its corners: first update, end of warm-up, last update', () => {
    for (const type of ['cosine_with_min_lr', 'warmup_stable_decay', 'linear', 'cosine'] as const) {
      const schedule = new Schedule({ lrSchedulerType: type, learningRate: 3e-3, maxSteps: 2200 });
      expect(schedule.warmupSteps).toBe(100);
      expect(schedule.at(1)).toBe(3e-3 / 100);
      expect(schedule.at(100)).toBe(3e-3);
      expect(schedule.at(2200)).toBe(schedule.minLearningRate);
      expect(schedule.at(5000)).toBe(schedule.minLearningRate);
    }
    expect(new Schedule({ lrSchedulerType: 'cosine_with_min_lr', learningRate: 3e-3, maxSteps: 10 }).minLearningRate).toBe(3e-3 / 10);
  });

  it('takes ratios below 1, rounded up', () => {
    const schedule = new Schedule({
      ...common,
      lrSchedulerType: 'warmup_stable_decay',
      maxSteps: 101,
      warmupSteps: 0.05,
      numDecaySteps: 0.2,
    });
    expect([schedule.warmupSteps, schedule.numDecaySteps]).toEqual([6, 21]);
  });

  it('does not divide by nothing: one step, warm-up as long as the run or longer', () => {
    for (const type of ['constant_with_warmup', 'linear', 'cosine', 'cosine_with_min_lr', 'warmup_stable_decay'] as const) {
      for (const [maxSteps, warmupSteps] of [
        [1, 0],
        [1, 1],
        [5, 5],
        [5, 9],
      ]) {
        const got = rates({ lrSchedulerType: type, learningRate: 1e-3, maxSteps, warmupSteps });
        for (const rate of got) expect(rate >= 0 && rate <= 1e-3, `${type} ${maxSteps} ${warmupSteps}: ${got}`).toBe(true);
      }
    }
    expect(rates({ lrSchedulerType: 'linear', learningRate: 1, maxSteps: 5, warmupSteps: 10 })).toEqual([0.1, 0.2, 0.3, 0.4, 0.5]);
  });

  it('allows a learning rate of 0', () => {
    expect(rates({ lrSchedulerType: 'cosine_with_min_lr', learningRate: 0, maxSteps: 3, warmupSteps: 1 })).toEqual([0, 0, 0]);
  });

  it.each([
    [{ learningRate: Number.NaN }, '"learningRate" must be 0 or a positive number, got NaN'],
    [{ learningRate: -1 }, '"learningRate" must be 0 or a positive number, got -1'],
    [{ learningRate: Number.POSITIVE_INFINITY }, '"learningRate" must be 0 or a positive number, got Infinity'],
    [{ maxSteps: 0 }, '"maxSteps" must be a positive integer'],
    [{ maxSteps: 2.5 }, '"maxSteps" must be a positive integer'],
    [{ warmupSteps: -1 }, '"warmupSteps" must be a whole number of updates or a ratio below 1, got -1'],
    [{ warmupSteps: 1.5 }, '"warmupSteps" must be a whole number of updates or a ratio below 1, got 1.5'],
    [{ warmupSteps: Number.NaN }, '"warmupSteps" must be a whole number'],
    [{ minLearningRate: 2e-3 }, '"minLearningRate" must be at most learningRate 0.001, got 0.002'],
    [{ minLearningRate: -1e-9 }, '"minLearningRate" must be 0 or a positive number'],
    [{ numDecaySteps: 3 }, '"numDecaySteps" is for warmup_stable_decay, got 3 with lrSchedulerType "cosine_with_min_lr"'],
    [{ lrSchedulerType: 'polynomial' as 'linear' }, '"lrSchedulerType" must be one of "constant", '],
    [{ lrSchedulerType: 'linear' as const, minLearningRate: 1e-5 }, '"minLearningRate" is for cosine_with_min_lr and warmup_stable_decay'],
  ])('rejects %o', (change, message) => {
    const options = { ...common, lrSchedulerType: 'cosine_with_min_lr' as const, ...change };
    expect(() => new Schedule(options)).toThrow(message);
    try {
      new Schedule(options);
    } catch (error) {
      expect((error as { code: string }).code).toBe('INVALID_OPTION');
    }
  });

  it('rejects update numbers that are not 1, 2, 3 …', () => {
    const schedule = new Schedule({ ...common, lrSchedulerType: 'linear' });
    for (const t of [0, -1, 1.5, Number.NaN])
      expect(() => schedule.at(t)).toThrow(`the update number must be an integer from 1 on, got ${t}`);
  });
});
