import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gzipSync } from 'node:zlib';
import { afterAll, describe, expect, test } from 'vitest';
import { readFolderText, toBlob } from './files';
import { writeSafetensors } from './safetensorsWriter';
import { weightsToFiles } from './saveWeights';
import { urlFolder } from './urlFolder';
import { openWeights } from './weightFiles';

const code = (expected: string) => expect.objectContaining({ code: expected });
const servers: Server[] = [];
afterAll(() => {
  for (const server of servers) {
    server.closeAllConnections();
    server.close();
  }
});

/** A web server on this machine; the address of its folder `models`. */
async function serve(listener: RequestListener): Promise<string> {
  const server = createServer(listener);
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/models`;
}

/** Bytes 0, 1, 2 … modulo 251, so that every place can be told from its neighbours. */
const numbered = (length: number) => Uint8Array.from({ length }, (_, i) => i % 251);

/** Serves one file, with ranges if `ranges`; what was asked for is noted as "0-", "100-". */
function fileServer(bytes: Uint8Array, ranges: boolean, asked: string[], headers: Record<string, string> = {}): RequestListener {
  return (request: IncomingMessage, response: ServerResponse) => {
    const range = /^bytes=(\d+)-$/.exec(request.headers.range ?? '');
    asked.push(`${range?.[1] ?? 0}-`);
    const start = range !== null && ranges ? Number(range[1]) : 0;
    const partial = start > 0 ? { 'content-range': `bytes ${start}-${bytes.length - 1}/${bytes.length}` } : {};
    response.writeHead(start > 0 ? 206 : 200, { 'content-length': bytes.length - start, ...partial, ...headers });
    response.end(Buffer.from(bytes.subarray(start)));
  };
}

describe('a URL', () => {
  test('files are fetched below it; a query goes to each; what is not there is null', async () => {
    const asked: string[] = [];
    const base = await serve((request, response) => {
      asked.push(`${request.method} ${request.url}`);
      if (!request.url?.startsWith('/models/a.txt')) response.writeHead(404).end('no');
      else response.writeHead(200, { 'content-length': 6 }).end(request.method === 'HEAD' ? undefined : 'abcdef');
    });
    const folder = urlFolder(base);
    const source = await folder.open('a.txt');
    expect(source?.sizeBytes).toBe(6);
    expect(new TextDecoder().decode(await source?.read(1, 4))).toBe('bcd');
    expect(await folder.open('none')).toBeNull();
    expect(folder.whyAbsent?.('none')).toBe('status 404');
    expect([await folder.has('a.txt'), await folder.has('none')]).toEqual([true, false]);
    expect(await urlFolder(`${base}/?key=1`).has('a.txt')).toBe(true);
    const [get, head] = [(file: string) => `GET /models/${file}`, (file: string) => `HEAD /models/${file}`];
    expect(asked).toEqual([get('a.txt'), get('none'), head('a.txt'), head('none'), head('a.txt?key=1')]);
  });

  test('names of files are data: they cannot leave the folder', async () => {
    const asked: (string | undefined)[] = [];
    const base = await serve((request, response) => {
      asked.push(request.url);
      response.writeHead(404).end();
    });
    for (const name of ['../secret', '//elsewhere.example/x', 'a?b#c', 'a/../../b']) expect(await urlFolder(base).open(name)).toBeNull();
    for (const url of asked) expect(url).toMatch(/^\/models\/[^/?#]+$/);
  });

  test('one response is consumed from front to end, whatever the reads; short gaps are dropped', async () => {
    const asked: string[] = [];
    const bytes = numbered(3_000_000);
    const source = (await urlFolder(await serve(fileServer(bytes, true, asked))).open('f'))!;
    for (const [start, end] of [
      [0, 8],
      [8, 1000],
      [1000, 1000],
      [500_000, 2_500_000],
      [2_999_999, 3_000_000],
    ]) {
      expect(Buffer.from(await source.read(start, end)).equals(bytes.slice(start, end)), `${start} to ${end}`).toBe(true);
    }
    await source.close();
    expect(asked).toEqual(['0-']);
    await expect(source.read(0, 3_000_001)).rejects.toThrowError(code('INVALID_FILE'));
  });

  test.each([true, false])('reads back and far ahead begin again (ranges: %s)', async (ranges) => {
    const asked: string[] = [];
    const bytes = numbered(6_000_000);
    const source = (await urlFolder(await serve(fileServer(bytes, ranges, asked))).open('f'))!;
    expect(await source.read(5_000_000, 5_000_010)).toEqual(bytes.slice(5_000_000, 5_000_010));
    expect(await source.read(2_000_000, 2_000_010)).toEqual(bytes.slice(2_000_000, 2_000_010));
    expect(await source.read(4_500_000, 4_500_010)).toEqual(bytes.slice(4_500_000, 4_500_010));
    await source.close();
    // Without ranges the first attempt says so, and going ahead then means reading on.
    expect(asked).toEqual(ranges ? ['0-', '5000000-', '2000000-', '4500000-'] : ['0-', '5000000-', '0-']);
  });

  test('reads at once are served one after the other', async () => {
    const bytes = numbered(100_000);
    const source = (await urlFolder(await serve(fileServer(bytes, true, []))).open('f'))!;
    const parts = await Promise.all([source.read(50_000, 100_000), source.read(0, 10), source.read(10, 20)]);
    expect(Buffer.from(parts[0]).equals(bytes.slice(50_000))).toBe(true);
    expect(parts.slice(1)).toEqual([bytes.slice(0, 10), bytes.slice(10, 20)]);
    await source.close();
  });

  test('a redirect is followed', async () => {
    const base = await serve((request, response) => {
      if (request.url?.startsWith('/models/')) response.writeHead(302, { location: '/blobs/abc' }).end();
      else response.writeHead(200, { 'content-length': 2 }).end('ok');
    });
    expect(await readFolderText(urlFolder(base), 'config.json')).toBe('ok');
    const loop = await serve((request, response) => response.writeHead(302, { location: request.url }).end());
    await expect(urlFolder(loop).open('config.json')).rejects.toThrowError(code('FILE_ERROR'));
  });

  test('a web page in place of a file is no file', async () => {
    const base = await serve((_, response) => response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' }).end('<html>'));
    const folder = urlFolder(base);
    expect(await folder.open('config.json')).toBeNull();
    expect(folder.whyAbsent?.('config.json')).toMatch(/^a web page \(text\/html\) from http/);
    await expect(openWeights(folder)).rejects.toThrowError(/must have model.safetensors or .*, got a web page \(text\/html\)/);
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
    const cut = (await urlFolder(base).open('cut'))!;
    await expect(cut.read(0, 100)).rejects.toThrowError(/must arrive whole, got .* after 3 of 100 bytes/);
    await expect(urlFolder(base).open('gone')).rejects.toThrowError(code('FILE_ERROR'));
    await expect(urlFolder('http://127.0.0.1:1/').open('x')).rejects.toThrowError(code('FILE_ERROR'));
  });

  test('a file that changes between two responses is refused', async () => {
    for (const change of [{ etag: '"2"' }, undefined]) {
      let count = 0;
      const bytes = numbered(3_000_000);
      const base = await serve((request, response) => {
        count++;
        const now = count > 1 && change === undefined ? bytes.subarray(0, 2_000_000) : bytes;
        fileServer(now, true, [], count > 1 && change !== undefined ? change : { etag: '"1"' })(request, response);
      });
      const source = (await urlFolder(base).open('f'))!;
      await source.read(0, 10);
      await expect(source.read(1_500_000, 1_500_010)).rejects.toThrowError(/must stay the same while it is read/);
    }
  });

  test('a packed or chunked answer has no known length: it is downloaded whole', async () => {
    const packed = gzipSync('abc'.repeat(1000));
    let fetched = 0;
    const onBytes = (bytes: number) => {
      fetched += bytes;
    };
    const gzip = await serve((_, response) =>
      response.writeHead(200, { 'content-encoding': 'gzip', 'content-length': packed.length }).end(packed),
    );
    expect((await urlFolder(gzip).open('x', { onBytes }))?.sizeBytes).toBe(3000);
    const chunked = await serve((_, response) => {
      response.writeHead(200);
      response.write('abc');
      response.end('def');
    });
    expect(await (await urlFolder(chunked).open('x', { onBytes }))?.read(2, 4)).toEqual(new TextEncoder().encode('cd'));
    expect(fetched).toBe(3006);
  });

  test('an abort ends the download', async () => {
    const base = await serve((_, response) => response.writeHead(200, { 'content-length': 100 }).write('abc'));
    const controller = new AbortController();
    const source = (await urlFolder(base).open('x', { signal: controller.signal }))!;
    const reading = source.read(0, 100);
    controller.abort();
    await expect(reading).rejects.toThrowError(code('ABORTED'));
    await expect(urlFolder(base).open('x', { signal: AbortSignal.abort() })).rejects.toThrowError(code('ABORTED'));
  });

  test('shards: headers first, then each from front to end, one response at a time', async () => {
    const tensors = new Map(Array.from({ length: 6 }, (_, i) => [`t${i}`, { shape: [5000], data: new Float32Array(5000).fill(i) }]));
    const files = weightsToFiles(tensors, 40_000);
    expect([...files.keys()].filter((name) => name.endsWith('.safetensors'))).toHaveLength(3);
    const asked: string[] = [];
    let [open, most] = [0, 0];
    const base = await serve((request, response) => {
      const name = request.url?.slice('/models/'.length) ?? '';
      const data = files.get(name);
      if (data === undefined) return void response.writeHead(404).end();
      most = Math.max(most, ++open);
      response.on('close', () => {
        open--;
      });
      const notes: string[] = [];
      void toBlob(data)
        .then((blob) => blob.arrayBuffer())
        .then((bytes) => {
          fileServer(new Uint8Array(bytes), true, notes)(request, response);
          asked.push(`${name.slice(0, 11)} ${notes[0]}`);
        });
    });
    const weights = await openWeights(urlFolder(base));
    for (const name of weights.names()) expect(await weights.float32(name)).toEqual(tensors.get(name)?.data);
    await weights.close();
    expect(most).toBeLessThanOrEqual(2); // the one before may still be closing
    expect(asked.filter((line) => line.endsWith(' 0-')).length).toBe(4); // three shards and the index
    expect(asked.filter((line) => !line.endsWith(' 0-')).length).toBeLessThanOrEqual(3);
  });

  test('a truncated file on a server is refused before any use', async () => {
    const bytes = new Uint8Array(
      await (await toBlob(writeSafetensors(new Map([['a', { shape: [100], data: new Float32Array(100) }]])))).arrayBuffer(),
    );
    const base = await serve((request, response) => {
      if (request.url?.endsWith('/model.safetensors')) fileServer(bytes.subarray(0, 200), true, [])(request, response);
      else response.writeHead(404).end();
    });
    await expect(openWeights(urlFolder(base))).rejects.toThrowError(code('INVALID_CHECKPOINT'));
  });
});
