import { existsSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { type Browser, chromium, type Page } from 'playwright-core';

const executablePath = process.env.QUANTO_CHROMIUM ?? '/usr/bin/chromium';
const args = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/** `describe` with a running Chromium, or one skipped test that says why where none is installed. */
export function describeWithBrowser(name: string, body: (browser: () => Browser) => void): void {
  if (!existsSync(executablePath)) {
    test.skip(`${name}: no Chromium at ${executablePath} (Debian: apt-get install chromium; QUANTO_CHROMIUM names another)`, () =>
      undefined);
    return;
  }
  describe(name, () => {
    let browser: Browser;
    beforeAll(async () => {
      browser = await chromium.launch({ executablePath, args });
    });
    afterAll(() => browser.close());
    body(() => browser);
  });
}

/** A plot as the browser shows it. */
export interface Plot {
  label: string;
  width: number;
  height: number;
  /** Pixels that something was drawn on. */
  drawn: number;
  colours: number;
}

/** What happened while a page was open. */
export interface Visit {
  page: Page;
  plots: Plot[];
  /** Messages of the console and uncaught errors. */
  messages: string[];
  /** Requests beside the one for the page. */
  requests: string[];
}

/** Opens a file of HTML without a network. */
export async function visit(browser: Browser, file: string, colorScheme: 'light' | 'dark' = 'light'): Promise<Visit> {
  const context = await browser.newContext({ colorScheme, viewport: { width: 1600, height: 900 }, offline: true });
  const page = await context.newPage();
  const messages: string[] = [];
  const requests: string[] = [];
  const url = pathToFileURL(file).href;
  page.on('console', (message) => messages.push(`${message.type()}: ${message.text()}`));
  page.on('pageerror', (error) => messages.push(`uncaught: ${error.message}`));
  page.on('request', (request) => request.url() !== url && requests.push(request.url()));
  await page.goto(url, { waitUntil: 'load' });
  return { page, plots: await plotsOf(page), messages, requests };
}

async function plotsOf(page: Page): Promise<Plot[]> {
  // Runs in the page, whose types this program does not know.
  return page.evaluate(`[...document.querySelectorAll('canvas')].map((canvas) => {
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    const pixels = new Uint32Array(data.buffer).filter((pixel) => pixel !== 0);
    const { width, height } = canvas.getBoundingClientRect();
    return { label: canvas.getAttribute('aria-label'), width, height, drawn: pixels.length, colours: new Set(pixels).size };
  })`);
}
