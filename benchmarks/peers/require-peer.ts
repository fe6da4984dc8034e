import { createRequire } from 'node:module';
import { join } from 'node:path';

/** Where the rivals are installed; see harness/install.ts. */
export const peersFolder = join(__dirname, '../../build/peers');

const requireFrom = createRequire(join(peersFolder, 'package.json'));

/** Loads a rival package; its types are stated by the caller. */
export function requirePeer(name: string): unknown {
  return requireFrom(name);
}

export function peerVersion(name: string): string {
  return (requirePeer(`${name}/package.json`) as { version: string }).version;
}
