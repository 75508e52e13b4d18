// What a record says about where it was made: processor, caches, memory, system, commit, load. Facts that cannot be read are left out.
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { arch, cpus, loadavg, release, totalmem, type } from 'node:os';
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

/** Processor, memory, system and how busy it is now. */
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
    loadAverage: loadavg()[0],
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
