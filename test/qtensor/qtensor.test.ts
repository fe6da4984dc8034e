import { inspect } from 'node:util';

import {
  fallbacks,
  keep,
  manualSeed,
  memory,
  noGrad,
  QBytesTensor,
  qint8,
  quantizeActivation,
  quantizeWeight,
  randn,
  synchronize,
  tensor,
  type Tensor,
  tidy,
} from '../../lib';
import { packForGemm, type QTensor } from '../../lib/qtensor';
import { asParameter } from '../../lib/tensor/tensor';
import { codeOf } from '../harness/errors';
import { settledMemory } from '../harness/memory';

beforeEach(() => {
  manualSeed(1);
});

const codes = [
  [-128, 0, 3],
  [5, -7, 127],
];
const activation = (scale = 0.5) => new QBytesTensor(qint8, null, { codes: tensor(codes, { dtype: 'int8' }), scale: tensor(scale) });
const weight = () => quantizeWeight(randn([6, 40]), { qtype: qint8 });
const layouts: [string, () => QTensor][] = [
  ['an activation', activation],
  ['a weight in rows', weight],
  ['a packed weight', () => packForGemm(weight())],
  ['a kernel', () => quantizeWeight(randn([4, 2, 3, 3]), { qtype: qint8 })],
];
const bytesLive = () => {
  synchronize();
  return memory().bytes;
};
/** The same without the garbage of earlier tests, which could vanish between two readings. */
const bytesSettled = () => {
  synchronize();
  return settledMemory().bytes;
};

describe('a quantized tensor', () => {
  it('looks like the tensor of its values', async () => {
    const q = activation();
    expect(q).toMatchObject({ shape: [2, 3], dtype: 'float32', device: 'cpu', ndim: 2, numel: 6, isQuantized: true, requiresGrad: false });
    const values = [-64, 0, 1.5, 2.5, -3.5, 63.5];
    expect(q.tolist()).toEqual([values.slice(0, 3), values.slice(3)]);
    expect([...(await q.data())]).toEqual(values);
    expect([...q.dataSync()]).toEqual(values);
    expect([...new Float32Array((await q.bytes()).buffer)]).toEqual(values);
    expect(q.bytesSync()).toEqual(await q.bytes());
    expect(q.dequantize().isQuantized).toBe(false);
    expect(q.select(0, 0).select(0, 2).item()).toBe(1.5);
    expect(q.equal(activation())).toBe(true);
    expect(q.equal(activation(0.25))).toBe(false);
  });

  it('shows its codes and scale', () => {
    const q = activation();
    expect(q.codes.tolist()).toEqual(codes);
    expect(q.codes.dtype).toBe('int8');
    expect(q.scale.item()).toBe(0.5);
    expect(q.qtype).toBe(qint8);
    expect(q.axis).toBeNull();
  });

  it('prints values, type and axis', () => {
    expect(String(activation())).toBe(
      'tensor([[-64.0000,   0.0000,   1.5000],\n        [  2.5000,  -3.5000,  63.5000]], shape=[2, 3], dtype=float32, qtype=qint8)',
    );
    expect(inspect(weight())).toMatch(/dtype=float32, qtype=qint8, axis=0\)$/);
    const gone = activation();
    gone.dispose();
    expect(String(gone)).toBe('Tensor(disposed)');
  });

  it('reaches ops without a rule as its values, and counts that', () => {
    fallbacks({ reset: true });
    expect(
      tensor([
        [1, 1, 1],
        [1, 1, 1],
      ])
        .copy_(activation())
        .tolist(),
    ).toEqual(activation().tolist());
    void activation().native;
    expect(fallbacks().native).toBe(1);
  });
});

