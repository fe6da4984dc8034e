import { noGrad, tensor, type Tensor } from '../../lib';
import { observeOps, showOp } from '../../lib/tensor/op-observer';

/** The names of the ops that a function computes, as an observer sees them. */
function seen(body: () => void): string[] {
  const names: string[] = [];
  const stop = observeOps(({ name }) => names.push(name));
  try {
    body();
  } finally {
    stop();
  }
  return names;
}

const x = () => tensor([3, 1, 2]);

test.each<[string, (x: Tensor) => unknown, string]>([
  ['an op', (x) => x.exp(), 'exp'],
  ['detach', (x) => x.detach(), 'detach'],
  ['topk', (x) => x.topk(2), 'topk'],
  ['argmax', (x) => x.argmax(), 'argmax'],
  ['argmin', (x) => x.argmin(), 'argmin'],
  ['a write in place', (x) => noGrad(() => x.add_(1)), 'add_'],
])('sees %s', (_, compute, name) => {
  expect(seen(() => compute(x()))).toContain(name);
});

test('sees operands and result, and nothing once it has stopped', () => {
  const calls: [readonly Tensor[], Tensor | null][] = [];
  const stop = observeOps((_, inputs, output) => calls.push([inputs, output]));
  const [a, b] = [x(), x()];
  const sum = a.add(b);
  showOp({ name: 'mine' }, [sum], null);
  stop();
  a.add(b);
  expect(calls).toEqual([
    [[a, b], sum],
    [[sum], null],
  ]);
});

test('an observer inside another one takes its place until it stops', () => {
  const inner: string[][] = [];
  const outer = seen(() => {
    x().exp();
    inner.push(seen(() => x().abs()));
    x().neg();
  });
  expect([outer, ...inner]).toEqual([['exp', 'neg'], ['abs']]);
});
