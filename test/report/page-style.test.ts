import { pageStyle } from '../../lib/report/page-style';

/** The custom properties of a block of the style. */
function colours(block: string): Record<string, string> {
  return Object.fromEntries([...block.matchAll(/--([\w-]+): (#[0-9a-f]{6});/g)].map(([, name, value]) => [name, value]));
}

/** Contrast ratio of two colours, by the formula of WCAG 2.1. */
function contrast(a: string, b: string): number {
  const luminance = (colour: string) => {
    const [red, green, blue] = [1, 3, 5].map((at) => {
      const share = parseInt(colour.slice(at, at + 2), 16) / 255;
      return share <= 0.03928 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const [dark, light] = [luminance(a), luminance(b)].sort((x, y) => x - y);
  return (light + 0.05) / (dark + 0.05);
}

const [light, dark] = pageStyle.split('prefers-color-scheme: dark').map(colours);

test.each([
  ['light', light],
  ['dark', dark],
])('%s: text has a contrast of 4.5, bars of 3', (_scheme, set) => {
  for (const background of [set.page, set.card]) {
    for (const text of [set.text, set.quiet]) expect(contrast(text, background)).toBeGreaterThanOrEqual(4.5);
  }
  const series = Object.entries(set).filter(([name]) => name.startsWith('series-'));
  expect(series).toHaveLength(6);
  expect(series.filter(([, colour]) => contrast(colour, set.card) < 3)).toEqual([]);
});

test('nothing is loaded', () => {
  expect(pageStyle).not.toMatch(/url\(|@import|@font-face/);
});
