import { inspect } from 'node:util';

import * as nn from '../../lib/nn';
import { add, full, manualSeed, mul, ones, randn, tensor, zeros } from '../../lib/ops';
import { calibration, freeze, quantizationMap, quantize } from '../../lib/quantize';
import { memory } from '../../lib/tensor/device';
import { tidy } from '../../lib/tensor/scope';
import { buffer, type Tensor } from '../../lib/tensor/tensor';
import { codeOf, errorOf } from '../harness/errors';
import { settledMemory } from '../harness/memory';

/** A parameter, a buffer, a tied child and a nested one. */
class Net extends nn.Module {
  scale = new nn.Parameter(tensor([2, 2]));
  offset: Tensor;
  first = new nn.Linear(2, 2);
  body = new nn.Sequential(new nn.Linear(2, 2), new nn.ReLU());
  tied: nn.Linear;
  notState = tensor([1]);
  none: Tensor | null = null;

  constructor() {
    super();
    this.offset = buffer(tensor([1, 1]));
    this.tied = this.first;
  }

  forward(src: Tensor): Tensor {
    return mul(this.body.forward(add(this.tied.forward(src), this.offset)), this.scale);
  }
}

const keys = ['scale', 'offset', 'first.weight', 'first.bias', 'body.0.weight', 'body.0.bias', 'tied.weight', 'tied.bias'];

test('state is found by walking own properties; a shared tensor is one parameter with two keys', () => {
  const net = new Net();
  expect(Object.keys(net.stateDict())).toEqual(keys);
  expect(net.namedParameters().map(([name]) => name)).toEqual(['scale', 'first.weight', 'first.bias', 'body.0.weight', 'body.0.bias']);
  expect(net.namedBuffers().map(([name]) => name)).toEqual(['offset']);
  expect(net.namedModules().map(([name]) => name)).toEqual(['', 'first', 'body', 'body.0', 'body.1']);
  expect(net.namedChildren().map(([name]) => name)).toEqual(['first', 'body', 'tied']);
  expect(net.children()).toHaveLength(2);
});

test('the state dict shares memory with the module', () => {
  const net = new Net();
  const state = net.stateDict();
  nn.init.constant_(net.scale, 5);
  expect(state.scale.tolist()).toEqual([5, 5]);
  expect(state.scale.requiresGrad).toBe(false);
});

test('train, eval, requiresGrad_, zeroGrad and apply reach everything below', () => {
  const net = new Net();
  net.eval();
  expect(net.modules().map(({ training }) => training)).toEqual([false, false, false, false, false]);
  expect(net.train().body[1].training).toBe(true);
  net
    .forward(ones([1, 2]))
    .sum()
    .backward();
  expect(net.scale.grad).not.toBeNull();
  net.zeroGrad();
  expect(net.parameters().every(({ grad }) => grad === null)).toBe(true);
  net.requiresGrad_(false);
  expect(net.forward(ones([1, 2])).requiresGrad).toBe(false);
  const visited: string[] = [];
  net.apply((module) => visited.push(module.constructor.name));
  expect(visited).toEqual(['Linear', 'Linear', 'ReLU', 'Sequential', 'Net']);
});

