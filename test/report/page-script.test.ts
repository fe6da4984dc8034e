import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { type Chart, renderPage } from '../../lib/report/page';
import { Report } from '../../lib/report/report';
import { describeWithBrowser, visit } from '../harness/browser';

// Names that would break out of text, attributes, scripts and JSON if anything were left unescaped.
const hostile = ['</script><script>alert(1)</script>', '"><img src=x onerror=alert(2)>', "<!-- ' & --> \u2028", '__proto__', ''];

const chart = (changes: Partial<Chart> = {}): Chart => ({
  title: 'Bars of <b>',
  axis: 'length (m)',
  note: 'Longer & better.',
  labels: hostile,
  series: [
    { label: 'first', values: [1, 2, 3, null, Infinity], texts: ['1 m', '2 m', '3 m', 'none', '∞'] },
    { label: 'second </script>', values: [-1, NaN, 0, 4, 5], texts: ['-1 m', 'NaN', '0 m', '4 m', '5 m'] },
  ],
  scale: 'linear',
  ...changes,
});

class HostileReport extends Report {
  protected override page() {
    const rows = hostile.map((name) => [name, '1']);
    const table = {
      columns: [
        { title: 'Name <i>', align: 'left' as const },
        { title: 'Value', align: 'right' as const },
      ],
      rows,
    };
    const charts = [chart(), chart({ title: 'Logarithmic', scale: 'logarithmic' })];
    return { title: 'A <title>', facts: [['fact <', '"value"']] as const, note: 'a <note>', charts, table };
  }
  override toString() {
    return 'hostile';
  }
}

describeWithBrowser('the page in a browser', (browser) => {
  const folder = mkdtempSync(join(tmpdir(), 'quanto-page-'));
  const file = join(folder, 'a page #1?.html');
  beforeAll(() => new HostileReport().saveHtml(file));
  afterAll(() => rmSync(folder, { recursive: true }));

  test.each(['light', 'dark'] as const)('draws its plots offline, without an error (%s)', async (scheme) => {
    const { plots, messages, requests, page } = await visit(browser(), file, scheme);
    expect({ messages, requests }).toEqual({ messages: [], requests: [] });
    expect(plots).toHaveLength(2);
    for (const plot of plots) {
      expect(plot.width).toBeGreaterThan(200);
      expect(plot.height).toBeGreaterThan(100);
      expect(plot.drawn).toBeGreaterThan(1000);
      expect(plot.colours).toBeGreaterThan(2);
    }
    expect(plots[0].label).toContain('Bars of <b>. Longer & better.');
    await page.context().close();
  });

  test('shows names as they are', async () => {
    const { page } = await visit(browser(), file);
    expect(await page.locator('tbody th').allTextContents()).toEqual(hostile);
    expect(await page.title()).toBe('A <title>');
    expect(await page.locator('img, b, i').count()).toBe(0);
    await page.context().close();
  });

  test('the reader may change to dark while it is open', async () => {
    const { page, messages } = await visit(browser(), file, 'light');
    const picture = () => page.evaluate(`document.querySelector('canvas').toDataURL()`);
    const light = await picture();
    // The page hears of it a little later; what never comes ends the test by its time limit.
    const changesTo = async (scheme: 'light' | 'dark', isDrawn: (now: unknown) => boolean) => {
      await page.emulateMedia({ colorScheme: scheme });
      while (!isDrawn(await picture())) await page.waitForTimeout(10);
    };
    await changesTo('dark', (now) => now !== light);
    await changesTo('light', (now) => now === light);
    expect(messages).toEqual([]);
    await page.context().close();
  });

  test('a tooltip gives the whole name and the value with its unit', async () => {
    const { page } = await visit(browser(), file);
    const canvas = page.locator('canvas').first();
    const box = (await canvas.boundingBox())!;
    await canvas.hover({ position: { x: box.width / 2, y: box.height / 2 } });
    const shown = await page.evaluate(`(() => {
      const { tooltip } = Chart.getChart(document.querySelector('canvas'));
      return { opacity: tooltip.opacity, title: tooltip.title, body: tooltip.body.map(({ lines }) => lines[0]) };
    })()`);
    expect(shown).toEqual({ opacity: 1, title: [hostile[2]], body: ['first: 3 m', 'second </script>: 0 m'] });
    await page.context().close();
  });
});

test('hundreds of modules give plots that can be read, and a whole table', () => {
  const labels = Array.from({ length: 500 }, (_, i) => `layer.${i}`);
  const values = labels.map((_, i) => i);
  const many = chart({ labels, series: [{ label: 'x', values, texts: values.map(String) }] });
  const table = { columns: [{ title: 'Module', align: 'left' as const }], rows: labels.map((label) => [label]) };
  const html = renderPage({ title: 't', facts: [], note: '', charts: [many], table });
  expect(html.match(/<th scope="row">/g)).toHaveLength(500);
  expect(html).toContain('The first 60 of 500; the table has all.');
  expect(html).toContain('"layer.59"]');
  expect(html).not.toContain('"layer.60"');
});
