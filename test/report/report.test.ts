import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';

import { Report } from '../../lib';
import { coded } from '../harness/errors';

class Small extends Report {
  readonly value = 1;
  protected override page() {
    return { title: 'Small', facts: [], note: '', charts: [], table: { columns: [], rows: [] } };
  }
  override toString() {
    return 'small report';
  }
}

const folder = mkdtempSync(join(tmpdir(), 'quanto-report-'));
afterAll(() => rmSync(folder, { recursive: true }));

test('a report is data, text and a page', async () => {
  const report = new Small();
  expect(JSON.parse(JSON.stringify(report))).toEqual({ value: 1 });
  expect(inspect(report)).toBe('small report');
  const path = join(folder, 'small.html');
  await report.saveHtml(path);
  expect(readFileSync(path, 'utf8')).toBe(report.html());
  expect(readdirSync(folder)).toEqual(['small.html']);
});

test('a place that cannot be written is an error with a code', async () => {
  await expect(new Small().saveHtml(join(folder, 'absent', 'a.html'))).rejects.toEqual(coded('IO'));
});