describe('loadStateDict', () => {
  test('copies in place: parameters stay the same objects in the same dtype', () => {
    const [net, other] = [new Net(), new Net()];
    const { weight } = net.first;
    const state = other.stateDict();
    expect(net.loadStateDict({ ...state, scale: tensor([3, 4], { dtype: 'float16' }) })).toEqual({ missingKeys: [], unexpectedKeys: [] });
    expect(net.first.weight).toBe(weight);
    expect(weight.equal(other.first.weight)).toBe(true);
    expect([net.scale.tolist(), net.scale.dtype]).toEqual([[3, 4], 'float32']);
    nn.init.zeros_(other.first.weight);
    expect(weight.equal(other.first.weight)).toBe(false);
  });

  test('assign takes over the tensors with their dtype', () => {
    const net = new Net();
    const { scale } = net;
    const given = tensor([3, 4], { dtype: 'float16' });
    net.loadStateDict({ ...new Net().stateDict(), scale: given }, { assign: true });
    expect(net.scale).toBe(scale);
    expect([scale.tolist(), scale.dtype, scale.requiresGrad]).toEqual([[3, 4], 'float16', true]);
    nn.init.zeros_(given);
    expect(scale.tolist()).toEqual([0, 0]);
  });

  test('consume frees the tensors that were copied', () => {
    const [net, other] = [new Net(), new Net()];
    const state = other.stateDict();
    net.loadStateDict(state, { consume: true });
    expect(Object.values(state).every((entry) => entry.isDisposed)).toBe(true);
    expect(net.first.weight.equal(other.first.weight)).toBe(true);
  });

  test('strict lists missing and unexpected keys, and changes nothing', () => {
    const net = new Net();
    const state: Record<string, Tensor> = { ...new Net().stateDict(), extra: ones([1]) };
    delete state.scale;
    const before = net.first.weight.tolist();
    const error = errorOf(() => net.loadStateDict(state));
    expect(error.code).toBe('STATE_DICT');
    expect(error.message).toMatch(/does not fit Net: missing keys: scale; unexpected keys: extra/);
    expect(net.first.weight.tolist()).toEqual(before);
    expect(net.loadStateDict(state, { strict: false })).toEqual({ missingKeys: ['scale'], unexpectedKeys: ['extra'] });
    expect(net.first.weight.equal(state['first.weight'])).toBe(true);
  });

  test('another shape is an error even when not strict', () => {
    const state = { ...new Net().stateDict(), scale: ones([3]), 'first.weight': ones([4]) };
    const error = errorOf(() => new Net().loadStateDict(state, { strict: false }));
    expect(error.code).toBe('STATE_DICT');
    expect(error.message).toMatch(/scale expects shape \[2\] but got \[3\]; first\.weight expects shape \[2, 2\] but got \[4\]/);
  });

  test('integers cannot take over a parameter that learns', () => {
    const state = { ...new Net().stateDict(), scale: ones([2], { dtype: 'int8' }) };
    expect(codeOf(() => new Net().loadStateDict(state, { assign: true }))).toBe('STATE_DICT');
  });

  test('names of Object.prototype are no entries', () => {
    const odd = Object.assign(new nn.Identity(), { toLocaleString: new nn.Parameter(ones([1])) });
    expect(odd.loadStateDict({}, { strict: false }).missingKeys).toEqual(['toLocaleString']);
  });
});

describe('to', () => {
  test('changes the dtype of floats alone; parameters and gradients stay the same objects', () => {
    const net = new Net();
    const count = buffer(full([], 3, { dtype: 'int64' }));
    net.offset = count;
    const { scale } = net;
    scale.grad = ones([2]);
    expect(net.to('bfloat16')).toBe(net);
    expect(net.scale).toBe(scale);
    expect([scale.dtype, scale.grad.dtype, net.first.weight.dtype, count.dtype]).toEqual(['bfloat16', 'bfloat16', 'bfloat16', 'int64']);
    expect(scale.tolist()).toEqual([2, 2]);
  });

  test('refuses integers and unknown names', () => {
    expect(codeOf(() => new Net().to('int8'))).toBe('INVALID_ARGUMENT');
    expect(codeOf(() => new Net().to('gpu'))).toBe('INVALID_ARGUMENT');
  });
});

describe('clone', () => {
  test('has tensors of its own; what was tied stays tied', () => {
    const net = new Net();
    net.scale.grad = ones([2]);
    net.eval();
    const copy = net.clone();
    expect(copy).toBeInstanceOf(Net);
    expect(copy.tied).toBe(copy.first);
    expect(copy.first).not.toBe(net.first);
    expect(copy.training).toBe(false);
    expect(copy.first.weight.equal(net.first.weight)).toBe(true);
    expect(copy.scale.grad?.tolist()).toEqual([1, 1]);
    nn.init.zeros_(net.first.weight);
    expect(copy.first.weight.equal(net.first.weight)).toBe(false);
    expect(Object.keys(copy.stateDict())).toEqual(keys);
    expect(copy.parameters().every(({ requiresGrad }) => requiresGrad)).toBe(true);
    expect(copy.forward(ones([1, 2])).requiresGrad).toBe(true);
  });

  test('outlives the tidy it was made in, and has no hooks', () => {
    const net = new Net();
    let calls = 0;
    net.registerForwardHook(() => {
      calls++;
      return undefined;
    });
    const copies: Net[] = [];
    tidy(() => void copies.push(net.clone()));
    copies[0].forward(ones([1, 2]));
    expect(calls).toBe(0);
  });
});

