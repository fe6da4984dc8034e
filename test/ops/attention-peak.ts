// Prints as JSON how far attention over a long sequence raises the memory of this process, in bytes: of tensors, and resident.
import * as ops from '../../lib/ops';
import { memory, synchronize } from '../../lib/tensor/device';
import { tidy } from '../../lib/tensor/scope';

const LENGTH = 4096;
const operands = [1, 2, 3].map(() => ops.randn([1, LENGTH, 64]));
const [q, k, v] = operands;
const run = (...[query, key, value]: typeof operands) =>
  tidy(() => void ops.scaledDotProductAttention(query, key, value, { causal: true }));
// What the first call of anything takes once and for all.
run(...operands.map((src) => ops.slice(src, 1, 0, 64)));
synchronize();
const before = { peak: memory().peakBytes, resident: process.resourceUsage().maxRSS };
run(q, k, v);
synchronize();
const resident = (process.resourceUsage().maxRSS - before.resident) * 1024;
process.stdout.write(JSON.stringify({ tensors: memory().peakBytes - before.peak, resident, scores: 4 * LENGTH * LENGTH }));
