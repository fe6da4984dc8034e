import { abs, clamp, gelu, log, relu, round, sign, sqrt } from '../../lib/ops';
import { unaryCases, unaryFailures } from '../cases/unary';
import { slopesAt } from '../harness/gradient';
import { runCases } from '../harness/run-cases';

runCases(unaryCases, unaryFailures);

test("gradients at kinks are PyTorch's", () => {
  expect(slopesAt([-1, 0, 1], relu)).toEqual([0, 0, 1]);
  expect(slopesAt([-1, 0, 1], abs)).toEqual([-1, 0, 1]);
  expect(slopesAt([-2, -1, 0, 1, 2], (x) => clamp(x, -1, 1))).toEqual([0, 1, 1, 1, 0]);
  expect(slopesAt([-2, 0.5, 2], round)).toEqual([0, 0, 0]);
  expect(slopesAt([-2, 0, 2], sign)).toEqual([0, 0, 0]);
  expect(slopesAt([0], sqrt)).toEqual([Infinity]);
  expect(slopesAt([0], log)).toEqual([Infinity]);
});

test('gelu has two forms', () => {
  const exact = slopesAt([1], (x) => gelu(x));
  const approximate = slopesAt([1], (x) => gelu(x, { approximate: 'tanh' }));
  expect(exact).not.toEqual(approximate);
  expect(slopesAt([1], (x) => gelu(x, { approximate: 'none' }))).toEqual(exact);
});
