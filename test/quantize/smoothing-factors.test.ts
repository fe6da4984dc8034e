import { ones, tensor, zeros } from '../../lib';
import { channelMaxima, smoothingFactors } from '../../lib/quantize/smoothing-factors';

test('maxima are those of the last dim', () => {
  expect(channelMaxima(tensor([[1, -5], [-3, 2]])).tolist()).toEqual([3, 5]); // prettier-ignore
  expect(channelMaxima(tensor([[[1, -5]], [[-3, 2]]])).tolist()).toEqual([3, 5]);
  expect(channelMaxima(tensor([1, -5])).tolist()).toEqual([1, 5]);
});

test('factors share the ranges by alpha', () => {
  const [ofInput, ofWeight] = [tensor([16, 1]), tensor([4, 1])];
  expect(smoothingFactors(ofInput, ofWeight, 0.5).tolist()).toEqual([2, 1]);
  expect(smoothingFactors(ofInput, ofWeight, 1).tolist()).toEqual([16, 1]);
  expect(smoothingFactors(ofInput, ofWeight, 0).tolist()).toEqual([0.25, 1]);
});

test('channels of zeros keep their range', () => {
  expect(smoothingFactors(tensor([0, 2]), tensor([4, 0]), 0.5).tolist()).toEqual([1, 1]);
  expect(smoothingFactors(zeros([3]), ones([3]), 0).tolist()).toEqual([1, 1, 1]);
});
