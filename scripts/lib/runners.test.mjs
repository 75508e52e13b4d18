// The counting of test results: a wrong count here would hide failures everywhere.
import { describe, expect, it, vi } from 'vitest';
import { bundledPackages } from './licences.mjs';
import { countCargo, countUnittest, countVitest, result, summarise } from './runners.mjs';

const test = (status, fullName = status) => ({ status, fullName });

describe('countVitest', () => {
  it('counts tests by status', () => {
    const report = {
      testResults: [{ status: 'failed', assertionResults: [test('passed'), test('passed'), test('failed', 'adds'), test('pending')] }],
    };
    expect(countVitest('x', report, 1)).toMatchObject({ passed: 2, failed: 1, skipped: 1, notes: ['adds', 'skipped: pending'] });
  });

  it('counts a file that does not load, a run without tests and an unhandled error as failures', () => {
    const broken = { name: 'a.test.ts', message: 'syntax', status: 'failed', assertionResults: [] };
    const good = { status: 'passed', assertionResults: [test('passed')] };
    expect(countVitest('x', { testResults: [broken, good] }, 1)).toMatchObject({ passed: 1, failed: 1, notes: ['a.test.ts: syntax'] });
    expect(countVitest('x', { testResults: [] }, 0)).toMatchObject({ passed: 0, failed: 1 });
    expect(countVitest('x', { testResults: [good] }, 1)).toMatchObject({ passed: 1, failed: 1 });
  });
});

describe('countCargo', () => {
  const line = (passed, failed, ignored) =>
    `test result: ok. ${passed} passed; ${failed} failed; ${ignored} ignored; 0 measured; 0 filtered out; finished in 0.1s\n`;
  it('sums all test binaries', () => {
    expect(countCargo('r', line(3, 0, 0) + line(4, 0, 1), 0)).toMatchObject({ passed: 7, failed: 0 });
    expect(countCargo('r', `test a::b ... FAILED\n${line(3, 1, 0)}`, 101)).toMatchObject({ passed: 3, failed: 1, notes: ['a::b'] });
  });
  it('fails where nothing compiled or cargo failed without a failing test', () => {
    expect(countCargo('r', 'error: could not compile', 101)).toMatchObject({ passed: 0, failed: 1 });
    expect(countCargo('r', line(3, 0, 0), 101)).toMatchObject({ passed: 3, failed: 1 });
  });
});

describe('countUnittest', () => {
  it('reads the last lines', () => {
    expect(countUnittest('p', 'Ran 5 tests in 0.1s\n\nOK\n', 0)).toMatchObject({ passed: 5, failed: 0, skipped: 0 });
    const mixed = 'FAIL: test_a (x.Y.test_a)\nRan 6 tests in 0.1s\n\nFAILED (failures=1, errors=2, skipped=1)\n';
    expect(countUnittest('p', mixed, 1)).toMatchObject({ passed: 2, failed: 3, skipped: 1, notes: ['test_a (x.Y.test_a)'] });
  });
  it('fails where nothing ran', () => {
    expect(countUnittest('p', 'ModuleNotFoundError', 1)).toMatchObject({ passed: 0, failed: 1 });
    expect(countUnittest('p', 'Ran 0 tests in 0.0s\n\nOK\n', 0)).toMatchObject({ passed: 0, failed: 1 });
  });
});

describe('summarise', () => {
  const said = (results, options) => {
    const lines = [];
    const spy = vi.spyOn(console, 'log').mockImplementation((text) => lines.push(text));
    const code = summarise(results, options);
    spy.mockRestore();
    return [lines.at(-1), code];
  };
  it('ends with the totals alone and fails on failures, on skips when strict, and on nothing', () => {
    const good = result('a', { passed: 3 });
    const skip = result('b', { skipped: 1 });
    expect(said([good], { strict: false })).toEqual(['3 passed, 0 failed', 0]);
    expect(said([good, skip], { strict: false })).toEqual(['3 passed, 0 failed, 1 skipped', 0]);
    expect(said([good, skip], { strict: true })).toEqual(['3 passed, 1 failed', 1]);
    expect(said([good, result('c', { failed: 2 })], { strict: false })).toEqual(['3 passed, 2 failed', 1]);
    expect(said([], { strict: false })).toEqual(['0 passed, 0 failed', 1]);
  });
});

describe('bundledPackages', () => {
  it('finds plain, scoped and virtual inputs', () => {
    const inputs = {
      'node_modules/yaml/dist/index.js': {},
      'node_modules/@a/b/c.js': {},
      'raw-text:node_modules/uplot/dist/x.js': {},
      'ts/errors.ts': {},
    };
    expect([...bundledPackages({ inputs })]).toEqual(['yaml', '@a/b', 'uplot']);
  });
});
