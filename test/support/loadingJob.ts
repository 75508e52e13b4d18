// Loads one model in every way a page can: from a URL, from File objects, from a directory handle; saves it there again. Given the library, answers plain
// data. Imports types alone: a page loads this file as it is.
import type * as Library from 'ferroformer';

/** What to load. */
export interface LoadingJob {
  /** The folder's address. */
  url: string;
  /** Names of its files. */
  files: string[];
  /** An address below which every answer is a web page or nothing. */
  nothing: string;
}

/** What came of it: hashes of the parameters, bytes of progress, codes of errors. */
export interface LoadingOutcome {
  hashes: Record<string, string>;
  progress: { loadedBytes: number; totalBytes?: number };
  errors: string[];
  liveBytes: number[];
}

/** Loads the model in every way; `hashParameters` is that of trainingJob.ts. */
export async function load(
  library: typeof Library,
  { url, files, nothing }: LoadingJob,
  hashParameters: (model: Library.GPT) => Promise<string>,
): Promise<LoadingOutcome> {
  const { Engine, GPT } = library;
  const engine = await Engine.start({ threads: 1, simd: 'portable', onWarning: () => undefined });
  try {
    const before = (await engine.info.bytes()).live;
    const hashes: Record<string, string> = {};
    let progress: LoadingOutcome['progress'] = { loadedBytes: 0 };
    const take = async (name: string, source: Library.PretrainedSource) => {
      const model = await GPT.fromPretrained(engine, source, {
        onProgress: (now) => {
          if (name === 'url') progress = { loadedBytes: now.loadedBytes, totalBytes: now.totalBytes };
        },
      });
      hashes[name] = await hashParameters(model);
      return model;
    };
    const model = await take('url', url);
    await model.close();
    const blobs = await Promise.all(files.map(async (file) => new File([await (await fetch(`${url}/${file}`)).blob()], file)));
    const fromFiles = await take('files', blobs);
    const root = await navigator.storage.getDirectory();
    const folder = await root.getDirectoryHandle('model', { create: true });
    for (const [name, blob] of await fromFiles.toFiles({ dtype: 'bfloat16', maxShardSize: '4KB' })) {
      const writable = await (await folder.getFileHandle(name, { create: true })).createWritable();
      await writable.write(blob);
      await writable.close();
    }
    await fromFiles.close();
    await (await take('handle', folder)).close();
    const errors: string[] = [];
    for (const source of [nothing, `${url}-none`, 'a/path']) {
      await GPT.fromPretrained(engine, source).then(
        () => errors.push('none'),
        (error: { code: string }) => errors.push(error.code),
      );
    }
    return { hashes, progress, errors, liveBytes: [before, (await engine.info.bytes()).live] };
  } finally {
    await engine.close();
  }
}
