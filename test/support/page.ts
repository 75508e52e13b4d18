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

/** What the type checker finds wrong in programs, by their names. Together, as most of its work is to read the library. */
export function typeProblems(programs: ReadonlyMap<string, string>): string[] {
  const path = (name: string) => fileURLToPath(new URL(`test/docs/${name}.page.ts`, root));
  const codes = new Map(Array.from(programs, ([name, code]) => [path(name), code]));
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
  host.getSourceFile = (file, ...rest) => {
    const code = codes.get(file);
    return code === undefined ? getSourceFile.call(host, file, ...rest) : ts.createSourceFile(file, code, ts.ScriptTarget.ES2022);
  };
  host.fileExists = (file) => codes.has(file) || fileExists.call(host, file);
  host.readFile = (file) => codes.get(file) ?? read.call(host, file);
  const program = ts.createProgram([...codes.keys()], settings, host);
  return Array.from(programs.keys()).flatMap((name) => {
    const source = program.getSourceFile(path(name))!;
    return [...program.getSyntacticDiagnostics(source), ...program.getSemanticDiagnostics(source)].map(
      ({ messageText, start }) =>
        `docs/${name}.md: ${source.text.slice(start, start! + 60)}: ${ts.flattenDiagnosticMessageText(messageText, ' ')}`,
    );
  });
}
