// Ops of the benchmark `ops`, by name.
import { ones, qint8, QTensor, quantizeActivation, nn, noGrad, rand, tensor, type Tensor, zeros } from 'quanto';

import type { Workload } from '../harness/protocol';
import { made } from './device-workload';
import type { Prepared } from './serve';

const F = nn.functional;

interface Operands {
  readonly x: Tensor;
  readonly y: Tensor;
  /** One value for each column, [columns]. */
  readonly row: Tensor;
  readonly codes: QTensor;
}

const scale = tensor(1 / 127);

const ops: Readonly<Record<string, (operands: Operands) => Tensor>> = {
  copy: ({ x }) => x.clone(),
  // The same kernel without a result of its own: what allocating anew costs.
  'copy to one place': ({ x, y }) => y.copy_(x).detach(),
  neg: ({ x }) => x.neg(),
  relu: ({ x }) => x.relu(),
  exp: ({ x }) => x.exp(),
  gelu: ({ x }) => x.gelu(),
  silu: ({ x }) => x.silu(),
  tanh: ({ x }) => x.tanh(),
  add: ({ x, y }) => x.add(y),
  'add in place': ({ x, y }) => x.add_(y).detach(),
  'mul by a number': ({ x }) => x.mul(1.5),
  'add a row': ({ x, row }) => x.add(row),
  'sum of all': ({ x }) => x.sum(),
  'sum of rows': ({ x }) => x.sum({ axis: -1 }),
  softmax: ({ x }) => x.softmax(-1),
  'layer norm': ({ x, row }) => F.layerNorm(x, [x.shape.at(-1)!], row, row),
  'rms norm': ({ x, row }) => F.rmsNorm(x, row),
  quantize: ({ x }) => quantizeActivation(x, { qtype: qint8, scale }),
  dequantize: ({ codes }) => codes.dequantize(),
  'relu of codes': ({ codes }) => codes.relu(),
  transpose: ({ x }) => x.transpose(0, 1).contiguous(),
};

/** One op, waited for through its first element: copying all of the result to JavaScript would hide the kernel. */
export function prepareOp({ op, shape }: Workload): Prepared {
  const sizes = shape as number[];
  const x = rand(sizes);
  const operands: Operands = {
    x,
    y: zeros(sizes),
    row: ones([sizes.at(-1)!]),
    codes: quantizeActivation(x, { qtype: qint8, scale }),
  };
  const batchNorm = op === 'batch norm' ? new nn.BatchNorm2d(sizes[1]).eval() : null;
  const run = batchNorm ? ({ x }: Operands) => batchNorm.forward(x) : ops[op as string];
  return {
    run: async () => {
      using result = noGrad(() => run(operands));
      using part = result instanceof QTensor ? result.codes : result.share();
      await made(part);
    },
    dispose: () => Object.values(operands).forEach((operand: Tensor) => operand.dispose()),
  };
}
