import { runInNewContext } from 'node:vm';

import { asInlineScript, chartLibrary } from '../../lib/report/chart-library';

test('the library is a script that defines Chart', () => {
  const context: { Chart?: { version?: string } } = {};
  runInNewContext(chartLibrary(), context);
  expect(context.Chart?.version).toMatch(/^\d+\.\d+\.\d+$/);
  expect(chartLibrary()).toBe(chartLibrary());
});

test('it can stand in a script element, and its source map is not asked for', () => {
  expect(chartLibrary()).not.toMatch(/<\/script|<!--|sourceMappingURL/i);
  expect(asInlineScript(`a("</SCRIPT>");b("<!--")\n//# sourceMappingURL=c.map\n`)).toBe('a("<\\/script>");b("<\\!--")\n\n');
});
