import { examination } from '../../lib/doctor';

test('it names the addon, the instruction sets, the plugin, the toolkit, the driver and the devices', () => {
  const found = new Map(examination());
  expect([...found.keys()]).toEqual(['quanto', 'addon', 'cpu', 'cuda plugin', 'cuda toolkit', 'cuda', 'devices']);
  expect(found.get('addon')).toMatch(/\.node$/);
  expect(found.get('cpu')).toMatch(/^isa=\w+; .*threads$/);
  expect(found.get('cuda plugin')).toMatch(/quanto_cuda/);
  expect(found.get('cuda')).toMatch(/not available: .+|cuBLASLt/);
  expect(found.get('devices')).toMatch(/^cpu/);
});
