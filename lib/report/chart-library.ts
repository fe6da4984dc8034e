import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

import { QuantoError } from '../tensor/error';

let source: string | undefined;

/** The text of Chart.js for a script element, read from node_modules when the first page is made. */
export function chartLibrary(): string {
  source ??= asInlineScript(read());
  return source;
}

function read(): string {
  try {
    // The build for a script element is no entry point of its package, but lies beside the one for require.
    return readFileSync(join(dirname(require.resolve('chart.js')), 'chart.umd.min.js'), 'utf8');
  } catch (cause) {
    throw new QuantoError(
      'IO',
      `[report] cannot read chart.js, which draws the plots (${(cause as Error).message}); install quanto's dependencies`,
    );
  }
}

/** Source text that neither ends its script element nor asks for a source map. */
export function asInlineScript(text: string): string {
  return text
    .replace(/^\/\/# sourceMappingURL=.*$/gm, '')
    .replace(/<\/script/gi, '<\\/script')
    .replace(/<!--/g, '<\\!--');
}
