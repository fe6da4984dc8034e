import * as ops from '../../lib/ops';
import type { DType } from '../../lib/tensor/dtype';
import type { Tensor } from '../../lib/tensor/tensor';
import type { Case, Failure } from '../harness/case';
import { type Shape, zip } from '../harness/ndarray';
import { apart, type Domain, integers, normal, oneOf, uniform } from '../harness/random';

type Binary = (a: ops.Operand, b: ops.Operand) => Tensor;

interface Row {
  readonly name: string;
  readonly run: Binary;
  readonly reference: (x: number, y: number) => number;
  readonly domain?: Domain;
  readonly roundings?: number;
  /** What the roundings are relative to, where results near 0 come from subtractions. */
  readonly magnitude?: (x: number, y: number) => number;
  readonly output?: DType;
}

const positive = uniform(0.3, 3);
const few = integers(-2, 2);
const boolean = (condition: boolean) => Number(condition);

const rows: readonly Row[] = [
  { name: 'add', run: ops.add, reference: (x, y) => x + y, roundings: 1 },
  { name: 'sub', run: ops.sub, reference: (x, y) => x - y, roundings: 1 },
  { name: 'mul', run: ops.mul, reference: (x, y) => x * y, roundings: 1 },
  { name: 'div', run: ops.div, reference: (x, y) => x / y, domain: positive, roundings: 1 },
  { name: 'pow', run: ops.pow, reference: (x, y) => x ** y, domain: positive },
  { name: 'maximum', run: ops.maximum, reference: Math.max, roundings: 0 },
  { name: 'minimum', run: ops.minimum, reference: Math.min, roundings: 0 },
  { name: 'eq', run: ops.eq, reference: (x, y) => boolean(x === y), domain: few, output: 'bool' },
  { name: 'ne', run: ops.ne, reference: (x, y) => boolean(x !== y), domain: few, output: 'bool' },
  { name: 'lt', run: ops.lt, reference: (x, y) => boolean(x < y), domain: few, output: 'bool' },
  { name: 'le', run: ops.le, reference: (x, y) => boolean(x <= y), domain: few, output: 'bool' },
  { name: 'gt', run: ops.gt, reference: (x, y) => boolean(x > y), domain: few, output: 'bool' },
  { name: 'ge', run: ops.ge, reference: (x, y) => boolean(x >= y), domain: few, output: 'bool' },
  { name: 'logicalAnd', run: ops.logicalAnd, reference: (x, y) => boolean(x !== 0 && y !== 0), domain: few, output: 'bool' },
  { name: 'logicalOr', run: ops.logicalOr, reference: (x, y) => boolean(x !== 0 || y !== 0), domain: few, output: 'bool' },
  { name: 'logicalXor', run: ops.logicalXor, reference: (x, y) => boolean((x !== 0) !== (y !== 0)), domain: few, output: 'bool' },
];

const broadcasts: Readonly<Record<string, readonly [Shape, Shape]>> = {
  'same shape': [
    [3, 4, 5],
    [3, 4, 5],
  ],
  row: [[4, 5], [5]],
  column: [
    [4, 1],
    [1, 5],
  ],
  'both ways': [
    [3, 1, 5],
    [4, 1],
  ],
  number: [[], [2, 3]],
};

const tensors = rows.flatMap(({ name, run, reference, domain, roundings, output }) =>
  Object.entries(broadcasts).map(([shapes, [a, b]]): Case => ({
    family: 'binary',
    name: `${name} ${shapes}`,
    inputs: [
      { shape: a, domain },
      { shape: b, domain },
    ],
    run,
    reference: (x, y) => zip(reference, x, y),
    roundings,
    output,
    empty: shapes === 'row' ? [[0, 5], [5]] : undefined,
  })),
);

