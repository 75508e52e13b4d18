// docs/adding-a-layer.md, run and type-checked: its blocks of code, top to bottom, are one program.
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import ts from 'typescript';
import { beforeAll, describe, expect, it } from 'vitest';

const root = new URL('../../', import.meta.url);
/** What the test looks at, printed at the end of the program. */
const REPORT = `
const numbers = (_: string, value: unknown) => (ArrayBuffer.isView(value) ? Array.from(value as Float32Array) : value);
console.log('RESULT ' + JSON.stringify({ before, losses, count, evalLoss, stillTheSame, hidden, y }, numbers));
`;

/** The page's code. */
async function pageCode(): Promise<string> {
  const page = await readFile(new URL('docs/adding-a-layer.md', root), 'utf8');
  const blocks = Array.from(page.matchAll(/^```(\w*)\n([\s\S]*?)^```$/gm), ([, language, code]) => ({ language, code }));
  expect(blocks.map(({ language }) => language)).toEqual(blocks.map(() => 'ts'));
  return blocks.map(({ code }) => code).join('\n');
}

let code = '';
beforeAll(async () => {
  code = await pageCode();
});

describe('docs/adding-a-layer.md', () => {
  it('runs as it stands and does what it says', async () => {
    const dist = new URL('dist/index.node.js', root).href;
    const { outputText } = ts.transpileModule(code + REPORT, {
      compilerOptions: { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext },
    });
    const folder = await mkdtemp(join(tmpdir(), 'ferroformer-docs-'));
    try {
      const file = join(folder, 'page.mjs');
      await writeFile(file, outputText.replaceAll("'ferroformer'", JSON.stringify(dist)));
      const { stdout } = await promisify(execFile)(process.execPath, [file], { timeout: 50_000 });
      const result = JSON.parse(/^RESULT (.*)$/m.exec(stdout)![1]);
      expect(stdout).toContain('[ 2, 16 ] 32');
      expect(result.before).toEqual({ data: [expect.any(Number)], shape: [1, 1] });
      expect(result.losses).toHaveLength(150);
      expect(result.losses[149]).toBeLessThan(0.5 * result.losses[0]);
      expect(result.count).toBe(5);
      expect(result.evalLoss).toBeLessThan(0.5 * result.losses[0]);
      expect(result.stillTheSame).toBe(true);
      expect([result.hidden.shape, result.y.shape]).toEqual([
        [1, 16],
        [1, 1],
      ]);
      expect(result.hidden.data).toHaveLength(16);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });

  it('passes the type checker', () => {
    const name = fileURLToPath(new URL('test/docs/page.ts', root));
    const { config } = ts.readConfigFile(fileURLToPath(new URL('tsconfig.json', root)), ts.sys.readFile);
    const { options } = ts.parseJsonConfigFileContent(config, ts.sys, fileURLToPath(root));
    const settings = {
      ...options,
      noUnusedLocals: false,
      noImplicitOverride: false,
      paths: { ferroformer: [fileURLToPath(new URL('ts/index.node.ts', root))] },
    };
    const host = ts.createCompilerHost(settings);
    const { getSourceFile, fileExists, readFile: read } = host;
    host.getSourceFile = (file, ...rest) =>
      file === name ? ts.createSourceFile(file, code, ts.ScriptTarget.ES2022) : getSourceFile.call(host, file, ...rest);
    host.fileExists = (file) => file === name || fileExists.call(host, file);
    host.readFile = (file) => (file === name ? code : read.call(host, file));
    const program = ts.createProgram([name], settings, host);
    const source = program.getSourceFile(name)!;
    const problems = [...program.getSyntacticDiagnostics(source), ...program.getSemanticDiagnostics(source)];
    expect(
      problems.map(({ messageText, start }) => `${code.slice(start, start! + 60)}: ${ts.flattenDiagnosticMessageText(messageText, ' ')}`),
    ).toEqual([]);
  });
});
