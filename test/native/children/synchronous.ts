// Under QUANTO_SYNC=1 a failing kernel throws where it is called.
import { gather, tensor } from '../../../lib/ops';
import { QuantoError } from '../../../lib/tensor/error';

let thrown: string | null = null;
const destination = tensor([1, 2]);
try {
  gather(tensor([1, 2, 3]), 0, tensor([5n]));
} catch (error) {
  thrown = error instanceof QuantoError ? error.code : String(error);
}
console.log(JSON.stringify({ thrown, read: [...destination.dataSync()] }));
