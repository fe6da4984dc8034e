import { nn, QConv2d, QLayerNorm, QLinear, quantize } from '../../lib';

test('linear layers, convolutions and layer norms have quantized forms from the start', () => {
  const model = new nn.Sequential(new nn.Linear(4, 4), new nn.Conv2d(1, 2, 3), new nn.LayerNorm(4), new nn.Embedding(4, 4));
  quantize(model, { weights: 'qint8', activations: 'qint8' });
  expect([...model].map(({ constructor }) => constructor)).toEqual([QLinear, QConv2d, QLayerNorm, nn.Embedding]);
});