/** A number on either side. */
const scalars = rows.flatMap(({ name, run, reference, domain, roundings, output }) =>
  [2, 0.5, ...(name === 'pow' ? [3, 1] : name === 'div' ? [] : [0])].flatMap((scalar): Case[] => {
    const common = { family: 'binary', inputs: [{ shape: [4, 5], domain: domain ?? apart(normal, scalar) }], roundings, output };
    return [
      { ...common, name: `${name} by ${scalar}`, run: (x) => run(x, scalar), reference: (x) => x.map((value) => reference(value, scalar)) },
      { ...common, name: `${name} of ${scalar}`, run: (x) => run(scalar, x), reference: (x) => x.map((value) => reference(scalar, value)) },
    ];
  }),
);

const special = oneOf(0, 1, -1, 2.5, Infinity, -Infinity, NaN, 1e38, -1e38);

/** Infinities, NaN and zeros, as IEEE 754 and PyTorch have them; JS's Math.max and ** differ from them in nothing but pow(1, NaN). */
const specials = rows
  .filter(({ name }) => name !== 'pow')
  .map(({ name, run, reference, roundings, output }): Case => ({
    family: 'binary',
    name: `${name} special`,
    inputs: [
      { shape: [20], domain: special },
      { shape: [20, 1], domain: special },
    ],
    run,
    reference: (x, y) => zip(reference, x, y),
    roundings,
    output,
    gradient: false,
  }));

interface TypedRow {
  readonly name: string;
  readonly run: Binary;
  readonly dtypes: readonly [DType, DType];
  readonly output: DType;
  readonly reference: (x: number, y: number) => number;
  readonly domains?: readonly [Domain, Domain];
}

const small = integers(-9, 9);
const bits = integers(0, 1);
const nonZero = oneOf(-3, -2, -1, 1, 2, 3);

/** Real beats integer beats bool, wider beats narrower; integers divide to float32. */
const typed = (
  [
    { name: 'add int8 int8', run: ops.add, dtypes: ['int8', 'int8'], output: 'int8', reference: (x, y) => x + y },
    {
      name: 'add int8 wraps around',
      run: ops.add,
      dtypes: ['int8', 'int8'],
      output: 'int8',
      reference: (x, y) => ((x + y + 128 + 256) % 256) - 128,
      domains: [integers(-128, 127), integers(-128, 127)],
    },
    { name: 'mul int8 int32', run: ops.mul, dtypes: ['int8', 'int32'], output: 'int32', reference: (x, y) => x * y },
    { name: 'sub int32 int64', run: ops.sub, dtypes: ['int32', 'int64'], output: 'int64', reference: (x, y) => x - y },
    {
      name: 'add uint8 int8',
      run: ops.add,
      dtypes: ['uint8', 'int8'],
      output: 'int32',
      reference: (x, y) => x + y,
      domains: [bits, small],
    },
    { name: 'add bool bool', run: ops.add, dtypes: ['bool', 'bool'], output: 'int64', reference: (x, y) => x + y, domains: [bits, bits] },
    { name: 'add bool int8', run: ops.add, dtypes: ['bool', 'int8'], output: 'int8', reference: (x, y) => x + y, domains: [bits, small] },
    {
      name: 'div int32 int32',
      run: ops.div,
      dtypes: ['int32', 'int32'],
      output: 'float32',
      reference: (x, y) => x / y,
      domains: [small, nonZero],
    },
    {
      name: 'mul int64 float32',
      run: ops.mul,
      dtypes: ['int64', 'float32'],
      output: 'float32',
      reference: (x, y) => x * y,
      domains: [small, normal],
    },
    { name: 'lt int8 int64', run: ops.lt, dtypes: ['int8', 'int64'], output: 'bool', reference: (x, y) => boolean(x < y) },
    { name: 'maximum int32 int32', run: ops.maximum, dtypes: ['int32', 'int32'], output: 'int32', reference: Math.max },
    {
      name: 'pow int32 int32',
      run: ops.pow,
      dtypes: ['int32', 'int32'],
      output: 'float32',
      reference: (x, y) => x ** y,
      domains: [small, integers(0, 5)],
    },
  ] as readonly TypedRow[]
).map(({ name, run, dtypes, output, reference, domains = [small, small] }): Case => ({
  family: 'binary',
  name,
  inputs: dtypes.map((dtype, i) => ({ shape: i === 0 ? [4, 5] : [5], dtype, domain: domains[i] })),
  run,
  reference: (x, y) => zip(reference, x, y),
  output,
  roundings: 1,
  gradient: false,
  halfRoundings: false,
}));

