// Runs under a limit of its address space: allocates until a read reports that there is no memory, lets go, and works on.
import { add, full } from '../../../lib/ops';
import { emptyCache } from '../../../lib/tensor/device';
import { QuantoError } from '../../../lib/tensor/error';
import type { Tensor } from '../../../lib/tensor/tensor';

async function main(): Promise<void> {
  const held: Tensor[] = [];
  let code = 'none';
  let failed: Tensor | undefined;
  while (code === 'none' && held.length < 100) {
    const block = full([32 << 20], 1);
    held.push(block);
    try {
      block.slice(0, 0, 1).item();
    } catch (error) {
      code = error instanceof QuantoError ? error.code : String(error);
      failed = block;
    }
  }
  // An in-place change by a tensor that failed leaves its destination alone.
  const destination = full([2], 1);
  destination.add_(failed!.slice(0, 0, 2));
  const written = destination.slice(0, 0, 1).item();
  for (const block of held) block.dispose();
  emptyCache();
  const later = add(full([32 << 20], 1), 2)
    .slice(0, 5, 6)
    .item();
  console.log(JSON.stringify({ code, later, written }));
}
void main();
