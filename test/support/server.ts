// A small web server for browser tests: serves folders, with or without the headers that make a page cross-origin isolated, always under the strictest
// content security policy that the library promises to work with.
import { readFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { extname, join, normalize, sep } from 'node:path';
import { transform } from 'esbuild';

const TYPES: Record<string, string> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.ts': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.json': 'application/json',
  '.wasm': 'application/wasm',
};

/** What README.md tells users to send. */
export const POLICY = "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'";
const ISOLATION = { 'cross-origin-opener-policy': 'same-origin', 'cross-origin-embedder-policy': 'require-corp' };

/** A running server. */
export interface TestServer {
  readonly url: string;
  close(): Promise<void>;
}

/** Serves `root`; TypeScript files go out as JavaScript. `isolated` adds COOP and COEP. */
export async function serve(root: string, { isolated }: { isolated: boolean }): Promise<TestServer> {
  const server = createServer((request, response) => {
    const path = decodeURIComponent(new URL(request.url ?? '/', 'http://localhost').pathname);
    if (path === '/favicon.ico') {
      response.writeHead(204).end(); // asked for by every browser; a 404 would show as an error of the page
      return;
    }
    const file = join(root, normalize(path).replace(/[/\\]$/, `${sep}index.html`));
    content(file).then(
      (body) => {
        const headers = {
          'content-length': Buffer.byteLength(body),
          'content-type': TYPES[extname(file)] ?? 'application/octet-stream',
          'content-security-policy': POLICY,
        };
        response.writeHead(200, isolated ? { ...headers, ...ISOLATION } : headers).end(body);
      },
      () => response.writeHead(404, { 'content-type': 'text/plain' }).end(`no ${path}`),
    );
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}`, close: () => closeServer(server) };
}

async function content(file: string): Promise<Uint8Array | string> {
  const bytes = await readFile(file);
  return file.endsWith('.ts') ? (await transform(bytes, { loader: 'ts' })).code : bytes;
}

function closeServer(server: Server): Promise<void> {
  server.closeAllConnections();
  return new Promise((resolve, reject) => server.close((error) => (error ? reject(error) : resolve())));
}
