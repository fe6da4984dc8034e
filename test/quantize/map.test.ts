import { nn, quantizationMap, quantize } from '../../lib';

test('the map names the qtypes of every quantized module, by dotted path', () => {
  const block = new nn.Sequential(new nn.Linear(4, 4), new nn.ReLU(), new nn.LayerNorm(4));
  const model = new nn.Sequential(block, new nn.Conv2d(1, 2, 3), new nn.Linear(4, 4));
  quantize(model, { weights: 'qint8', activations: 'qfloat8', include: '0.*' });
  quantize(model, { weights: 'qfloat8_e5m2', include: '1' });
  expect({ ...quantizationMap(model) }).toEqual({
    '0.0': { weights: 'qint8', activations: 'qfloat8_e4m3fn' },
    '0.2': { weights: 'none', activations: 'qfloat8_e4m3fn' },
    '1': { weights: 'qfloat8_e5m2', activations: 'none' },
  });
  expect(Object.keys(quantizationMap(new nn.ReLU()))).toEqual([]);
});

test('a module of any name has its own entry', () => {
  const model = new nn.ModuleDict({ ['a b']: new nn.Linear(2, 2) });
  expect(Object.keys(quantizationMap(quantize(model, { weights: 'qint8' })))).toEqual(['a b']);
  // No name can be mistaken for a property that all objects have.
  expect(Object.getPrototypeOf(quantizationMap(model))).toBeNull();
});

test.each([['qint8'], [{ weight: 'qint8' }], [{}], [null], [3]])('an entry of another form is refused: %j', (entry) => {
  const model = new nn.Sequential(new nn.Linear(2, 2));
  expect(() => quantize(model, { weights: { 0: entry } as never })).toThrow(
    expect.objectContaining({ code: 'INVALID_ARGUMENT', message: expect.stringContaining("for '0' but got") as string }),
  );
  expect(model[0]).toBeInstanceOf(nn.Linear);
  expect(Object.keys(quantizationMap(model))).toEqual([]);
});
