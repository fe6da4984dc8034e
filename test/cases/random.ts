import * as ops from '../../lib/ops';
import { apply, type Op } from '../../lib/tensor/op';
import { beside, type Case } from '../harness/case';
import { oneOf } from '../harness/random';
import { NdArray, zip } from '../harness/ndarray';

/** What dropout applies once its mask is drawn; the draw itself has tests of its own. */
const dropoutOp = ops.ops.dropout as unknown as Op;

const kept = [0, 2, 2, 0, 2];

export const randomCases: readonly Case[] = [
  {
    family: 'random',
    name: 'dropout mask',
    inputs: [{ shape: [4, 5] }, { shape: [4, 5], domain: oneOf(0, 2) }],
    run: (x, mask) => apply(dropoutOp, [x, mask], undefined),
    reference: (x, mask) => zip((value, kept) => value * kept, x, mask),
    roundings: 1,
    gradient: false,
  },
  {
    family: 'random',
    name: 'dropout gradient',
    inputs: [{ shape: [4, 5] }],
    run: (x) => apply(dropoutOp, [x, ops.tensor(kept, beside(x))], undefined),
    reference: (x) => NdArray.from([4, 5], (index) => x.at(index) * kept[index[1]]),
    roundings: 1,
    // The mask is float32.
    halfRoundings: false,
  },
  {
    family: 'random',
    name: 'dropout of evaluation',
    inputs: [{ shape: [4, 5] }],
    run: (x) => ops.dropout(x, { training: false }),
    reference: (x) => x,
    roundings: 0,
    gradient: false,
  },
  {
    family: 'random',
    name: 'dropout of everything',
    inputs: [{ shape: [4, 5] }],
    run: (x) => ops.dropout(x, { p: 1 }),
    reference: (x) => x.map(() => 0),
    roundings: 0,
    gradient: false,
  },
];
