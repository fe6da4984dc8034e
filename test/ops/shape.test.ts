import {
  chunk,
  contiguous,
  clone,
  expand,
  permute,
  reshape,
  select,
  slice,
  split,
  squeeze,
  t,
  tensor,
  transpose,
  unsqueeze,
  view,
  zeros,
} from '../../lib/ops';
import type { Tensor } from '../../lib/tensor/tensor';
import { shapeCases, shapeFailures } from '../cases/shape';
import { slopesAt } from '../harness/gradient';
import { runCases } from '../harness/run-cases';

runCases(shapeCases, shapeFailures);

const x = () => tensor([[1, 2, 3], [4, 5, 6]]); // prettier-ignore
const sharesMemory = (run: (src: Tensor) => Tensor): boolean => {
  const src = x();
  const out = run(src);
  const before = out.tolist();
  src.fill_(9);
  return JSON.stringify(out.tolist()) !== JSON.stringify(before);
};

test('views share memory with their source; copies do not', () => {
  const views = [
    (src: Tensor) => view(src, 6),
    (src: Tensor) => reshape(src, 3, 2),
    (src: Tensor) => permute(src, 1, 0),
    (src: Tensor) => transpose(src, 0, 1),
    t,
    (src: Tensor) => slice(src, 1, 1),
    (src: Tensor) => select(src, 0, 1),
    (src: Tensor) => unsqueeze(src, 0),
    (src: Tensor) => squeeze(src),
    (src: Tensor) => expand(src, 2, 2, 3),
    (src: Tensor) => split(src, 1)[1],
    contiguous,
  ];
  expect(views.map(sharesMemory)).toEqual(views.map(() => true));
  const copies = [clone, (src: Tensor) => contiguous(t(src)), (src: Tensor) => reshape(t(src), 6)];
  expect(copies.map(sharesMemory)).toEqual(copies.map(() => false));
});

test('pieces of split and chunk', () => {
  const sizes = (pieces: Tensor[]) => pieces.map(({ shape }) => shape[0]);
  expect(sizes(split(zeros([7]), 3))).toEqual([3, 3, 1]);
  expect(sizes(split(zeros([7]), [0, 5, 2]))).toEqual([0, 5, 2]);
  expect(sizes(split(zeros([0]), 3))).toEqual([0]);
  // As in PyTorch: fewer pieces than asked for where the sizes say so.
  expect(sizes(chunk(zeros([7]), 3))).toEqual([3, 3, 1]);
  expect(sizes(chunk(zeros([6]), 4))).toEqual([2, 2, 2]);
  expect(sizes(chunk(zeros([2]), 5))).toEqual([1, 1]);
  expect(sizes(chunk(zeros([0]), 3))).toEqual([0, 0, 0]);
});

test('all pieces together give the whole gradient', () => {
  const run = (src: Tensor) => {
    const [a, b, c] = split(src, 1, 1);
    return a.mul(1).add(b.mul(10)).add(c.mul(100));
  };
  expect(slopesAt([[1, 2, 3]], run)).toEqual([[1, 10, 100]]);
});

test('0-d tensors have axes 0 and -1', () => {
  const number = tensor(5);
  expect(unsqueeze(number, 0).shape).toEqual([1]);
  expect(transpose(number, 0, -1).shape).toEqual([]);
  expect(reshape(number, 1, 1).shape).toEqual([1, 1]);
  expect(squeeze(number).shape).toEqual([]);
});
