import { describe, expect, test } from 'vitest';
import { readFolderText } from './files';
import { type DirectoryHandle, fileListFolder, handleFolder, memoryFolder } from './folders';

const code = (expected: string) => expect.objectContaining({ code: expected });
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
