// The runners of the tests: each starts one tool, reads its own report and answers with counts. A runner that cannot start is a failure here; whether it
// should start at all is decided in setup.mjs.
import { mkdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { ROOT, run, runNode } from './run.mjs';

/** @typedef {{ name: string, passed: number, failed: number, skipped: number, notes: string[], seconds?: number }} Result */

/** A result with everything zero but what is given. */
export const result = (name, counts = {}) => ({ name, passed: 0, failed: 0, skipped: 0, notes: [], ...counts });

/** Counts the tests of vitest's JSON report. A file that did not even load counts as one failure. */
export function countVitest(name, report, exitCode) {
  const counts = result(name);
  for (const file of report.testResults) {
    if (file.assertionResults.length === 0) {
      if (file.status !== 'passed') counts.failed++;
      counts.notes.push(...(file.status === 'passed' ? [] : [`${file.name}: ${file.message}`]));
    }
    for (const test of file.assertionResults) {
      if (test.status === 'passed') counts.passed++;
      else if (test.status === 'failed') counts.failed++;
      else counts.skipped++;
      if (test.status === 'failed') counts.notes.push(test.fullName);
      if (test.status !== 'failed' && test.status !== 'passed') counts.notes.push(`skipped: ${test.fullName}`);
    }
  }
  if (counts.passed + counts.failed === 0) Object.assign(counts, { failed: 1, notes: [...counts.notes, 'no test ran'] });
  if (exitCode !== 0 && counts.failed === 0)
    Object.assign(counts, { failed: 1, notes: [...counts.notes, `vitest ended with code ${exitCode} (an unhandled error?)`] });
  return counts;
}

/** Runs one project of vitest.config.ts. */
export async function vitest(name, project, env = {}, args = []) {
  const folder = join(ROOT, '.cache/test');
  const file = join(folder, `${name.replace(/[^a-z0-9]+/gi, '-')}.json`);
  await mkdir(folder, { recursive: true });
  await rm(file, { force: true });
  const started = performance.now();
  const { code } = await runNode(
    [
      join(ROOT, 'node_modules/vitest/vitest.mjs'),
      'run',
      '--project',
      project,
      '--reporter=default',
      '--reporter=json',
      `--outputFile.json=${file}`,
      ...args,
    ],
    { env },
  );
  const report = await readFile(file, 'utf8').catch(() => undefined);
  if (report === undefined) return result(name, { failed: 1, notes: [`vitest wrote no report and ended with code ${code}`] });
  return { ...countVitest(name, JSON.parse(report), code), seconds: (performance.now() - started) / 1000 };
}

/** Counts the tests in what `cargo test` printed. */
export function countCargo(name, output, exitCode) {
  const counts = result(name);
  for (const [, passed, failed, ignored] of output.matchAll(/^test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored;/gm)) {
    counts.passed += Number(passed);
    counts.failed += Number(failed);
    if (Number(ignored) > 0) counts.notes.push(`${ignored} ignored (slow ones: cargo test -- --ignored)`);
  }
  for (const [, test] of output.matchAll(/^test (\S+) \.\.\. FAILED$/gm)) counts.notes.push(test);
  if (counts.passed + counts.failed === 0 || (exitCode !== 0 && counts.failed === 0)) {
    counts.failed++;
    counts.notes.push(`cargo test ended with code ${exitCode}`);
  }
  return counts;
}

/** Runs the Rust tests natively. */
export async function cargo(name) {
  const started = performance.now();
  const { code, output } = await run('cargo', ['test', '--workspace', '--exclude', 'ferroformer-wasm', '--no-fail-fast'], {
    capture: true,
  });
  return { ...countCargo(name, output, code), seconds: (performance.now() - started) / 1000 };
}

/** Counts the tests in what Python's unittest printed with -v. */
export function countUnittest(name, output, exitCode) {
  const counts = result(name);
  const ran = Number(/^Ran (\d+) tests? in/m.exec(output)?.[1] ?? 0);
  const outcome = /^(?:OK|FAILED)(?: \((.*)\))?$/m.exec(output)?.[1] ?? '';
  const of = (kind) => Number(new RegExp(`${kind}=(\\d+)`).exec(outcome)?.[1] ?? 0);
  counts.failed = of('failures') + of('errors');
  counts.skipped = of('skipped');
  counts.passed = Math.max(0, ran - counts.failed - counts.skipped);
  for (const [, test] of output.matchAll(/^(?:FAIL|ERROR): (.+)$/gm)) counts.notes.push(test);
  if (ran === 0 || (exitCode !== 0 && counts.failed === 0)) {
    counts.failed++;
    counts.notes.push(`unittest ran ${ran} tests and ended with code ${exitCode}`);
  }
  return counts;
}

/** Sums results, prints one line for each and the last line `N passed, N failed[, N skipped]`. Under `strict` a skip is a failure. Returns the exit code. */
export function summarise(results, { strict = process.env.CI === 'true' } = {}) {
  const total = { passed: 0, failed: 0, skipped: 0 };
  console.log('');
  for (const { name, passed, failed, skipped, notes, seconds } of results) {
    total.passed += passed;
    total.failed += failed + (strict ? skipped : 0);
    total.skipped += strict ? 0 : skipped;
    console.log(
      `${failed > 0 || (strict && skipped > 0) ? 'FAIL' : skipped > 0 ? 'skip' : ' ok '} ${name}: ${passed} passed, ${failed} failed, ${skipped} skipped${seconds === undefined ? '' : ` (${Math.round(seconds)} s)`}`,
    );
    for (const note of notes.slice(0, 40)) console.log(`       ${note}`);
  }
  console.log(`${total.passed} passed, ${total.failed} failed${total.skipped > 0 ? `, ${total.skipped} skipped` : ''}`);
  return total.failed > 0 || total.passed === 0 ? 1 : 0;
}
