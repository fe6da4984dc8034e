import { SingleBar } from 'cli-progress';

export interface Progress {
  step(note: string): void;
  done(summary: string): void;
}

/** A bar on terminals; where the output goes to a file, one line at the end. */
export function startProgress(name: string, total: number): Progress {
  const bar = process.stderr.isTTY
    ? new SingleBar({ format: `${name}  {bar} {value}/{total}  {note}`, clearOnComplete: true, stream: process.stderr })
    : null;
  bar?.start(total, 0, { note: '' });
  return {
    step: (note) => bar?.increment({ note }),
    done(summary) {
      bar?.stop();
      process.stderr.write(`${name}: ${summary}\n`);
    },
  };
}
