// Which programs take part in a comparison: each Node binary with each variant of ours, PyTorch in each mode. Options become commands here.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

/** Ways to run ours: values of the `simd` option; the engine sets what V8 needs for them. */
export const VARIANTS = {
  default: { simd: 'auto' },
  auto256: { simd: 'auto256' },
  relaxed: { simd: 'relaxed' },
  portable: { simd: 'portable' },
};

/** Modes of torch_step.py. */
export const MODES = ['eager', 'compile', 'bf16'];

// An OpenBLAS that somebody has tuned for this machine, or NumPy's, must not decide; the number of threads is ours to say.
const torchEnv = (threads) => ({
  OPENBLAS_CORETYPE: undefined,
  OPENBLAS_L2_SIZE: undefined,
  OMP_NUM_THREADS: String(threads),
  MKL_NUM_THREADS: String(threads),
});

/**
 * `PATH,PATH=variant+variant`: binaries, each with the variants named after it, else with all of `variants`.
 * @returns {{ program: string, version: string, variants: string[] }[]}
 */
export function parseNodes(text, variants) {
  return text.split(',').map((entry) => {
    const [, program, own] = /^(.*?)(?:=([a-z0-9+]+))?$/.exec(entry);
    const chosen = own === undefined ? variants : own.split('+');
    for (const name of chosen) {
      if (!(name in VARIANTS)) throw new Error(`variants must be among ${Object.keys(VARIANTS).join(', ')}, got ${JSON.stringify(name)}`);
    }
    const { status, stdout } = spawnSync(program, ['--version'], { encoding: 'utf8' });
    const version = /^v\d+\.\d+\.\d+/.exec(stdout ?? '');
    if (status !== 0 || version === null) throw new Error(`--nodes must name Node binaries, got ${JSON.stringify(program)}`);
    return { program, version: version[0], variants: chosen };
  });
}

/**
 * The sides of one comparison, PyTorch eager first.
 * @returns {{ name: string, kind: 'torch' | 'ours', mode?: string, variant?: string, node?: string, command: object }[]}
 */
export function makeSides({ torch, modes, nodes, folder, threads }) {
  const theirs = ['eager', ...modes.filter((mode) => mode !== 'eager')].map((mode) => ({
    name: `torch ${mode}`,
    kind: 'torch',
    mode,
    command: {
      program: torch,
      args: [join('scripts', 'torch_step.py'), folder, '--threads', String(threads), '--mode', mode],
      env: torchEnv(threads),
    },
  }));
  const ours = nodes.flatMap(({ program, version, variants }) =>
    variants.map((variant) => {
      const { simd } = VARIANTS[variant];
      const args = [join('scripts', 'bench', 'ours.mjs'), folder, '--threads', String(threads), '--simd', simd];
      return { name: `node ${version.slice(1)} ${variant}`, kind: 'ours', variant, node: version, command: { program, args } };
    }),
  );
  return [...theirs, ...ours];
}
