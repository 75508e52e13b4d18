import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, describe, expect, test } from 'vitest';
import { type FileProgress, readFolderText } from './files';
import { type DirectoryHandle, fileListFolder, handleFolder, memoryFolder, urlFolder } from './folders';

const code = (expected: string) => expect.objectContaining({ code: expected });
const servers: Server[] = [];
afterAll(() => {
  for (const server of servers) server.close();
});

/** A web server on this machine; the address of its folder `models`. */
async function serve(listener: RequestListener): Promise<string> {
  const server = createServer(listener);
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/models`;
}

describe('folders without a file system', () => {
  test('files in memory, of every kind', async () => {
    const folder = memoryFolder(
      new Map<string, string | Uint8Array | Blob | Uint8Array[]>([
        ['text', 'é'],
        ['bytes', Uint8Array.of(0xc3, 0xa9)],
        ['blob', new Blob(['é'])],
        ['pieces', [Uint8Array.of(0xc3), Uint8Array.of(0xa9)]],
        ['__proto__', 'p'],
      ]),
    );
    for (const name of ['text', 'bytes', 'blob', 'pieces']) expect(await readFolderText(folder, name), name).toBe('é');
    expect(await readFolderText(folder, '__proto__')).toBe('p');
    expect(await readFolderText(folder, 'constructor')).toBeNull();
    const source = await folder.open('bytes');
    expect(source?.sizeBytes).toBe(2);
    expect(await source?.read(1, 2)).toEqual(Uint8Array.of(0xa9));
    for (const [start, end] of [
      [0, 3],
      [-1, 1],
      [2, 1],
    ]) {
      await expect(source?.read(start, end)).rejects.toThrowError(code('INVALID_FILE'));
    }
  });

  test('bytes in shared memory are copied', async () => {
    const shared = new Uint8Array(new SharedArrayBuffer(2));
    shared.set([104, 105]);
    expect(await readFolderText(memoryFolder(new Map([['a', shared]])), 'a')).toBe('hi');
  });

  test('a list of Files; of a chosen folder only the files directly in it', async () => {
    const nested = new File(['deep'], 'config.json');
    Object.defineProperty(nested, 'webkitRelativePath', { value: 'model/checkpoint-1/config.json' });
    const top = new File(['top'], 'config.json');
    Object.defineProperty(top, 'webkitRelativePath', { value: 'model/config.json' });
    const folder = fileListFolder([nested, top, new File(['x'], 'plain.txt')]);
    expect(await readFolderText(folder, 'config.json')).toBe('top');
    expect(await readFolderText(folder, 'plain.txt')).toBe('x');
    expect(await folder.has('none')).toBe(false);
  });

  test('a directory handle', async () => {
    const handle: DirectoryHandle = {
      name: 'opfs',
      getFileHandle: (name) => {
        if (name === 'a') return Promise.resolve({ getFile: () => Promise.resolve(new File(['text'], 'a')) });
        return Promise.reject(new DOMException('x', name === 'locked' ? 'NotAllowedError' : 'NotFoundError'));
      },
    };
    const folder = handleFolder(handle);
    expect(await readFolderText(folder, 'a')).toBe('text');
    expect(await folder.open('none')).toBeNull();
    expect([await folder.has('a'), await folder.has('none')]).toEqual([true, false]);
    await expect(folder.open('locked')).rejects.toThrowError(code('FILE_ERROR'));
  });
});

describe('a URL', () => {
  test('files are fetched below it, with progress; what is not there is null', async () => {
    const asked: string[] = [];
    const base = await serve((request, response) => {
      asked.push(`${request.method} ${request.url}`);
      if (request.url !== '/models/a.txt') response.writeHead(404).end('no');
      else response.writeHead(200, { 'content-length': 6 }).end(request.method === 'HEAD' ? undefined : 'abcdef');
    });
    const progress: FileProgress[] = [];
    const folder = urlFolder(base);
    const source = await folder.open('a.txt', { onProgress: (p) => progress.push(p) });
    expect(new TextDecoder().decode(await source?.read(1, 4))).toBe('bcd');
    expect(progress.at(-1)).toEqual({ name: 'a.txt', loadedBytes: 6, totalBytes: 6 });
    expect(await folder.open('none')).toBeNull();
    expect([await folder.has('a.txt'), await folder.has('none')]).toEqual([true, false]);
    expect(await urlFolder(`${base}/`).has('a.txt')).toBe(true);
    expect(asked).toEqual(['GET /models/a.txt', 'GET /models/none', 'HEAD /models/a.txt', 'HEAD /models/none', 'HEAD /models/a.txt']);
  });

  test('other answers, a broken connection and a cut file are typed errors', async () => {
    const base = await serve((request, response) => {
      if (request.url?.endsWith('broken')) response.writeHead(500).end();
      else if (request.url?.endsWith('cut')) {
        response.writeHead(200, { 'content-length': 100 }).write('abc');
        setTimeout(() => response.destroy(), 20);
      } else response.destroy();
    });
    await expect(urlFolder(base).open('broken')).rejects.toThrowError(/must be served with status 200, got 500/);
    await expect(urlFolder(base).open('cut')).rejects.toThrowError(code('FILE_ERROR'));
    await expect(urlFolder(base).open('gone')).rejects.toThrowError(code('FILE_ERROR'));
    await expect(urlFolder('http://127.0.0.1:1/').open('x')).rejects.toThrowError(code('FILE_ERROR'));
  });

  test('a packed answer has no known length', async () => {
    const { gzipSync } = await import('node:zlib');
    const packed = gzipSync('abc'.repeat(1000));
    const base = await serve((_, response) =>
      response.writeHead(200, { 'content-encoding': 'gzip', 'content-length': packed.length }).end(packed),
    );
    const source = await urlFolder(base).open('x');
    expect(source?.sizeBytes).toBe(3000);
  });

  test('an abort ends the download', async () => {
    const base = await serve((_, response) => response.writeHead(200).write('abc'));
    const controller = new AbortController();
    const opening = urlFolder(base).open('x', { signal: controller.signal, onProgress: () => controller.abort() });
    await expect(opening).rejects.toThrowError(code('ABORTED'));
    await expect(urlFolder(base).open('x', { signal: AbortSignal.abort() })).rejects.toThrowError(code('ABORTED'));
  });
});
