import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describeWithBrowser, visit } from '../harness/browser';
import { type Outcome, runExample } from './run';

const folder = mkdtempSync(join(tmpdir(), 'quanto-report-'));
let outcome: Outcome;

beforeAll(async () => {
  outcome = await runExample('report.ts', folder);
}, 300_000);
afterAll(() => rmSync(folder, { recursive: true }));

test('it prints how the layers are computed, what they lose and a map of qtypes', () => {
  const { code, stdout, stderr } = outcome;
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  expect(stdout.match(/^\d +QLinear +qint8 +qint8 +yes +yes +qint8 .*linearInt8/gm)).toHaveLength(3);
  const [, sqnr] = /^output: SQNR ([\d.]+) dB, cosine 0\.99\d+/m.exec(stdout)!;
  expect(Number(sqnr)).toBeGreaterThan(20);
  // Three layers, two qtypes.
  expect(stdout.match(/^\d +(qint8|qfloat8_e5m2) +qint8 +[\d.]+ +[\d.e-]+ +[\d.]+ [kM]B/gm)).toHaveLength(6);
  const [, limit, map, estimate] = /^suggested for (\d+) bytes: (\{.*\}), estimated (\{.*\})$/m.exec(stdout)!;
  expect(Object.keys(JSON.parse(map) as object).length).toBeGreaterThan(0);
  expect((JSON.parse(estimate) as { bytes: number }).bytes).toBeLessThanOrEqual(Number(limit));
});

describeWithBrowser('its pages', (browser) => {
  test.each([
    ['comparison.html', ['Signal to quantization noise', 'Change of direction', 'Largest error', 'Saturated activation codes'], 3],
    ['sensitivity.html', ['Loss of each module alone', 'Memory that it saves'], 6],
  ])('%s shows its plots and its table offline, without an error', async (file, titles, rows) => {
    const { page, plots, messages, requests } = await visit(browser(), join(folder, file));
    expect({ messages, requests }).toEqual({ messages: [], requests: [] });
    expect(await page.locator('h2').allTextContents()).toEqual(titles);
    expect(plots.map(({ label }) => label.split('.')[0])).toEqual(titles);
    for (const { width, height, drawn, colours } of plots) {
      expect(Math.min(width, height)).toBeGreaterThan(100);
      expect(drawn).toBeGreaterThan(1000);
      expect(colours).toBeGreaterThan(2);
    }
    expect(await page.locator('tbody tr').count()).toBe(rows);
    await page.context().close();
  });
});
