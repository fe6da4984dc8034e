import { printTable } from '../../lib/report/table';

test('columns are as wide as their widest cell; numbers stand right', () => {
  const columns = [
    { title: 'Name', align: 'left' },
    { title: 'Loss', align: 'right' },
    { title: 'Note', align: 'left' },
  ] as const;
  const rows = [
    ['a', '1.5', 'x'],
    ['größer', '∞', ''],
  ];
  expect(printTable({ columns, rows }).split('\n')).toEqual([
    'Name    Loss  Note',
    '──────  ────  ────',
    'a        1.5  x',
    'größer     ∞',
  ]);
});

test('a name cannot steer the terminal', () => {
  const text = printTable({ columns: [{ title: 'Name', align: 'left' }], rows: [['a\x1b[31m\nb\u2028\x9b']] });
  expect(text.split('\n')).toHaveLength(3);
  expect(text).toContain('a?[31m?b??');
});
