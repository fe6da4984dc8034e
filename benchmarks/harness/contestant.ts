import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

import type { Reply, Request, Workload } from './protocol';

/** One library in one configuration, in a process of its own. */
export interface ContestantOptions {
  /** The name in reports: 'quanto W8A8', 'onnxruntime float32'. */
  readonly name: string;
  /** A program of peers/: a TypeScript file, or a Python file run by `python`. */
  readonly program: string;
  readonly python?: string;
  readonly environment?: Readonly<Record<string, string>>;
}

export class Contestant {
  versions: Readonly<Record<string, string>> = {};
  private readonly child: ChildProcess;
  private readonly replies: AsyncIterator<string>;
  private errors = '';

  private constructor(readonly options: ContestantOptions) {
    const file = join(__dirname, '../peers', options.program);
    const [command, args] = options.python
      ? [options.python, [file]]
      : [process.execPath, ['--expose-gc', '-r', 'ts-node/register/transpile-only', file]];
    this.child = spawn(command, args, { env: { ...process.env, ...options.environment }, stdio: ['pipe', 'pipe', 'pipe'] });
    this.child.stderr!.on('data', (text: Buffer) => (this.errors = (this.errors + text.toString()).slice(-4000)));
    // A contestant that died is met as the end of its replies.
    this.child.stdin!.on('error', () => undefined);
    this.replies = createInterface({ input: this.child.stdout! })[Symbol.asyncIterator]();
  }

  /** Starts the process; rejects with what it printed when it does not come up. */
  static async start(options: ContestantOptions): Promise<Contestant> {
    const contestant = new Contestant(options);
    const ready = await contestant.receive();
    if (ready.type === 'ready') contestant.versions = ready.versions;
    return contestant;
  }

  get name(): string {
    return this.options.name;
  }

  /** Makes a workload ready; returns its facts, or why it cannot run. */
  async prepare(workload: Workload): Promise<{ facts: Readonly<Record<string, unknown>> } | { reason: string }> {
    const reply = await this.ask({ type: 'prepare', workload });
    return reply.type === 'prepared' ? { facts: reply.facts } : { reason: reply.type === 'failed' ? reply.reason : reply.type };
  }

  /** Milliseconds a run of `count` samples. */
  async sample(count: number): Promise<readonly number[]> {
    const reply = await this.ask({ type: 'sample', count });
    if (reply.type === 'samples') return reply.times;
    throw new Error(`${this.name}: ${reply.type === 'failed' ? reply.reason : reply.type}`);
  }

  async stop(): Promise<void> {
    const ended = this.child.exitCode !== null ? null : new Promise((resolve) => this.child.once('close', resolve));
    this.child.stdin!.end();
    await ended;
  }

  private async ask(request: Request): Promise<Reply> {
    this.child.stdin!.write(`${JSON.stringify(request)}\n`);
    return this.receive();
  }

  private async receive(): Promise<Reply> {
    for (;;) {
      const line = await this.replies.next();
      if (line.done) throw new Error(`${this.name} ended: ${this.errors.trim() || 'it printed nothing'}`);
      // Libraries print lines of their own.
      if (line.value.startsWith('{"type":')) return JSON.parse(line.value) as Reply;
    }
  }
}
