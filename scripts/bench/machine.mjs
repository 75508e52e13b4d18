// What a record says about where it was made: processor, caches, memory, system, commit, load. Facts that cannot be read are left out.
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { arch, cpus, release, totalmem, type } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { ROOT } from '../lib/run.mjs';

const read = (path) => {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    return undefined;
  }
};

/** Cache sizes of the first core, by level, as Linux tells them. */
function caches() {
  const folder = '/sys/devices/system/cpu/cpu0/cache';
  try {
    return Object.fromEntries(
      readdirSync(folder)
        .filter((name) => /^index\d+$/.test(name))
        .sort()
        .map((name) => {
          const kind = { Data: 'd', Instruction: 'i', Unified: '' }[read(`${folder}/${name}/type`)] ?? '';
          return [`L${read(`${folder}/${name}/level`)}${kind}`, read(`${folder}/${name}/size`)];
        }),
    );
  } catch {
    return undefined;
  }
}

/** The vector instruction sets that matter to the numbers. */
function vectors() {
  const flags = /^flags\s*:(.*)$/m.exec(read('/proc/cpuinfo') ?? '')?.[1].split(' ') ?? [];
  return ['avx', 'fma', 'avx2', 'avx512f'].filter((name) => flags.includes(name));
}

/** How much of the processor others use now, 0 to 1: measured for a second, in which this process must do nothing. */
export async function busyShare() {
  const ticks = () =>
    cpus().reduce(({ idle, all }, { times }) => ({ idle: idle + times.idle, all: all + Object.values(times).reduce((a, b) => a + b) }), {
      idle: 0,
      all: 0,
    });
  const before = ticks();
  await sleep(1000);
  const after = ticks();
  return after.all === before.all ? 0 : 1 - (after.idle - before.idle) / (after.all - before.all);
}

/** Processor, memory and system. */
export function machine() {
  const system = /^PRETTY_NAME="?([^"\n]*)/m.exec(read('/etc/os-release') ?? '')?.[1];
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: cpus().length,
    vectors: vectors(),
    caches: caches(),
    memoryBytes: totalmem(),
    arch: arch(),
    os: [`${type()} ${release()}`, system].filter((text) => text !== undefined).join(', '),
  };
}

function git(...args) {
  const { status, stdout } = spawnSync('git', args, { cwd: ROOT, encoding: 'utf8' });
  return status === 0 ? stdout.trim() : undefined;
}

/** The commit, and whether files it tracks have changed since (records aside). */
export function commit() {
  const id = git('rev-parse', '--short=12', 'HEAD');
  return id === undefined
    ? {}
    : { commit: id, dirty: git('status', '--porcelain', '--untracked-files=no', '--', '.', ':!bench/record', ':!README.md') !== '' };
}
