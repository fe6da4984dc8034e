import * as nn from '../../lib/nn';
import { add, ones, tensor } from '../../lib/ops';
import { memory } from '../../lib/tensor/device';
import { noGrad } from '../../lib/tensor/grad-mode';
import { keep, tidy } from '../../lib/tensor/scope';
import type { Tensor } from '../../lib/tensor/tensor';
import { codeOf } from '../harness/errors';
import { settledMemory } from '../harness/memory';

/** Adds 1 and notes what came and went. */
class Spy extends nn.Module {
  seen: (() => Tensor)[] = [];

  constructor(private readonly how: 'plain' | 'keep' | 'hold' | 'holdInput' | 'holdDeep' = 'plain') {
    super();
  }

  held: unknown = null;

  forward(src: Tensor): Tensor {
    const result = add(src, 1);
    if (this.how === 'keep') keep(result);
    if (this.how === 'hold') this.held = result;
    if (this.how === 'holdInput') this.held = src;
    if (this.how === 'holdDeep') this.held = { list: [new Map([['last', result]])] };
    // Functions hide the tensors from the search for holders.
    this.seen.push(
      () => src,
      () => result,
    );
    return result;
  }
}

const freed = (spy: Spy) => spy.seen.map((tensor) => tensor().isDisposed);

describe('Sequential', () => {
  test('runs in order and frees what is between its children, not input and output', () => {
    const [a, b, c] = [new Spy(), new Spy(), new Spy()];
    const src = tensor([1]);
    const out = new nn.Sequential(a, b, c).forward(src);
    expect(out.tolist()).toEqual([4]);
    expect([freed(a), freed(b), freed(c)]).toEqual([
      [false, true],
      [true, true],
      [true, false],
    ]);
  });

  test.each([
    ['a small one', 10, false],
    ['a large one', 100_000, true],
  ])('frees within tidy what is between its children: %s', (_, elements, atOnce) => {
    const spy = new Spy();
    tidy(() => {
      new nn.Sequential(spy, new Spy()).forward(ones([elements]));
      expect(freed(spy)).toEqual([false, atOnce]);
    });
    expect(freed(spy)).toEqual([true, true]);
  });

  test.each(['keep', 'hold', 'holdDeep'] as const)('spares a result that its producer did %s', (how) => {
    const spy = new Spy(how);
    new nn.Sequential(new Spy(), spy, new Spy()).forward(tensor([1]));
    expect(freed(spy)).toEqual([true, false]);
  });

  test('spares a result that its consumer, or one inside of it, holds', () => {
    const [before, holder] = [new Spy(), new Spy('holdInput')];
    new nn.Sequential(before, new nn.Sequential(holder), new Spy()).forward(tensor([1]));
    expect(freed(before)).toEqual([false, false]);
    const inner = new Spy('hold');
    new nn.Sequential(new nn.Sequential(inner), new Spy()).forward(tensor([1]));
    expect(freed(inner)).toEqual([false, false]);
  });

  test('children that give back their input take nothing away', () => {
    const spy = new Spy();
    const src = tensor([1]);
    const model = new nn.Sequential(new nn.Identity(), new nn.Identity(), spy, new nn.Identity(), new nn.Dropout(0).eval());
    expect(model.forward(src).tolist()).toEqual([2]);
    expect(freed(spy)).toEqual([false, false]);
    expect(new nn.Sequential(new nn.Identity()).forward(src)).toBe(src);
    expect(new nn.Sequential().forward(src)).toBe(src);
  });

  test('backward has what it needs', () => {
    const model = new nn.Sequential(new nn.Linear(2, 2), new nn.Tanh(), new nn.Linear(2, 2), new nn.Sigmoid());
    const [src, plain] = [ones([1, 2]), model.clone()];
    model.forward(src).sum().backward();
    let hidden = src;
    for (const layer of plain) hidden = layer.forward(hidden);
    hidden.sum().backward();
    model.parameters().forEach(({ grad }, i) => expect(grad!.equal(plain.parameters()[i].grad!)).toBe(true));
  });

  test('a loop without backward stays at the memory it began with', () => {
    const model = new nn.Sequential(new nn.Linear(2, 2), new nn.ReLU(), new nn.Linear(2, 2), new nn.Softmax());
    const src = ones([1, 2]);
    const run = () => noGrad(() => model.forward(src).dispose());
    run();
    const before = settledMemory().tensors;
    for (let i = 0; i < 20; i++) run();
    expect(memory().tensors).toBe(before);
  });

  test('children by number, length, append and iteration', () => {
    const model = new nn.Sequential(new nn.ReLU()).append(new nn.Tanh());
    expect(model.length).toBe(2);
    expect([...model].map((layer) => layer.constructor.name)).toEqual(['ReLU', 'Tanh']);
    expect(model[1]).toBeInstanceOf(nn.Tanh);
    expect(codeOf(() => new nn.Sequential(5 as never))).toBe('INVALID_ARGUMENT');
  });

  test('eleven children stay in order', () => {
    const model = new nn.Sequential(...Array.from({ length: 11 }, (_, i) => new nn.Linear(i + 1, i + 2)));
    expect(model.forward(ones([1, 1])).shape).toEqual([1, 12]);
    expect(Object.keys(model.stateDict()).slice(-2)).toEqual(['10.weight', '10.bias']);
  });
});

test('ModuleList', () => {
  const list = new nn.ModuleList([new nn.Linear(2, 2), new nn.Linear(2, 1)]);
  list.append(new nn.Linear(1, 3));
  expect([list.length, list[1].outFeatures, [...list].length]).toEqual([3, 1, 3]);
  expect(Object.keys(list.stateDict())).toEqual(['0.weight', '0.bias', '1.weight', '1.bias', '2.weight', '2.bias']);
  expect(codeOf(() => list.forward())).toBe('NOT_SUPPORTED');
});

test('ModuleDict', () => {
  const dict = new nn.ModuleDict({ left: new nn.Linear(2, 2), right: new nn.Linear(2, 1) });
  expect(dict.get('right')?.outFeatures).toBe(1);
  expect([dict.has('left'), dict.has('forward'), dict.get('training')]).toEqual([true, false, undefined]);
  expect(Object.keys(dict.stateDict())).toEqual(['left.weight', 'left.bias', 'right.weight', 'right.bias']);
  const replacement = new nn.Linear(2, 5);
  dict.set('left', replacement);
  expect(dict.values()[0]).toBe(replacement);
  expect([dict.delete('left'), dict.delete('left'), dict.keys()]).toEqual([true, false, ['right']]);
  expect([...dict].map(([name]) => name)).toEqual(['right']);
  for (const name of ['', 'a.b', 'forward', 'training', 'constructor']) {
    expect(codeOf(() => dict.set(name, new nn.Linear(1, 1)))).toBe('INVALID_ARGUMENT');
  }
  expect(codeOf(() => dict.forward())).toBe('NOT_SUPPORTED');
});
