// What the library says of cuda in this environment, and that the CPU serves all the same.
import { tensor, zeros } from '../../../lib/ops';
import { native } from '../../../lib/native';
import { deviceInfo, isAvailable } from '../../../lib/tensor/device';
import { QuantoError } from '../../../lib/tensor/error';

const doubled = (device: string) => [...(tensor([1, 2], { device }).mul(2).dataSync() as Float32Array)];
const status = isAvailable('cuda');
let error: { code: string; message: string } | null = null;
let cuda: number[] | null = null;
try {
  if (process.env.QUANTO_TEST_LARGE === '1') zeros([1 << 20], { device: 'cuda' }).dataSync();
  cuda = doubled('cuda');
} catch (thrown) {
  if (!(thrown instanceof QuantoError)) throw thrown;
  error = { code: thrown.code, message: thrown.message };
}
const { devices } = deviceInfo();
const description = status.available ? native.describeDevice(native.deviceId('cuda')) : '';
process.stdout.write(JSON.stringify({ status, devices, error, cpu: doubled('cpu'), cuda, description }));
