// Run by checkpoint.test.ts: saves a quantized model again and again, in each round with other weights, until it is killed.
import { freeze, full, nn, quantize, saveQuantized } from '../../lib';

const SIZE = 512;
const directory = process.argv[2];

async function main(): Promise<void> {
  for (let round = 1; ; round++) {
    const model = new nn.Sequential(new nn.Linear(SIZE, SIZE, { bias: false }), new nn.Linear(SIZE, SIZE, { bias: false }));
    const weight = full([SIZE, SIZE], round);
    model.loadStateDict({ '0.weight': weight, '1.weight': weight });
    quantize(model, { weights: 'qint8' });
    freeze(model);
    await saveQuantized(model, directory);
    if (round === 1) process.stdout.write('saved');
  }
}

void main();
