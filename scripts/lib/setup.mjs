// Sets up what the tests need where that is allowed: Rust and Chromium by apt-get when root on Debian, Chromium by Playwright's own download elsewhere.
// Each function answers whether the tool is there now, or the command that would bring it.
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { aptInstall, firstLine, mayUseApt, ROOT, runNode } from './run.mjs';

const OLDEST_CARGO = [1, 80]; // the Rust sources use LazyLock-era std

function cargoIsNewEnough() {
  const [, major, minor] = /cargo (\d+)\.(\d+)/.exec(firstLine('cargo') ?? '') ?? [];
  return Number(major) > OLDEST_CARGO[0] || (Number(major) === OLDEST_CARGO[0] && Number(minor) >= OLDEST_CARGO[1]);
}

/** @returns {Promise<{ ready: boolean, hint: string }>} */
export async function setUpCargo() {
  // Debian's cargo may be years old; its rustc-web and cargo-web packages (which compile natively too) are not.
  if (!cargoIsNewEnough() && mayUseApt()) await aptInstall(['rustc-web', 'cargo-web', 'gcc', 'libc6-dev']);
  if (!cargoIsNewEnough() && mayUseApt()) await aptInstall(['rustc', 'cargo', 'gcc', 'libc6-dev']);
  return {
    ready: cargoIsNewEnough(),
    hint: `Rust ${OLDEST_CARGO.join('.')} or newer: see rustup.rs, or on Debian: apt-get install rustc-web cargo-web`,
  };
}

const SYSTEM_BROWSERS = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome', '/usr/bin/google-chrome-stable'];

/** The path of a Chromium: FERRO_CHROMIUM, the system's, Playwright's own. */
export async function findChromium() {
  const { chromium } = await import('playwright-core');
  return [process.env.FERRO_CHROMIUM, ...SYSTEM_BROWSERS, chromium.executablePath()].find((path) => path && existsSync(path));
}

/** @returns {Promise<{ ready: boolean, hint: string, path?: string }>} */
export async function setUpChromium() {
  let path = await findChromium();
  if (!path && mayUseApt()) {
    await aptInstall(['chromium']);
    path = await findChromium();
  }
  if (!path) {
    console.log('setup: playwright-core install chromium');
    await runNode([join(ROOT, 'node_modules/playwright-core/cli.js'), 'install', 'chromium'], {
      capture: true,
      quiet: true,
      timeoutMs: 300_000,
    });
    path = await findChromium();
  }
  return {
    ready: path !== undefined,
    hint: 'a Chromium: npx playwright-core install chromium, or on Debian: apt-get install chromium',
    path,
  };
}

/** Where rustc's runtime of AddressSanitizer lies, if this toolchain has one. */
function hasAddressSanitizer(sysroot, host) {
  const folder = join(sysroot, 'lib', 'rustlib', host, 'lib');
  return existsSync(folder) && readdirSync(folder).some((name) => /^librustc.*_rt\.asan\.a$/.test(name));
}

/**
 * Rust with a C++ compiler (libFuzzer is C++), on Linux.
 * @returns {Promise<{ ready: boolean, hint: string, host: string, sanitizer: 'address' | 'none' }>}
 */
export async function setUpFuzzing() {
  const { ready, hint } = await setUpCargo();
  if (firstLine('c++') === undefined && mayUseApt()) await aptInstall(['g++']);
  const host = firstLine('rustc', ['--print', 'host-tuple']) ?? '';
  const sysroot = firstLine('rustc', ['--print', 'sysroot']) ?? '';
  return {
    ready: ready && firstLine('c++') !== undefined && host.includes('linux'),
    hint: `Linux, a C++ compiler (on Debian: apt-get install g++) and ${hint}`,
    host,
    sanitizer: hasAddressSanitizer(sysroot, host) ? 'address' : 'none',
  };
}
