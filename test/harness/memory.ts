import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

import { memory } from '../../lib/tensor/device';

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

/** memory() without the garbage of earlier tests, which could vanish between two readings and spoil their difference. */
export function settledMemory(): ReturnType<typeof memory> {
  collectGarbage();
  return memory();
}
