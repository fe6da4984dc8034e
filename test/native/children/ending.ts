// Ends in the way that its argument names, while the stream has work for some tenths of a second.
import { native } from '../../../lib/native';
import { full, matmul } from '../../../lib/ops';
import { QuantoError } from '../../../lib/tensor/error';

const a = full([512, 512], 1 / 512);
let product = a;
for (let i = 0; i < 100; i++) product = matmul(product, a);

const endings: Record<string, () => void> = {
  exit: () => process.exit(3),
  throw: () => {
    throw new Error('uncaught');
  },
  // Nobody waits for the queued work: the process ends by itself.
  idle: () => undefined,
  // A pending read is work that Node must wait for.
  await: () => void product.data().then(() => process.stdout.write('settled')),
  // A read that is refused must not count as pending for ever.
  'failed read': () => {
    const packed = native.packWeight(native.toDType(native.full([8, 8], 1, 0, 0), 3));
    native.readLater(packed).catch((error: unknown) => process.stdout.write(error instanceof QuantoError ? error.code : String(error)));
  },
  'exit while reading': () => {
    for (let i = 0; i < 10; i++) void product.data();
    setTimeout(() => process.exit(4), 20);
  },
};
endings[process.argv[2]]();
