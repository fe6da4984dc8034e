// Loaded before an example by run.ts: its 'quanto' is lib/ as it stands instead of the last build in dist/.
import Module from 'node:module';
import { resolve } from 'node:path';

const loader = Module as unknown as { _resolveFilename: (request: string, ...rest: unknown[]) => string };
const original = loader._resolveFilename.bind(Module);
const sources = resolve(__dirname, '../../lib/index.ts');
loader._resolveFilename = (request, ...rest) => original(request === 'quanto' ? sources : request, ...rest);