test('clones of quantized modules are quantized, calibrated and frozen as these are', () => {
  const model = new nn.Sequential(new nn.Linear(4, 4), new nn.ReLU(), new nn.Linear(4, 2));
  quantize(model, { weights: 'qint8', activations: 'qint8' });
  const src = randn([3, 4]);
  calibration(() => model.forward(src), { streamline: false });
  const tuned = model.clone();
  expect(tuned.forward(src).equal(model.forward(src))).toBe(true);
  freeze(model);
  const frozen = model.clone();
  expect([tuned, frozen].map(quantizationMap)).toEqual([quantizationMap(model), quantizationMap(model)]);
  expect(Object.keys(quantizationMap(model))).toEqual(['0', '2']);
  expect(Object.keys(frozen.stateDict())).toEqual(Object.keys(model.stateDict()));
  const expected = model.forward(src).dequantize();
  model.dispose();
  expect(frozen.forward(src).dequantize().equal(expected)).toBe(true);
});

describe('forward hooks', () => {
  test('see module, inputs and output of calls by user code, and may replace the output', () => {
    const net = new Net();
    const seen: unknown[] = [];
    const removeFirst = net.first.registerForwardHook((module, [src], output) => {
      seen.push(module, src.shape, output.shape);
      return zeros(output.shape);
    });
    const removeSecond = net.first.registerForwardHook((_module, _inputs, output) => {
      seen.push(output.tolist());
      return undefined;
    });
    net.offset = buffer(zeros([2]));
    nn.init.zeros_(net.body[0].parameters()[1]);
    expect(net.forward(ones([1, 2])).tolist()).toEqual([[0, 0]]);
    expect(seen).toEqual([net.first, [1, 2], [1, 2], [[0, 0]]]);
    removeFirst();
    removeFirst();
    expect(Object.hasOwn(net.first, 'forward')).toBe(true);
    removeSecond();
    expect(Object.hasOwn(net.first, 'forward')).toBe(false);
    expect(net.first.forward(ones([1, 2])).shape).toEqual([1, 2]);
    expect(seen).toHaveLength(4);
  });

  test('what a hook has seen is not freed by tidy or Sequential', () => {
    const seen: Tensor[] = [];
    const model = new nn.Sequential(new nn.Linear(2, 2), new nn.ReLU(), new nn.Tanh());
    model[1].registerForwardHook((_module, [src], output) => {
      seen.push(src, output);
      return undefined;
    });
    tidy(() => void model.forward(ones([1, 2])));
    expect(seen.map(({ isDisposed }) => isDisposed)).toEqual([false, false]);
  });

  test('unless the hook lets go of it', () => {
    const seen: Tensor[] = [];
    const model = new nn.Sequential(new nn.Linear(2, 2), new nn.ReLU(), new nn.Tanh());
    const remove = model[1].registerForwardHook((_module, [src], output) => void seen.push(src, output), { keep: false });
    tidy(() => void model.forward(ones([1, 2])));
    expect(seen.map(({ isDisposed }) => isDisposed)).toEqual([true, true]);
    // Another hook's wish counts as long as it is there.
    const removeKeeper = model[1].registerForwardHook(() => undefined);
    tidy(() => void model.forward(ones([1, 2])));
    expect(seen.slice(2).map(({ isDisposed }) => isDisposed)).toEqual([false, false]);
    removeKeeper();
    remove();
  });

  test('a hook does not show among the state', () => {
    const net = new Net();
    net.registerForwardHook(() => undefined);
    expect(Object.keys(net.stateDict())).toEqual(keys);
    expect(Object.keys(net)).not.toContain('forward');
  });
});

