// The case table: every family's rows, in one list for the checks that go over all of them.
import type { Case } from '../harness/case';

import { attentionCases } from './attention';
import { binaryCases } from './binary';
import { convCases } from './conv';
import { convStepCases } from './conv-steps';
import { convertCases } from './convert';
import { creationCases } from './creation';
import { indexCases } from './indexing';
import { lossCases } from './loss';
import { matmulCases } from './matmul';
import { normCases } from './norm';
import { quantizedProductCases } from './quantized-products';
import { randomCases } from './random';
import { reduceCases } from './reduce';
import { shapeCases } from './shape';
import { unaryCases } from './unary';

export const cases: readonly Case[] = [
  ...unaryCases,
  ...binaryCases,
  ...reduceCases,
  ...matmulCases,
  ...quantizedProductCases,
  ...shapeCases,
  ...indexCases,
  ...normCases,
  ...convCases,
  ...convStepCases,
  ...lossCases,
  ...attentionCases,
  ...convertCases,
  ...creationCases,
  ...randomCases,
];