describe.each(layouts)('%s', (_, make) => {
  const same = (a: QTensor, b: QTensor) => {
    expect(a.codes.tolist()).toEqual(b.codes.tolist());
    expect(a.scale.tolist()).toEqual(b.scale.tolist());
    expect([a.qtype, a.axis, a.shape]).toEqual([b.qtype, b.axis, b.shape]);
  };

  it('has the values scale x code', () => {
    const q = make();
    expect(q.tolist()).toEqual(q.codes.float().mul(q.scale).tolist());
  });

  it('shares memory with its shares, not with its copies', () => {
    const q = make();
    const [share, copy] = [q.share(), q.copy()];
    same(share, q);
    same(copy, q);
    q.stored.scale.fill_(0.25);
    expect(share.scale.tolist()).toEqual(q.scale.tolist());
    expect(copy.scale.tolist()).not.toEqual(q.scale.tolist());
    const expected = q.tolist();
    share.dispose();
    copy.dispose();
    expect(q.tolist()).toEqual(expected);
  });

  it('keeps its codes in another dtype and on a device', () => {
    const q = make();
    const half = q.half() as QTensor;
    expect([half.dtype, half.scale.dtype, half.codes.dtype]).toEqual(['float16', 'float16', 'int8']);
    expect(half.codes.tolist()).toEqual(q.codes.tolist());
    same(q.to('cpu') as QTensor, q);
    same(q.converted('cpu'), q);
    same(q.clone() as QTensor, q);
    same(q.detach() as QTensor, q);
    expect(q.to('float8_e4m3fn').isQuantized).toBe(false);
  });

  it('is freed by dispose, to the last byte', () => {
    const before = bytesSettled();
    tidy(() => {
      const q = keep(make());
      expect(bytesLive()).toBeGreaterThan(before);
      q.dispose();
      expect(q.isDisposed).toBe(true);
      expect(codeOf(() => q.dataSync())).toBe('DISPOSED');
    });
    expect(bytesLive()).toBe(before);
  });

  it('leaves nothing behind when it is read', () => {
    const q = make();
    const before = bytesSettled();
    q.dataSync();
    q.bytesSync();
    expect(bytesLive()).toBe(before);
    q.dispose();
  });

  it('survives a tidy that returns or keeps it, and no other', () => {
    const before = bytesSettled();
    let kept: QTensor | undefined;
    let lost: QTensor | undefined;
    const returned = tidy(() => {
      kept = keep(make());
      lost = make();
      return { inner: [make()] };
    });
    expect(lost?.isDisposed).toBe(true);
    tidy(() => {
      for (const q of [kept, returned.inner[0]]) expect(q?.dequantize().shape).toEqual(q?.shape);
    });
    kept?.dispose();
    returned.inner[0].dispose();
    expect(bytesLive()).toBe(before);
  });

  it('takes the place of another of its type', () => {
    const [q, other] = [make(), make()];
    q.replaceBy(other);
    same(q, other);
    other.dispose();
    expect(q.isDisposed).toBe(false);
    expect(codeOf(() => q.replaceBy(randn(q.shape)))).toBe('NOT_SUPPORTED');
  });
});

describe('gradients', () => {
  it('of values pass straight through to the float tensor', () => {
    const src = randn([2, 3], { requiresGrad: true });
    const q = quantizeActivation(src, { qtype: qint8, scale: tensor(0.01) });
    expect(q.requiresGrad).toBe(true);
    const gradient = randn([2, 3]);
    q.backward(gradient);
    expect(src.grad?.tolist()).toEqual(gradient.tolist());
  });

  it('are not recorded in noGrad', () => {
    const src = randn([2, 3], { requiresGrad: true });
    expect(noGrad(() => quantizeActivation(src, { qtype: qint8, scale: tensor(0.01) })).requiresGrad).toBe(false);
  });

  it('end at a quantized leaf, as floats', () => {
    const q = activation();
    q.requiresGrad = true;
    q.mul(3).sum().backward();
    expect(q.grad?.isQuantized).toBe(false);
    expect(q.grad?.tolist()).toEqual([
      [3, 3, 3],
      [3, 3, 3],
    ]);
  });
});

test('in-place writes are refused, because codes cannot hold any value', () => {
  const q = activation();
  for (const call of [() => q.fill_(1), () => q.add_(1), () => q.mul_(2), () => q.copy_(randn([2, 3])), () => q.zero_()]) {
    expect(codeOf(call)).toBe('NOT_SUPPORTED');
  }
});

test('a weight has the role of a parameter without becoming another object', () => {
  const q = weight();
  expect(asParameter(q)).toBe(q);
  expect(q.role).toBe('parameter');
  expect(q.parts().every((part: Tensor) => part.kept)).toBe(true);
  expect(q.share().role).toBeNull();
});

test('the module that made it stays known through views and copies', () => {
  const q = activation();
  const producer = { outputRequired: false };
  q.producer = producer;
  for (const derived of [q.t(), q.relu(), q.mul(2), q.reshape(6), q.clone(), q.half(), q.detach(), q.slice(0, 0, 1)]) {
    expect((derived as QTensor).producer).toBe(producer);
  }
  expect((q.softmax() as QTensor).producer).toBeNull();
});
