import * as ops from '../../lib/ops';
import { apply, type Op } from '../../lib/tensor/op';
import type { Case } from '../harness/case';
import { zip } from '../harness/ndarray';
import { oneOf } from '../harness/random';

/** What dropout applies once its mask is drawn; the draw itself has tests of its own. */
const dropoutOp = ops.ops.dropout as unknown as Op;

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
