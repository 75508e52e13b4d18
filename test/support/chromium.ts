// The Chromium of browser tests: FERRO_CHROMIUM, which scripts/test.mjs sets to the one it found or installed; else Playwright's own.
import { type Browser, chromium } from 'playwright-core';

/** Starts it. Sandboxing needs privileges that containers do not give. */
export function launchChromium(): Promise<Browser> {
  return chromium.launch({
    executablePath: process.env.FERRO_CHROMIUM ?? chromium.executablePath(),
    args: ['--no-sandbox', '--disable-dev-shm-usage'],
  });
}
