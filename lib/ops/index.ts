// The registry: every op by name, and the functions that apply them. Importing it also gives Tensor its methods.
import type { AnyOp } from '../tensor/op';

import { attentionOps } from './attention';
import { binaryOps } from './binary';
import { convOps } from './conv';
import { convertOps } from './convert';
import { indexOps } from './indexing';
import { lossOps } from './loss';
import { matmulOps } from './matmul';
import { normOps } from './norm';
import { randomOps } from './random';
import { reduceOps } from './reduce';
import { shapeOps } from './shape';
import { unaryOps } from './unary';

import './methods';

export * from './attention';
export * from './binary';
export * from './conv';
export * from './convert';
export * from './creation';
export * from './indexing';
export * from './inplace';
export * from './loss';
export * from './matmul';
export * from './norm';
export * from './random';
export * from './read';
export * from './reduce';
export * from './shape';
export * from './unary';

const families: readonly (readonly AnyOp[])[] = [
  unaryOps,
  binaryOps,
  reduceOps,
  matmulOps,
  shapeOps,
  convertOps,
  indexOps,
  normOps,
  attentionOps,
  convOps,
  lossOps,
  randomOps,
];

/** Every op that autograd and quantized dispatch know, by its name. */
export const ops: Readonly<Record<string, AnyOp>> = Object.fromEntries(families.flat().map((op) => [op.name, op]));
