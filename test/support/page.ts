// Pages of docs/ whose blocks of code, top to bottom, are one program: the program, what it prints when it runs on the built package, and what the type
// checker says of it.
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import ts from 'typescript';

const root = new URL('../../', import.meta.url);

/** The blocks of a page, such as `adding-a-layer`. @throws when one is not TypeScript */
export async function pageBlocks(name: string): Promise<string[]> {
  const page = await readFile(new URL(`docs/${name}.md`, root), 'utf8');
  return Array.from(page.matchAll(/^```(\w*)\n([\s\S]*?)^```$/gm), ([, language, code]) => {
    if (language !== 'ts') throw new Error(`docs/${name}.md: every block must be ts, got ${language}`);
    return code;
  });
}

/** What a program prints. */
export async function runPage(code: string): Promise<string> {
  const { outputText } = ts.transpileModule(code, { compilerOptions: { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext } });
  const folder = await mkdtemp(join(tmpdir(), 'ferroformer-docs-'));
  try {
    const file = join(folder, 'page.mjs');
    await writeFile(file, outputText.replaceAll("'ferroformer'", JSON.stringify(new URL('dist/index.node.js', root).href)));
    return (await promisify(execFile)(process.execPath, [file], { timeout: 50_000 })).stdout;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** What the type checker finds wrong. */
export function typeProblems(code: string): string[] {
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
  return [...program.getSyntacticDiagnostics(source), ...program.getSemanticDiagnostics(source)].map(
    ({ messageText, start }) => `${code.slice(start, start! + 60)}: ${ts.flattenDiagnosticMessageText(messageText, ' ')}`,
  );
}