const base: Case = {
  family: 'binary',
  name: 'where',
  inputs: [{ shape: [4, 5], dtype: 'bool', domain: bits }, { shape: [4, 1] }, { shape: [3, 1, 5] }],
  run: ops.where,
  reference: (condition, a, b) => zip((c, x, y) => (c === 0 ? y : x), condition, a, b),
  roundings: 0,
};

const choices: readonly Case[] = [
  base,
  {
    ...base,
    name: 'where number',
    inputs: [base.inputs[0], { shape: [5] }],
    run: (condition, a) => ops.where(condition, a, -2),
    reference: (condition, a) => zip((c, x) => (c === 0 ? -2 : x), condition, a),
  },
  {
    ...base,
    name: 'maskedFill',
    inputs: [{ shape: [3, 4, 5] }, { shape: [4, 5], dtype: 'bool', domain: bits }],
    run: (src, mask) => ops.maskedFill(src, mask, -Infinity),
    reference: (src, mask) => zip((x, m) => (m === 0 ? x : -Infinity), src, mask),
    gradient: false,
  },
  {
    ...base,
    name: 'maskedFill gradient',
    inputs: [{ shape: [3, 4, 5] }, { shape: [4, 5], dtype: 'bool', domain: bits }],
    run: (src, mask) => ops.maskedFill(src, mask, 7),
    reference: (src, mask) => zip((x, m) => (m === 0 ? x : 7), src, mask),
    empty: [
      [0, 4, 5],
      [4, 5],
    ],
  },
];

/** Bases of both signs need an integer exponent. */
const powers = [2, 3, -1, 0].map((exponent): Case => ({
  family: 'binary',
  name: `pow signed base by ${exponent}`,
  inputs: [{ shape: [4, 5], domain: (random) => (random() < 0.5 ? -1 : 1) * (0.3 + 2 * random()) }],
  run: (x) => ops.pow(x, exponent),
  reference: (x) => x.map((value) => value ** exponent),
}));

const large = ['add', 'mul', 'lt'].map((name): Case => {
  const { run, reference, output } = rows.find((row) => row.name === name)!;
  return {
    family: 'binary',
    name: `${name} large`,
    inputs: [
      { shape: [300, 1], domain: uniform(-1, 1) },
      { shape: [1, 211], domain: uniform(-1, 1) },
    ],
    run,
    reference: (x, y) => zip(reference, x, y),
    roundings: 1,
    output,
    gradient: false,
  };
});

export const binaryCases: readonly Case[] = [...tensors, ...scalars, ...specials, ...typed, ...choices, ...powers, ...large];

const a = () => ops.zeros([2, 3]);
export const binaryFailures: readonly Failure[] = [
  {
    family: 'binary',
    name: 'shapes that do not broadcast',
    run: () => ops.add(a(), ops.zeros([4])),
    code: 'SHAPE_MISMATCH',
    message: /\[add\].*\[2, 3\].*\[4\]/,
  },
  { family: 'binary', name: 'two numbers', run: () => ops.add(1, 2), code: 'INVALID_ARGUMENT' },
  { family: 'binary', name: 'a text operand', run: () => ops.mul(a(), 'x' as never), code: 'INVALID_ARGUMENT' },
  { family: 'binary', name: 'a condition of floats', run: () => ops.where(a(), a(), a()), code: 'DTYPE_MISMATCH' },
];