describe('paths', () => {
  test('getSubmodule and setSubmodule', () => {
    const net = new Net();
    expect(net.getSubmodule('')).toBe(net);
    expect(net.getSubmodule('body.0')).toBe(net.body[0]);
    const replacement = new nn.Identity();
    net.setSubmodule('body.0', replacement);
    expect(net.body[0]).toBe(replacement);
    expect(net.body.namedChildren().map(([name]) => name)).toEqual(['0', '1']);
    net.setSubmodule('first', replacement);
    expect(net.first).toBe(replacement);
  });

  test('a wrong path names what there is', () => {
    const error = errorOf(() => new Net().getSubmodule('body.2'));
    expect(error.message).toMatch(/'body.2': Sequential has no '2' but 0, 1/);
    expect(codeOf(() => new Net().getSubmodule('scale'))).toBe('INVALID_ARGUMENT');
    expect(codeOf(() => new Net().setSubmodule('', new nn.ReLU()))).toBe('INVALID_ARGUMENT');
    expect(codeOf(() => new Net().setSubmodule('body.7', new nn.ReLU()))).toBe('INVALID_ARGUMENT');
  });
});

test('toString nests as PyTorch does', () => {
  const model = new nn.Sequential(new nn.Linear(4, 3, { bias: false }), new nn.Sequential(new nn.GELU(), new nn.Dropout(0.1)));
  const expected = [
    'Sequential(',
    '  (0): Linear(inFeatures=4, outFeatures=3, bias=false)',
    '  (1): Sequential(',
    '    (0): GELU(approximate=none)',
    '    (1): Dropout(p=0.1)',
    '  )',
    ')',
  ].join('\n');
  expect(String(model)).toBe(expected);
  expect(inspect(model)).toBe(expected);
});

test('parameters and buffers of a module made inside tidy live on', () => {
  const nets: Net[] = [];
  tidy(() => void nets.push(new Net()));
  const norm = tidy(() => [new nn.BatchNorm2d(2)])[0];
  expect(nets[0].forward(ones([1, 2])).shape).toEqual([1, 2]);
  expect(norm.forward(ones([1, 2, 2, 2])).shape).toEqual([1, 2, 2, 2]);
});

test('dispose frees parameters, buffers and gradients', () => {
  const before = settledMemory().tensors;
  const net = new nn.Sequential(new nn.Linear(2, 2), new nn.BatchNorm2d(3));
  net[0].parameters()[0].grad = ones([2, 2]);
  expect(memory().tensors).toBe(before + 8);
  net.dispose();
  expect(memory().tensors).toBe(before);
});

test('other operands and results are declared, and children of any kind are modules', () => {
  class Counter extends nn.Module<[ids: number[], options?: { start: number }], number> {
    forward(ids: number[], options: { start: number } = { start: 0 }): number {
      return ids.length + options.start;
    }
  }
  class Masked extends nn.Module {
    forward(src: Tensor, mask: Tensor | null = null): Tensor {
      return mask ? mul(src, mask) : src;
    }
  }
  class Owner extends nn.Module<[ids: number[]], number> {
    counter = new Counter();
    masked = new Masked();

    forward(ids: number[]): number {
      return this.counter.forward(ids, { start: this.masked.forward(ones([1])).item() });
    }
  }
  const owner = new Owner();
  const remove = owner.counter.registerForwardHook((_module, [ids], count) => count + ids[0]);
  expect(owner.forward([5, 6])).toBe(8);
  remove();
  const all: nn.AnyModule[] = [...owner.modules(), new nn.Sequential(new Masked(), new nn.ReLU())];
  expect(all.filter((module) => module instanceof Masked)).toHaveLength(1);
  // @ts-expect-error -- a Sequential passes one tensor on
  expect(() => new nn.Sequential(new Counter())).not.toThrow();
});

test('the seed decides the initial values', () => {
  const weights = [1, 1, 2].map((seed) => {
    manualSeed(seed);
    return new nn.Linear(4, 4).weight.tolist();
  });
  expect(weights[0]).toEqual(weights[1]);
  expect(weights[0]).not.toEqual(weights[2]);
});
