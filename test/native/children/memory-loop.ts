// A synchronous loop that makes some 4 GiB of tensors and disposes of none. Prints its largest resident memory.
import { add, full, matmul, mean, relu, zeros } from '../../../lib/ops';
import { native } from '../../../lib/native';
import { noGrad } from '../../../lib/tensor/grad-mode';
import { memory, synchronize } from '../../../lib/tensor/device';
import { Parameter } from '../../../lib/tensor/tensor';

const loops: Record<string, () => void> = {
  tensors: () => {
    for (let i = 0; i < 4000; i++) zeros([512, 512]);
  },
  // Activations of 1 MiB each, forward and backward; about 10 tensors of that size a step.
  training: () => {
    const weights = [0, 1, 2].map(() => new Parameter(full([64, 64], 0.01)));
    for (let step = 0; step < 400; step++) {
      let x = full([4096, 64], 1);
      for (const weight of weights) x = relu(matmul(x, weight));
      mean(x).backward();
      for (const weight of weights) {
        const gradient = weight.grad!;
        noGrad(() => weight.copy_(add(weight, gradient)));
        weight.grad = null;
      }
    }
  },
  // Small ones: what each handle costs beside its bytes must go too.
  handles: () => {
    for (let i = 0; i < 500_000; i++) native.full([1], 1, 0, 0);
  },
};
loops[process.argv[2]]();
synchronize();
console.log(JSON.stringify({ rss: process.resourceUsage().maxRSS / 1024, ...memory() }));
