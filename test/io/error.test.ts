import { open } from 'node:fs/promises';
import { invalidFile, quoted, withIoErrors } from '../../lib/io/error';
import { QuantoError } from '../../lib/tensor/error';

test('quotes what a file holds: escaped, and cut when long', () => {
  expect(quoted('a"\n\u001b')).toBe('"a\\"\\n\\u001b"');
  expect(quoted('x'.repeat(1_000_000)).length).toBeLessThan(100);
});

test('names the file', () => {
  expect(invalidFile('m.safetensors', 'expected a but got b')).toMatchObject({ code: 'INVALID_FILE' });
  expect(invalidFile('m.safetensors', 'expected a but got b').message).toMatch(/^\[io\] m\.safetensors: expected a but got b; .+/);
});

test('turns what the system refuses into IO, and nothing else', async () => {
  const missing = withIoErrors('read', '/no/such/file', () => open('/no/such/file'));
  await expect(missing).rejects.toMatchObject({ name: 'QuantoError', code: 'IO' });
  await expect(missing).rejects.toThrow(/^\[io\] cannot read \/no\/such\/file: ENOENT/);

  const own = new QuantoError('INVALID_FILE', 'own');
  await expect(withIoErrors('read', 'x', () => Promise.reject(own))).rejects.toBe(own);
  const bug = new TypeError('a bug');
  await expect(withIoErrors('read', 'x', () => Promise.reject(bug))).rejects.toBe(bug);
  expect(await withIoErrors('read', 'x', () => Promise.resolve(7))).toBe(7);
});
