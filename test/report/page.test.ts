import { escapeHtml, escapeJson, renderPage } from '../../lib/report/page';

test('what HTML and scripts read is escaped', () => {
  expect(escapeHtml(`<a href="x">'&'</a>`)).toBe('&lt;a href=&quot;x&quot;&gt;&#39;&amp;&#39;&lt;/a&gt;');
  const value = { text: '</script><!-- & \u2028 "' };
  const json = escapeJson(value);
  expect(json).not.toMatch(/[<>&\u2028]/);
  expect(JSON.parse(json)).toEqual(value);
});

test('a page is one file that asks for nothing', () => {
  const html = renderPage({ title: 'Title', facts: [['Name', 'value']], note: 'note', charts: [], table: { columns: [], rows: [] } });
  expect(html).toContain(`content="default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:"`);
  expect(html).not.toMatch(/<(script|img|iframe|link)[^>]+(src|href)="(?!data:)/);
  expect(html).toContain('<dt>Name</dt><dd>value</dd>');
  // The licence of the library asks for its notice.
  expect(html).toMatch(/Chart\.js v[\d.]+[\s\S]+MIT License/);
});
