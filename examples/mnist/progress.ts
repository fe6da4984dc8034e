import { SingleBar } from 'cli-progress';

/** Shows how far a piece of work is. */
export interface Progress {
  /** `note` stands behind the bar. */
  step(note?: string): void;
  /** Replaces the bar by one line. */
  done(summary: string): void;
}

/** A bar on terminals; where the output goes to a file, only the summary line of `done`. */
export function startProgress(label: string, total: number): Progress {
  const bar = process.stdout.isTTY
    ? new SingleBar({
        format: `${label}  {bar} {value}/{total}  {note}`,
        barCompleteChar: '█',
        barIncompleteChar: '░',
        clearOnComplete: true,
        stream: process.stdout,
      })
    : null;
  const started = performance.now();
  bar?.start(total, 0, { note: '' });
  return {
    step: (note = '') => bar?.increment({ note }),
    done(summary) {
      bar?.stop();
      console.log(`${label}  ${summary}  ${seconds(performance.now() - started)}`);
    },
  };
}

export function seconds(milliseconds: number): string {
  return `${(milliseconds / 1000).toFixed(1)} s`;
}
