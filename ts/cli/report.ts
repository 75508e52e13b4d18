// report.html of a run: one file without any network access, made from run.json, metrics.jsonl and samples.jsonl. Numbers are embedded as JSON and drawn by
// uPlot (inlined); every text that comes from data or from a model is escaped. What the page looks like is in reportPage.ts.

import { readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { reportPage } from './reportPage';

/** A text the model wrote during training. */
export interface Sample {
  step: number;
  prompt: string;
  text: string;
}

/** One line of metrics.jsonl. */
export type MetricsLine = Record<string, number | null>;

/** A table of texts. */
export interface ReportTable {
  title: string;
  head: readonly string[];
  rows: readonly (readonly string[])[];
}

/** What the page is made from. */
export interface ReportData {
  title: string;
  /** Name and value of what was run, top to bottom. */
  facts: readonly (readonly [string, string])[];
  metrics: readonly MetricsLine[];
  samples: readonly Sample[];
  /** What the last evaluation found, above the charts. */
  tables?: readonly ReportTable[];
  /** What the speed counts; 'tokens' by default. */
  unit?: 'tokens' | 'examples';
}

/** The objects of a file with one JSON object per line; a last line that was cut off by a crash is left out. [] where there is no file. */
export async function readJsonLines<T extends object>(path: string): Promise<T[]> {
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return '';
    throw error;
  });
  const objects: T[] = [];
  for (const line of text.split('\n')) {
    if (line.trim() === '') continue;
    try {
      const value: unknown = JSON.parse(line);
      if (typeof value === 'object' && value !== null) objects.push(value as T);
    } catch {
      // An unfinished line: the process was killed while writing it.
    }
  }
  return objects;
}

/** Writes `directory`/report.html from the files of the run; answers its path. */
export async function writeReport(
  directory: string,
  title: string,
  facts: ReportData['facts'],
  { tables, unit }: Pick<ReportData, 'tables' | 'unit'> = {},
): Promise<string> {
  const metrics = await readJsonLines<MetricsLine>(join(directory, 'metrics.jsonl'));
  const samples = await readJsonLines<Sample>(join(directory, 'samples.jsonl'));
  const path = join(directory, 'report.html');
  await writeFile(`${path}.tmp`, reportPage({ title, facts, metrics, samples, tables, unit }));
  await rename(`${path}.tmp`, path);
  return path;
}
